from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

import httpx
import polars as pl
import pytest

from crossrec.data import locks
from crossrec.data.pseudonyms import UserKeys
from crossrec.errors import ReleaseError, ServiceError
from crossrec.releases.editions import Editions
from crossrec.releases.forgetting import FORMER, WITHOUT, forget_user
from crossrec.releases.store import LoadedRelease, ReleaseStore
from crossrec.serving.answer_log import FLUSH_S, AnswerLog
from crossrec.serving.auth import KeyRing
from crossrec.serving.erasure import Erasures
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.http_api import domain_app
from crossrec.serving.item_updates import Current, ItemUpdates
from crossrec.serving.messages import (
    ErasureResponse,
    FeedbackEvent,
    ItemsResponse,
    ItemUpsert,
)
from crossrec.serving.recommender import Recommender
from tests.serving.conftest import NOW, WordCounter
from tests.small_release import SmallDomain


@dataclass
class Replica:
    """What a domain's process holds, with the release opened before anybody was erased."""

    recommender: Recommender
    feedback_log: FeedbackLog
    erasures: Erasures

    async def erase(self, user_id: str) -> ErasureResponse:
        return await asyncio.to_thread(self.erasures.erase, user_id)

    async def put_items(self, items: list[ItemUpsert]) -> ItemsResponse:
        loaded = self.recommender.loaded
        updates = ItemUpdates("films", lambda release: Editions(release).make())
        current = Current(loaded, lambda _: self.recommender)
        return await updates.put(lambda: current, items)

    def ask(self, method: str, path: str, keys: KeyRing | None = None, **options) -> httpx.Response:
        app = domain_app(self, keys, "films")

        async def one() -> httpx.Response:
            transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
                return await http.request(method, path, **options)

        return asyncio.run(one())


@pytest.fixture
def store(films: SmallDomain, fresh_home: Path) -> ReleaseStore:
    """Two releases of the same data."""
    store = ReleaseStore()
    for _ in range(2):
        films.publish(store)
    return store


def replica(store: ReleaseStore) -> Replica:
    return replica_of(store, "current")


def replica_of(store: ReleaseStore, version: str) -> Replica:
    loaded: LoadedRelease = store.load("films", version)
    log = FeedbackLog()
    erasures = Erasures("films", log, store)
    loaded.catalogue.hides = erasures.hides
    return Replica(Recommender(loaded, WordCounter(), log, clock=lambda: NOW), log, erasures)


def like(user: str, item: str) -> FeedbackEvent:
    return FeedbackEvent(event_id=f"{user}-{item}", user_id=user, item_id=item, event="like")


def test_an_erased_user_is_unknown_to_every_replica_and_in_no_release(store: ReleaseStore):
    first, second = replica(store), replica(store)
    events = [like("user-3", "film-2"), like("user-4", "film-2")]
    first.feedback_log.append("films", events).result()
    assert second.ask("GET", "/users/user-3").json()["known"]
    before = second.ask("POST", "/recommendations", json={"user_id": "user-4"}).json()

    answer = first.ask("DELETE", "/users/user-3")
    assert answer.status_code == 200, answer.text
    versions = [release.version for release in store.list("films")]
    body = answer.json()
    assert (body["n_events"], body["releases"], body["trained_with"]) == (1, versions, versions)
    assert f"the weights of {', '.join(versions)} were trained" in body["remains"]
    assert "user-3" not in answer.text

    for one in (first, second):
        assert one.ask("GET", "/users/user-3").json() == {
            "user_id": "user-3", "known": False, "history": [],
        }  # fmt: skip
        asked = one.ask("POST", "/recommendations", json={"user_id": "user-3"}).json()
        assert not asked["user_known"]
        assert asked["based_on"] == ["popularity"]
        assert "user-3" not in one.ask("GET", "/card").text
    after = second.ask("POST", "/recommendations", json={"user_id": "user-4"}).json()
    assert [item["item_id"] for item in after["items"]] == [
        item["item_id"] for item in before["items"]
    ]
    for version in versions:
        release = store.verify("films", version)
        assert b"user-3\0" not in (release.folder / "catalogue.sqlite").read_bytes()
        loaded = store.load("films", version)
        assert loaded.catalogue.history("user-3") is None
        assert loaded.catalogue.history("user-4") is not None
        assert loaded.catalogue.n_users == 19
        loaded.close()


