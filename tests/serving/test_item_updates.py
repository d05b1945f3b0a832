"""Items that are added while a domain is served, by two replicas of one home."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from crossrec.domains.spec import Objective
from crossrec.errors import EncoderError, ReleaseError, RequestError
from crossrec.releases.added_items import AddedItem, AddedItems, Reading, items_folder
from crossrec.releases.editions import Editions
from crossrec.releases.store import LoadedRelease, Release, ReleaseStore
from crossrec.serving import item_updates
from crossrec.serving.auth import KeyRing
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.http_api import domain_app
from crossrec.serving.item_updates import Current, ItemUpdates, make_apart
from crossrec.serving.messages import ItemsResponse, ItemUpsert
from crossrec.serving.recommender import Recommender
from tests.serving.conftest import NOW, WordCounter
from tests.small_release import N_ITEMS, SmallDomain, encode_words

NEW = {
    "item_id": "new/1",
    "title": "The new horror",
    "text": "A horror of yesterday",
    "category": ["horror"],
    "columns": {"year": 2024, "price": 2.5, "tags": ["fresh"]},
}


@dataclass
class Replica:
    """What a domain's process holds, without Ray."""

    current: Current
    updates: ItemUpdates
    feedback_log: FeedbackLog
    encoder: WordCounter

    @property
    def recommender(self) -> Recommender:
        return self.current.recommender

    async def put_items(self, items: list[ItemUpsert]) -> ItemsResponse:
        return await self.updates.put(lambda: self.current, items)

    async def look(self) -> None:
        await self.current.refresh()

    def ask(self, method: str, path: str, keys: KeyRing | None = None, **options) -> httpx.Response:
        app = domain_app(self, keys, "films", self.look)

        async def one() -> httpx.Response:
            transport = httpx.ASGITransport(
                app, client=("127.0.0.1", 1), raise_app_exceptions=False
            )
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
                return await http.request(method, path, **options)

        return asyncio.run(one())

    def put(self, *items: dict[str, Any], **options) -> httpx.Response:
        return self.ask("PUT", "/items", json={"items": list(items)}, **options)

    def ids(self, **fields) -> list[str]:
        answer = self.ask("POST", "/recommendations", json=fields)
        return [item["item_id"] for item in answer.json()["items"]]


def make_here(release: Release) -> None:
    """What a process of its own does, without its start."""
    Editions(release).make()


def replica(log: FeedbackLog, make: Callable[[Release], None] = make_here) -> Replica:
    encoder = WordCounter()

    def answering(loaded: LoadedRelease) -> Recommender:
        return Recommender(loaded, encoder, log, clock=lambda: NOW)

    current = Current(ReleaseStore().load("films"), answering)
    asyncio.run(current.refresh())
    return Replica(current, ItemUpdates("films", make), log, encoder)


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


def test_an_edition_that_could_not_be_read_is_tried_again(pair, monkeypatch, caplog):
    here, there = pair
    monkeypatch.setattr(item_updates, "RETRY_S", 0.5)
    here.put(NEW)
    folder = here.recommender.loaded.release.folder
    away = folder.with_name("away")
    folder.rename(away)
    for _ in range(3):
        assert "new/1" not in there.ids(k=99)
    assert caplog.text.count("the newest edition of 'films' was not taken") == 1
    away.rename(folder)
    time.sleep(0.6)
    assert "new/1" in there.ids(k=99)


def test_any_fault_of_an_edition_leaves_the_one_before(pair, caplog):
    here, there = pair
    here.put(NEW)

    def fails(loaded: LoadedRelease) -> Recommender:
        raise KeyError("facts")

    there.current._answering = fails
    assert there.ask("GET", "/health").status_code == 200
    assert "was not taken" in caplog.text


def test_a_put_whose_edition_is_not_taken_says_so(pair):
    here, _ = pair

    def fails(loaded: LoadedRelease) -> Recommender:
        raise KeyError("facts")

    here.current._answering = fails
    answer = here.put(NEW)
    assert answer.status_code == 500
    assert "kept, but no edition that has them could be taken" in answer.json()["error"]


def test_who_is_not_let_in_makes_nobody_look(pair, tmp_path: Path):
    here, _ = pair
    looks = []

    async def look() -> None:
        looks.append(1)
        raise OSError("no disk")

    here.look = look  # type: ignore[method-assign]
    keys = KeyRing(tmp_path / "keys.json")
    assert here.ask("GET", "/card", keys=keys).status_code == 401
    assert looks == []
    failed = here.ask("GET", "/card")
    assert (failed.status_code, failed.json()["kind"]) == (500, "ServiceError")


