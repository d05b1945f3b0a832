"""What may go wrong while items are added: nothing is lost, and nobody is told otherwise."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
import weakref
from dataclasses import replace
from pathlib import Path

import pytest

from crossrec.domains.spec import Objective
from crossrec.errors import EncoderError, ReleaseError, RequestError
from crossrec.releases.added_items import AddedItem, AddedItems, Reading, items_folder
from crossrec.releases.store import LoadedRelease, Release, ReleaseStore
from crossrec.serving import item_updates
from crossrec.serving.auth import KeyRing
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.messages import ItemsResponse, ItemUpsert
from crossrec.serving.recommender import Recommender
from tests.serving.replicas import NEW, Replica, make_here, replica
from tests.small_release import N_ITEMS, SmallDomain, encode_words


@pytest.fixture
def release(films: SmallDomain, fresh_home: Path) -> Release:
    return films.publish(ReleaseStore())


@pytest.fixture
def pair(release: Release, log: FeedbackLog) -> tuple[Replica, Replica]:
    return replica(log), replica(log)


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