def test_erasing_again_says_again_what_remains(store: ReleaseStore):
    one = replica(store)
    one.ask("DELETE", "/users/user-3")
    again = one.ask("DELETE", "/users/user-3").json()
    assert (again["n_events"], again["releases"]) == (0, [])
    assert len(again["trained_with"]) == 2
    store.delete("films", store.list("films")[0].version)
    assert len(one.ask("DELETE", "/users/user-3").json()["trained_with"]) == 1


def test_only_the_exact_id_is_erased(store: ReleaseStore):
    one = replica(store)
    for user in ("user-", "user-%", "user-_", "USER-3", "*"):
        body = one.ask("DELETE", f"/users/{user.replace('%', '%25')}").json()
        assert (body["n_events"], body["releases"], body["trained_with"]) == (0, [], [])
        assert body["remains"].startswith("nothing")
    assert one.ask("DELETE", "/users/").status_code == 422
    assert one.ask("GET", "/users/user-3").json()["known"]


def test_somebody_may_come_back(store: ReleaseStore):
    one = replica(store)
    one.ask("DELETE", "/users/user-3")
    one.feedback_log.append("films", [like("user-3", "film-2")]).result()
    card = one.ask("GET", "/users/user-3").json()
    assert [(step["item_id"], step["source"]) for step in card["history"]] == [
        ("film-2", "feedback")
    ]


def test_an_answer_that_is_counted_late_is_erased_too(store: ReleaseStore):
    other = AnswerLog("films")
    other.count("trial", "control", "user-1")
    other.count("trial", "control", "user-2")
    late = Timer(FLUSH_S, other.flush)
    late.start()
    replica(store).erasures.erase("user-1")
    late.join()
    assert [one.user_id for one in other.responses("trial")] == ["user-2"]
    other.close()


def test_erasing_needs_an_admin_key(store: ReleaseStore):
    one, ring = replica(store), KeyRing()
    keys = {scope: ring.create(scope, [scope]) for scope in ("read", "feedback", "admin")}
    statuses = {
        scope: one.ask(
            "DELETE", "/users/user-3", ring, headers={"authorization": f"Bearer {key}"}
        ).status_code
        for scope, key in keys.items()
    }
    assert statuses == {"read": 403, "feedback": 403, "admin": 200}
    said = (one.erasures._store.root.parent / "audit.jsonl").read_text()
    assert said.count('"user erased"') == 1
    assert "user-3" not in said


def test_a_damaged_release_is_not_made_to_look_whole_and_stops_no_erasure(
    store: ReleaseStore, fresh_home: Path
):
    first, second = (release.version for release in store.list("films"))
    model = store.root / "films" / first / "model.json"
    model.write_text(model.read_text() + " ")
    export = fresh_home / "feedback" / "films.parquet"
    export.parent.mkdir()
    pl.DataFrame({"user_id": ["user-3", "user-4"]}).write_parquet(export)
    refused = replica_of(store, second).ask("DELETE", "/users/user-3")
    assert refused.status_code == 503
    assert f"in 1 of the releases of 'films', in no other: {first} (" in refused.json()["error"]
    assert "was altered" in refused.json()["error"]
    with pytest.raises(ReleaseError, match="was altered"):
        store.verify("films", first)
    loaded = store.load("films", second)
    assert loaded.catalogue.history("user-3") is None
    loaded.close()
    assert pl.read_parquet(export)["user_id"].to_list() == ["user-4"]
    (store.root / "films" / first / "catalogue.sqlite").write_bytes(b"nothing of a catalogue")
    with pytest.raises(ReleaseError, match=first):
        forget_user(store, "films", "user-4")
    store.delete("films", first)
    again = replica_of(store, second).ask("DELETE", "/users/user-3")
    assert again.json()["trained_with"] == [second]


