"""Items that are added while a domain is served, by two replicas of one home."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from crossrec.releases.store import Release, ReleaseStore
from crossrec.serving.auth import KeyRing
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.item_updates import make_apart
from crossrec.serving.messages import ItemUpsert
from tests.serving.replicas import NEW, Replica, replica
from tests.small_release import N_ITEMS, SmallDomain


@pytest.fixture
def release(films: SmallDomain, fresh_home: Path) -> Release:
    return films.publish(ReleaseStore())


@pytest.fixture
def pair(release: Release, log: FeedbackLog) -> tuple[Replica, Replica]:
    return replica(log), replica(log)


def test_a_new_item_is_recommended_in_the_next_request_by_every_replica(pair):
    here, there = pair
    assert "new/1" not in there.ids(k=99)
    answer = here.put(NEW)
    assert answer.json() == {"added": 1, "updated": 0, "n_items": N_ITEMS + 1}
    for one in pair:
        assert "new/1" in one.ids(user_id="user-2", k=99)
        assert one.ids(where='"fresh" in tags') == ["new/1"]
    assert there.ask("GET", "/items/new/1").json()["title"] == "The new horror"
    found = there.ask("GET", "/items", params={"search": "yesterday"}).json()["items"]
    assert [item["item_id"] for item in found] == ["new/1"]
    assert there.encoder.asked == []  # one encodes for all


def test_editions_are_made_in_a_process_of_their_own(release: Release, log: FeedbackLog):
    here = replica(log, make_apart)
    assert here.put(NEW).json()["added"] == 1
    assert "new/1" in here.ids(k=99)


def test_what_cannot_be_made_is_said_and_the_service_goes_on(release: Release, log, caplog):
    here = replica(log, make_apart)
    (release.folder / "model.json").write_text("{}")
    answer = here.put(NEW)
    assert answer.status_code == 500
    assert "kept, but could not be made recommendable" in answer.json()["error"]
    assert "no edition of 'films' was made: [" in caplog.text
    assert len(here.ids(k=99)) == N_ITEMS


def test_batches_that_come_at_once_are_all_there(pair):
    batches = [[ItemUpsert(item_id=f"n{n}", title=f"New horror {n}")] for n in range(6)]

    async def all_at_once() -> None:
        sends = [pair[n % 2].put_items(batch) for n, batch in enumerate(batches)]
        await asyncio.gather(*sends)

    asyncio.run(all_at_once())
    for one in pair:
        assert {f"n{n}" for n in range(6)} <= set(one.ids(k=99))


def test_an_item_sent_again_replaces_the_one_before(pair):
    here, there = pair
    here.put(NEW)
    changed = NEW | {"columns": {"year": 1950}, "category": ["space"]}
    assert there.put(changed).json() == {"added": 0, "updated": 1, "n_items": N_ITEMS + 1}
    card = here.ask("GET", "/items/new/1").json()
    assert (card["category"], card["columns"]["year"]) == (["space"], 1950)
    assert card["columns"]["price"] is None
    assert there.encoder.asked == []  # its text is the same


def test_feedback_on_a_new_item_counts_at_once(pair):
    here, there = pair
    here.put(NEW)
    event = {"event_id": "1", "user_id": "ann", "item_id": "new/1", "event": "like"}
    assert there.ask("POST", "/feedback", json={"events": [event]}).json()["accepted"] == 1
    answer = here.ask("POST", "/recommendations", json={"user_id": "ann", "k": 3}).json()
    assert answer["user_known"]
    assert {item["category"][0] for item in answer["items"]} == {"horror"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"columns": {"yaer": 1}}, "item 'new/1': no item column 'yaer': did you mean 'year'?"),
        ({"columns": {"year": "old"}}, "column 'year' got 'old'; expected a number"),
        ({"columns": {"tags": "new"}}, "column 'tags' got 'new'; expected a list of texts"),
        ({"columns": {"category": ["x"]}}, "no item column 'category'"),
        ({"title": ""}, "items.1.title: String should have at least 1 character"),
        ({"colour": "red"}, "items.1.colour: Extra inputs are not permitted"),
    ],
)
def test_a_batch_with_an_item_that_cannot_be_is_refused_as_a_whole(pair, change, reason):
    here, _ = pair
    fine = NEW | {"item_id": "fine"}
    answer = here.put(fine, NEW | change)
    assert answer.status_code == 422
    assert reason in answer.json()["error"]
    assert here.ids(k=99) == here.ids(k=N_ITEMS)
    assert here.put(NEW, NEW).status_code == 422


def test_without_text_an_item_is_known_by_title_and_categories(pair):
    here, _ = pair
    here.put({"item_id": "bare", "title": "Untitled", "category": ["horror", "film"]})
    assert here.encoder.asked == ["Untitled. horror, film"]


def test_without_the_encoder_items_are_kept_and_come_with_the_next_batch(pair):
    here, there = pair
    here.encoder.down = True
    answer = here.put(NEW)
    assert answer.status_code == 503
    assert "kept, but cannot be recommended before the encoder answers" in answer.json()["error"]
    assert "new/1" not in here.ids(k=99)
    there.put(NEW | {"item_id": "new/2"})
    assert {"new/1", "new/2"} <= set(here.ids(k=99))


def test_a_new_release_takes_the_items_along_until_its_data_have_them(
    pair, films: SmallDomain, log: FeedbackLog
):
    here, _ = pair
    here.put(NEW, NEW | {"item_id": "film-1", "title": "Renamed"})
    time.sleep(1.1)  # a release knows the second in which it was published
    films.publish(ReleaseStore())
    later = replica(log)
    assert later.updates.is_behind(later.current)
    asyncio.run(later.updates.catch_up(later.current))
    assert not later.updates.is_behind(later.current)
    assert "new/1" in later.ids(k=99)
    assert later.ask("GET", "/items/film-1").json()["title"] == "The space number 1"


def test_a_damaged_edition_is_not_taken(pair, caplog):
    here, there = pair
    here.put(NEW)
    folder = here.recommender.loaded.release.folder
    (folder / "vocabulary.json").write_text("{}")
    assert "new/1" not in there.ids(k=99)
    assert "the newest edition of 'films' was not taken" in caplog.text


def test_adding_items_is_for_admins(pair, tmp_path: Path):
    here, _ = pair
    keys = KeyRing(tmp_path / "keys.json")
    reader, admin = keys.create("app", ["read"]), keys.create("ops", ["admin"])
    refused = here.put(NEW, keys=keys, headers={"Authorization": f"Bearer {reader}"})
    assert refused.status_code == 403
    taken = here.put(NEW, keys=keys, headers={"Authorization": f"Bearer {admin}"})
    assert taken.json()["added"] == 1