def test_an_item_whose_date_is_none_is_refused(
    films: SmallDomain, fresh_home: Path, log: FeedbackLog
):
    fresh = Objective(name="freshness", column="studio")
    domain = films.model.domain.model_copy(update={"objectives": [fresh]})
    loaded = publish_with(films, model=replace(films.model, domain=domain))
    item = ItemUpsert(item_id="n", title="New", columns={"studio": "soon"})
    with pytest.raises(RequestError, match="item 'n': its column 'studio' holds 'soon'; expected"):
        item_updates._checked(item, loaded)
    for studio in ("2024-05-31", None, ""):
        item.columns["studio"] = studio
        assert item_updates._checked(item, loaded).columns["studio"] == studio


def publish_with(films: SmallDomain, **changes) -> LoadedRelease:
    replace(films, **changes).publish(ReleaseStore())
    return ReleaseStore().load("films")


def test_a_release_without_text_vectors_refuses_items_and_keeps_none(
    films: SmallDomain, fresh_home: Path, log: FeedbackLog
):
    kept = {name: one for name, one in films.model.signals_by_name.items() if name != "request"}
    model = replace(films.model, signals_by_name=kept, fusion=None)
    publish_with(films, model=model)
    here = replica(log)
    answer = here.put(NEW)
    assert answer.status_code == 422
    assert "keeps no vectors of item texts" in answer.json()["error"]
    assert not AddedItems(items_folder("films"))
    AddedItems(items_folder("films")).put([AddedItem("old", "Of an earlier release", "Old")])
    assert not here.updates.is_behind(here.current)


def test_a_release_swapped_in_during_a_put_has_the_items(pair, films: SmallDomain, log):
    here, _ = pair
    before = here.current
    time.sleep(0.01)
    films.publish(ReleaseStore())
    later = replica(log)

    async def swapping(texts: list[str]):
        here.current = later.current
        return encode_words(texts)

    before.recommender._encode = swapping
    assert here.put(NEW).json()["n_items"] == N_ITEMS + 1
    assert here.recommender.loaded.release.version != before.release.version
    assert "new/1" in here.ids(k=99)


@pytest.mark.parametrize("error", [EncoderError("no adapter"), ReleaseError("x"), sqlite3.Error()])
def test_a_release_is_served_without_items_that_cannot_be_added(pair, caplog, error):
    here, there = pair
    AddedItems(items_folder("films")).put([AddedItem("new/1", "New", "New")])

    async def fails(texts: list[str]):
        raise error

    there.recommender._encode = fails
    asyncio.run(there.updates.keep_up(there.current))
    assert "'films' answers without the newest items" in caplog.text
    asyncio.run(here.updates.keep_up(here.current))
    assert "new/1" in here.ids(k=99)


def test_kept_items_that_no_edition_has_are_seen(pair, log: FeedbackLog):
    here, _ = pair
    here.put(NEW)
    assert not here.updates.is_behind(here.current)
    added = AddedItems(items_folder("films"))
    changed = AddedItem("new/1", NEW["title"], NEW["text"], columns={"year": 1950})
    added.put([changed])  # its text was read; the process died before it made an edition
    assert here.updates.is_behind(here.current)
    asyncio.run(here.updates.keep_up(here.current))
    assert here.ask("GET", "/items/new/1").json()["columns"]["year"] == 1950
    added.put([AddedItem("new/2", "More", "More")])
    reading = Reading(AddedItem("new/2", "More", "More"), encode_words(["More"])[0])
    make_here(here.current.release)  # of another replica, before this one's encoder has answered
    added.put_readings(here.current.release.version, [reading])
    assert here.updates.is_behind(here.current)


def test_batches_that_wait_together_share_an_edition_and_no_thread_of_others(
    release: Release, log: FeedbackLog
):
    made, names = [], []

    def slowly(release: Release) -> None:
        time.sleep(0.5)
        made.append(make_here(release))
        names.append(threading.current_thread().name)

    here = replica(log, slowly)
    batches = [[ItemUpsert(item_id=f"n{n}", title=f"New horror {n}")] for n in range(6)]

    async def all_at_once() -> list[ItemsResponse]:
        return list(await asyncio.gather(*map(here.put_items, batches)))

    answers = asyncio.run(all_at_once())
    assert answers[-1].n_items == N_ITEMS + 6
    assert len(made) < 6
    assert all(name.startswith("editions") for name in names)


def test_a_former_edition_is_let_go(pair):
    here, _ = pair
    here.put(NEW)
    former = weakref.ref(here.recommender.catalogue)
    here.put(NEW | {"item_id": "new/2"})
    assert former() is None
