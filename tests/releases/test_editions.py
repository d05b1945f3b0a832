from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from crossrec.domains.spec import ContextField
from crossrec.releases.added_items import AddedItem, AddedItems, Reading, items_folder
from crossrec.releases.editions import Editions, _given
from crossrec.releases.manifest import check_files, read_manifest
from crossrec.releases.store import LoadedRelease, Release, ReleaseStore
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.messages import FeedbackEvent, RecommendRequest, RecommendResponse
from crossrec.serving.recommender import Recommender
from tests.small_release import N_ITEMS, SmallDomain, encode_words

NEW = AddedItem(
    "film-new",
    "The new horror",
    "A horror from yesterday",
    ["horror", "novelty"],
    {"year": 2024, "price": 3.5, "studio": "east", "tags": ["new", "dark"]},
)


@pytest.fixture
def release(films: SmallDomain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    monkeypatch.setenv("CROSSREC_HOME", str(tmp_path))
    return films.publish(ReleaseStore())


def add(release: Release, *items: AddedItem) -> LoadedRelease:
    added = AddedItems(items_folder(release.domain))
    added.put(items)
    vectors = encode_words([item.text for item in items])
    readings = [Reading(*pair) for pair in zip(items, vectors, strict=True)]
    added.put_readings(release.version, readings)
    Editions(release).make()
    found = Editions(release).load()
    assert found is not None
    return found


def recommender(loaded: LoadedRelease, tmp_path: Path) -> Recommender:
    async def encode(texts: list[str]) -> np.ndarray:
        return encode_words(texts)

    return Recommender(loaded, encode, FeedbackLog(tmp_path / "feedback.db"))


def ask(asked: Recommender, **fields) -> RecommendResponse:
    return asyncio.run(asked.recommend(RecommendRequest(**fields)))


def ids(answer: RecommendResponse) -> list[str]:
    return [item.item_id for item in answer.items]


def test_a_new_item_is_recommended_to_those_who_like_its_kind(release: Release, tmp_path: Path):
    films = recommender(add(release, NEW), tmp_path)
    assert films.catalogue.n_items == N_ITEMS + 1
    horror, space = ask(films, user_id="user-2", k=25), ask(films, user_id="user-1", k=25)
    assert ids(horror).index("film-new") < ids(space).index("film-new") - 4
    asked = {item.item_id: item.signals for item in ask(films, text="some horror", k=25).items}
    assert asked["film-new"]["request"] == pytest.approx(asked["film-8"]["request"], abs=1e-3)
    assert asked["film-new"]["request"] > 0 > asked["film-6"]["request"]
    found = ask(films, where='"novelty" in category and price < 4').items
    assert [item.title for item in found] == ["The new horror"]
    assert films.catalogue.search("yesterday")[0].item_id == "film-new"


def test_what_somebody_says_of_a_new_item_counts(release: Release, tmp_path: Path):
    films = recommender(add(release, NEW), tmp_path)
    like = FeedbackEvent(event_id="1", user_id="ann", item_id="film-new", event="like")
    assert asyncio.run(films.feedback([like])).accepted == 1
    answer = ask(films, user_id="ann", k=3, explain=True)
    assert answer.user_known
    assert {item.category[0] for item in answer.items} == {"horror"}
    assert "film-new" in {part.name for part in answer.items[0].explanation.parts}


def test_what_was_there_keeps_its_place_and_its_users(release: Release, tmp_path: Path):
    before = recommender(ReleaseStore().load("films"), tmp_path)
    after = recommender(add(release, NEW), tmp_path)
    old = ids(ask(before, user_id="user-1", k=N_ITEMS))
    assert [i for i in ids(ask(after, user_id="user-1", k=99)) if i != "film-new"] == old
    assert after.catalogue.n_users == before.catalogue.n_users
    assert after.catalogue.example_users(3) == before.catalogue.example_users(3)


def test_an_item_that_is_there_is_replaced(release: Release, tmp_path: Path):
    other = AddedItem("film-1", "Turned to horror", "A horror film", ["horror"], {"year": 1999})
    films = recommender(add(release, other), tmp_path)
    assert films.catalogue.n_items == N_ITEMS
    item = films.catalogue.card(1)
    assert (item.title, item.category, item.columns["year"]) == (
        "Turned to horror",
        ["horror"],
        1999,
    )
    assert "film-1" in ids(ask(films, text="horror", k=9))
    assert "film-1" in ids(ask(films, filters={"category": "horror"}, k=99))
    assert "film-1" not in ids(ask(films, filters={"category": "space"}, k=99))


def test_later_items_join_the_earlier_ones_and_old_editions_go(release: Release):
    for number in range(4):
        grown = add(release, AddedItem(f"n{number}", f"New {number}", "A comedy"))
    assert grown.catalogue.n_items == N_ITEMS + 4
    folders = [path for path in Editions(release).folder.iterdir() if path.is_dir()]
    assert len(folders) == 2


def test_an_edition_holds_no_user_and_leaves_the_release_as_it_was(release: Release):
    grown = add(release, NEW)
    check_files(release.folder, read_manifest(release.folder))
    file = grown.release.folder / "catalogue.sqlite"
    assert b"user-1" not in file.read_bytes()
    assert grown.release.version == release.version


def test_the_stamp_changes_with_each_edition(release: Release):
    editions = Editions(release)
    assert editions.stamp() == 0
    assert editions.load() is None
    add(release, NEW)
    first = editions.stamp()
    add(release, NEW)
    assert 0 < first < editions.stamp()


def test_an_item_with_a_new_text_stays_as_it_was_until_that_is_read(release: Release):
    add(release, NEW)
    added = AddedItems(items_folder("films"))
    changed = AddedItem("film-new", "The new comedy", "A comedy")
    added.put([changed])
    Editions(release).make()  # of another replica
    card = Editions(release).load().catalogue.card(N_ITEMS)
    assert (card.title, card.text) == (NEW.title, NEW.text)
    assert added.unread(release.version) == [changed]
    added.put_readings(release.version, [Reading(changed, encode_words([changed.text])[0])])
    added.put_readings(release.version, [Reading(NEW, encode_words([NEW.text])[0])])  # came late
    assert added.unread(release.version) == []
    Editions(release).make()
    assert Editions(release).load().catalogue.card(N_ITEMS).title == "The new comedy"


def test_changes_are_told_apart_whatever_the_clock_says(
    release: Release, monkeypatch: pytest.MonkeyPatch
):
    add(release, NEW)
    assert Editions(release).holds() == AddedItems(items_folder("films")).newest(release.version)
    monkeypatch.setattr("time.time", lambda: 1.0)
    AddedItems(items_folder("films")).put([NEW])
    assert Editions(release).holds() < AddedItems(items_folder("films")).newest(release.version)


def test_an_item_put_after_the_import_outlives_the_next_training(
    films: SmallDomain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CROSSREC_HOME", str(tmp_path))
    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    dataset = replace(films.dataset, card=films.dataset.card | {"imported_at": past})
    other = AddedItem("film-1", "Turned to horror", "A horror film", ["horror"])
    AddedItems(items_folder("films")).put([other])
    time.sleep(1.1)  # a release knows the second in which it was published
    release = replace(films, dataset=dataset).publish(ReleaseStore())
    grown = add(release, NEW)
    assert "film-1" in AddedItems(items_folder("films")).changed_since(release.metrics["data_at"])
    readings = [Reading(other, encode_words([other.text])[0])]
    AddedItems(items_folder("films")).put_readings(release.version, readings)
    Editions(release).make()
    grown = Editions(release).load()
    assert grown.catalogue.card(1).title == "Turned to horror"


def test_feedback_put_behind_the_data_is_when_they_were_taken_down(
    films: SmallDomain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CROSSREC_HOME", str(tmp_path))
    card = films.dataset.card | {
        "imported_at": "2020-01-01T00:00:00+00:00",
        "feedback": {"at": "2021-01-01T00:00:00+00:00"},
    }
    dataset = replace(films.dataset, card=card)
    release = replace(films, dataset=dataset).publish(ReleaseStore())
    assert release.metrics["data_at"] == datetime(2021, 1, 1, tzinfo=UTC).timestamp()


def test_without_items_that_the_release_has_not_there_is_no_edition(release: Release):
    assert Editions(release).make() is None
    time.sleep(0.01)
    AddedItems(items_folder("films")).put([NEW])
    assert Editions(release).make() is None  # nobody has read it
    assert Editions(release).stamp() == 0


def test_no_items_have_no_places(films: SmallDomain):
    columns = ["year", "price"]
    place = ContextField(name="here", kind="place", columns=columns, item_columns=columns)
    domain = films.model.domain.model_copy(update={"context": [place]})
    assert _given(replace(films.model, domain=domain), [], {}).places.shape == (0, 2)


def test_a_process_of_its_own_makes_an_edition_or_says_why_not(release: Release):
    add(release, NEW)
    command = [sys.executable, "-m", "crossrec.releases.editions", "films"]
    subprocess.run([*command, release.version], check=True, cwd=release.folder)
    assert Editions(release).load().catalogue.n_items == N_ITEMS + 1
    failed = subprocess.run([*command, "1"], capture_output=True, text=True, cwd=release.folder)
    assert failed.returncode == 1
    assert "no release '1'" in failed.stderr
    assert "Traceback" not in failed.stderr