def test_erasures_at_once_do_not_break_each_other(store: ReleaseStore):
    users = [f"user-{n}" for n in range(6)]
    with ThreadPoolExecutor(len(users)) as pool:
        done = list(pool.map(lambda user: forget_user(store, "films", user), users))
    versions = [release.version for release in store.list("films")]
    assert done == [versions] * len(users)
    for version in versions:
        loaded = store.load("films", version)
        assert [u for u in users if loaded.catalogue.history(u) is not None] == []
        assert loaded.catalogue.n_users == 20 - len(users)
        loaded.close()


def test_an_erasure_does_not_wait_for_ever(store: ReleaseStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(locks, "WAIT_S", 0.1)
    with ThreadPoolExecutor(1) as pool, locks.only_one(store.root, "films"):
        waiting = pool.submit(forget_user, store, "films", "user-3")
        with pytest.raises(ServiceError, match=r"for 0\.1 s; nothing was changed"):
            waiting.result()


def test_who_was_erased_before_pseudonyms_stays_hidden(store: ReleaseStore):
    one = replica(store)
    one.ask("DELETE", "/users/user-3")
    key = UserKeys().make(pseudonymise=True)
    assert one.erasures.hides("user-3")
    assert one.erasures.hides(key.inside("user-3"))
    assert not one.erasures.hides(key.inside("user-4"))
    assert not one.erasures.hides("user-4")


def test_after_pseudonyms_the_id_is_erased_from_what_is_older(store: ReleaseStore):
    UserKeys().make(pseudonymise=True)
    versions = [release.version for release in store.list("films")]
    one = replica(store)
    answer = one.ask("DELETE", "/users/user-3").json()
    assert answer["releases"] == answer["trained_with"] == versions
    assert one.erasures.hides("user-3")
    for version in versions:
        loaded = store.load("films", version)
        assert loaded.catalogue.history("user-3") is None
        loaded.close()


def test_what_a_killed_process_left_half_done_is_finished(store: ReleaseStore):
    folder = store.root / "films"
    versions = [release.version for release in store.list("films")]
    (folder / versions[0]).rename(folder / f"{FORMER}{versions[0]}")
    (folder / f"{WITHOUT}{versions[1]}").mkdir()
    assert forget_user(store, "films", "user-3") == versions
    assert [release.version for release in store.list("films")] == versions
    assert sorted(path.name for path in folder.iterdir()) == [*versions, "current"]
    store.verify("films", versions[0])


def test_with_pseudonyms_no_id_of_the_caller_is_kept(store: ReleaseStore, fresh_home: Path):
    key = UserKeys().make(pseudonymise=True)
    one = replica(store)
    event = like("jane@example.org", "film-2").model_dump(exclude_none=True)
    assert one.ask("POST", "/feedback", json={"events": [event]}).json()["accepted"] == 1
    assert [e.user_id for e in one.feedback_log.events("films")] == [key.inside("jane@example.org")]
    card = one.ask("GET", "/users/jane@example.org").json()
    assert card["known"]
    assert card["user_id"].startswith("p-")
    asked = one.ask("POST", "/recommendations", json={"user_id": "jane@example.org"}).json()
    assert asked["based_on"] == ["history"]
    body = {"request": {"user_id": "jane@example.org"}, "item_id": asked["items"][0]["item_id"]}
    reasons = one.ask("POST", "/explanations", json=body)
    assert "film-2" in reasons.text
    kept = b"".join(p.read_bytes() for p in fresh_home.rglob("*") if p.is_file())
    assert b"jane" not in kept.replace(event["event_id"].encode(), b"")
    assert one.ask("DELETE", "/users/jane@example.org").json()["n_events"] == 1
    assert not one.ask("GET", "/users/jane@example.org").json()["known"]
