from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from prometheus_client.parser import text_string_to_metric_families

from crossrec.ranking.learner_policy import Drawn
from crossrec.releases.store import ReleaseStore
from crossrec.serving import drift as drift_module
from crossrec.serving import metrics as metrics_module
from crossrec.serving.drift import Drift
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.http_api import domain_app
from crossrec.serving.messages import RecommendRequest
from crossrec.serving.metrics import (
    ENDED_S,
    FAMILIES,
    Metrics,
    describe_release,
    own_file,
    write_forever,
)
from crossrec.serving.metrics_page import ALIVE_S, metrics_page
from crossrec.serving.recommender import Recommender
from crossrec.serving.stages import Stages, begin, lap
from tests import small_release
from tests.serving.conftest import WordCounter
from tests.serving.test_http_api import Backend
from tests.small_release import genre_of

SLOW_S = 0.02
"""How much longer each part is made to take; a busy machine adds less between two laps."""


def page(folder: Path) -> dict[str, dict[tuple[str, ...], float]]:
    """Sample name → label values, in the order of label names → value."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(metrics_page(folder).decode()):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def write(folder: Path, source: str, metrics: Metrics, age_s: float = 0.0) -> None:
    folder.mkdir(exist_ok=True)
    path, at = folder / f"{source}.json", time.time() - age_s
    path.write_text(json.dumps({"written_at": at, "values": metrics.snapshot()}))
    os.utime(path, (at, at))


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(domain="films")


@pytest.fixture
def asks(recommender: Recommender, log: FeedbackLog, metrics: Metrics) -> Iterator[Ask]:
    ask = Ask(recommender, log, metrics)
    yield ask
    ask.loop.close()


class Ask:
    """Sends requests to the routes of a domain on one event loop."""

    def __init__(self, recommender: Recommender, log: FeedbackLog, metrics: Metrics) -> None:
        self.loop = asyncio.new_event_loop()
        self.app = domain_app(Backend(recommender, log), None, "films", metrics=metrics)

    def __call__(self, method: str, path: str, **options: object) -> httpx.Response:
        return self.loop.run_until_complete(self._one(method, path, **options))

    async def _one(self, method: str, path: str, **options: object) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            return await http.request(method, path, **options)  # type: ignore[arg-type]

    def wait(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))


PARTS = {
    "filter": ("catalogue", "mask"),
    "queue": ("_encode", "__call__"),
    "log": ("_log", "recent"),
    "read": ("_reader", "read"),
    "search": ("scorer", "score"),
    "rank": ("ranker", "rank"),
}
"""Stage → what of the recommender does it."""


def _slow_down(
    monkeypatch: pytest.MonkeyPatch, recommender: Recommender, stage: str, seconds: float
) -> None:
    part, name = PARTS[stage]
    owner = type(getattr(recommender, part))
    work = getattr(owner, name)

    def slowly(*args: Any, **options: Any) -> Any:
        time.sleep(seconds)
        return work(*args, **options)

    monkeypatch.setattr(owner, name, slowly)


ASKED = {"user_id": "user-1", "text": "a film", "filters": {"year": {"min": 1}}}


def test_the_parts_of_a_request_sum_to_the_whole_timed_apart(
    asks: Ask,
    recommender: Recommender,
    metrics: Metrics,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    for stage in PARTS:
        _slow_down(monkeypatch, recommender, stage, SLOW_S)
    asks("POST", "/recommendations", json={**ASKED, "explain": True})
    write(tmp_path, "a", metrics)
    found = page(tmp_path)
    whole = found["crossrec_request_seconds_sum"]["films", "recommendations", "200"]
    parts = {stage: value for (*_, stage), value in found["crossrec_stage_seconds_sum"].items()}
    # nearer than that the sum would not be without any of the parts that were slowed down
    assert sum(parts.values()) == pytest.approx(whole, abs=SLOW_S / 2)
    assert min(parts[stage] for stage in PARTS) >= SLOW_S
    assert set(parts) == {*PARTS, "admit", "explain", "answer"}
    assert found["crossrec_request_seconds_count"]["films", "recommendations", "200"] == 1


@pytest.mark.parametrize("stage", PARTS)
def test_a_part_that_takes_long_is_told_under_its_own_name(
    asks: Ask,
    recommender: Recommender,
    metrics: Metrics,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
):
    _slow_down(monkeypatch, recommender, stage, 0.1)
    asks("POST", "/recommendations", json=ASKED)
    write(tmp_path, "a", metrics)
    parts = page(tmp_path)["crossrec_stage_seconds_sum"]
    seconds = {stage: value for (_, _, stage), value in parts.items()}
    assert seconds.pop(stage) >= 0.1
    assert max(seconds.values()) < 0.1


def test_what_was_timed_elsewhere_is_a_part_of_what_passed_here():
    begin, stages = time.perf_counter(), Stages()
    time.sleep(0.002)
    stages.split("queue", {"tokenise": 0.0005, "encode": 0.001})
    whole = time.perf_counter() - begin
    assert stages.seconds["tokenise"] == 0.0005
    assert 0.002 - 0.0015 <= stages.seconds["queue"] <= whole - 0.0015
    stages.split("queue", {"encode": 60.0})  # the other clock is wrong
    assert stages.seconds["encode"] < 1
    assert min(stages.seconds.values()) >= 0


def test_requests_at_the_same_time_have_clocks_of_their_own():
    async def one(stage: str) -> dict[str, float]:
        stages = begin()
        await asyncio.sleep(0.001)
        lap(stage)
        return stages.seconds

    async def both() -> list[dict[str, float]]:
        return await asyncio.gather(one("a"), one("b"))

    assert [list(seconds) for seconds in asyncio.run(both())] == [["a"], ["b"]]


def test_processes_are_added_up_and_counters_survive_their_process(tmp_path: Path):
    for source, age_s in (("alive", 0.0), ("dead", 2 * ALIVE_S)):
        one = Metrics(domain="films")
        one.add("crossrec_answers", 3, user_known="yes")
        one.observe("crossrec_request_words", 5)
        one.set("crossrec_in_flight", 2)
        write(tmp_path, source, one, age_s)
    found = page(tmp_path)
    assert found["crossrec_answers_total"] == {("films", "yes"): 6}
    assert found["crossrec_request_words_count"] == {("films",): 2}
    assert found["crossrec_request_words_bucket"]["films", "4.0"] == 0
    assert found["crossrec_request_words_bucket"]["films", "8.0"] == 2
    assert found["crossrec_in_flight"] == {("films",): 2}


def test_processes_that_ended_long_ago_have_one_file_and_count_once(tmp_path: Path):
    folder = tmp_path / "service"
    for source, age_s in (("alive", 0.0), ("lately", ENDED_S / 2), ("old", 2 * ENDED_S)):
        one = Metrics(domain="films")
        one.add("crossrec_answers", 3, user_known="yes")
        one.observe("crossrec_request_words", 5)
        one.set("crossrec_in_flight", 2)
        write(folder, source, one, age_s)
    before, left = page(folder), (folder / "old.json").read_text()
    own_file(folder)
    assert sorted(path.stem for path in folder.glob("*.json")) == ["alive", "ended", "lately"]
    assert page(folder) == before
    (folder / "old.json").write_text(left)  # its removal was interrupted
    assert page(folder) == before
    for source in ("old", "lately"):
        os.utime(folder / f"{source}.json", (0, 0))
    own_file(folder)
    assert sorted(path.stem for path in folder.glob("*.json")) == ["alive", "ended"]
    assert page(folder) == before


def test_figures_that_are_folded_while_they_are_read_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, read = tmp_path / "service", metrics_module._read
    for source in ("a", "b"):
        one = Metrics()
        one.add("crossrec_answers", 3, domain="films", user_known="yes")
        write(folder, source, one, 2 * ENDED_S)

    def read_late(path: Path) -> dict[str, Any] | None:
        monkeypatch.setattr(metrics_module, "_read", read)
        found = read(path)
        own_file(folder)
        return found

    monkeypatch.setattr(metrics_module, "_read", read_late)
    assert page(folder)["crossrec_answers_total"] == {("films", "yes"): 6}
    assert [path.name for path in folder.glob("*.json")] == ["ended.json"]


def test_two_replicas_of_a_domain_have_its_items_once(tmp_path: Path, recommender: Recommender):
    for source in ("a", "b"):
        one = Metrics(domain="films")
        describe_release(one, recommender.loaded)
        write(tmp_path, source, one)
    found = page(tmp_path)
    version = recommender.loaded.release.version
    assert found["crossrec_release_info"] == {("no", "films", version): 2}
    assert found["crossrec_items"] == {("films",): recommender.catalogue.n_items}


def test_of_a_learner_that_was_killed_just_now_nothing_is_left_but_what_it_counted(tmp_path: Path):
    for source, age_s, version, weight in (("b", 2.0, 7, 0.9), ("a", 1.0, 8, -0.1)):
        one = Metrics()
        one.set("crossrec_learner_version", version, domain="films")
        one.set("crossrec_learner_weight", weight, domain="films", objective="price")
        one.add("crossrec_learner_choices", 3, domain="films", outcome="learned")
        write(tmp_path, source, one, age_s)
    found = page(tmp_path)
    assert found["crossrec_learner_version"] == {("films",): 8}
    assert found["crossrec_learner_weight"] == {("films", "price"): -0.1}
    assert found["crossrec_learner_choices_total"] == {("films", "learned"): 6}


def test_nobody_chooses_labels_from_outside(asks: Ask, metrics: Metrics, tmp_path: Path):
    event = {"user_id": "u", "item_id": "none", "event": "evil"}
    assert asks("POST", "/feedback", json={"events": [event]}).status_code == 422
    asks("GET", "/evil")
    asks("GET", "/items/evil")
    write(tmp_path, "a", metrics)
    assert b"evil" not in metrics_page(tmp_path)
    found = page(tmp_path)
    assert found["crossrec_feedback_refused_total"]["films", "rejected"] == 1
    assert found["crossrec_request_seconds_count"]["films", "items", "404"] == 1


def test_feedback_is_counted_once(asks: Ask, metrics: Metrics, tmp_path: Path, loaded):
    item_id = loaded.model.vocabulary.item_ids[0]
    event = {"user_id": "u", "item_id": item_id, "event": "click", "event_id": "1"}
    for _ in range(2):
        assert asks("POST", "/feedback", json={"events": [event]}).status_code == 200
    write(tmp_path, "a", metrics)
    found = page(tmp_path)
    assert found["crossrec_feedback_refused_total"]["films", "duplicate"] == 1


def test_strange_words_and_odd_scores_are_counted(
    asks: Ask, metrics: Metrics, tmp_path: Path, loaded, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(drift_module, "PAUSE_S", 0)
    word = next(word for word in loaded.catalogue.titles([0])[0].split() if word.isalpha())
    asks("POST", "/recommendations", json={"text": f"{word} xqzvw"})
    asks.wait(0.5)  # the reference of the release's own users
    users = [user_id for user_id, _ in loaded.catalogue.histories(100)]
    for user_id in users:
        asks("POST", "/recommendations", json={"user_id": user_id})
    write(tmp_path, "a", metrics)
    found = page(tmp_path)
    assert found["crossrec_words_total"] == {("films", "yes"): 1, ("films", "no"): 1}
    tenths = found["crossrec_top_score_total"]
    assert sum(tenths.values()) == len(users)
    assert max(tenths.values()) <= len(users) / 2  # the reference's own users fill all tenths


def test_a_release_expects_as_many_unknown_words_as_an_item_has_that_it_does_not_know(
    fresh_home: Path, log: FeedbackLog, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(drift_module, "PAUSE_S", 0)
    ends = ["zebras", "an owl", "a gnu", "an ibis", "emus", "a newt", *["the dog"] * 18]
    texts = [f"A {genre_of(n)} with {end}" for n, end in enumerate(ends)]
    items = small_release._items().with_columns(text=pl.Series(texts))
    monkeypatch.setattr(small_release, "_items", lambda: items)
    store = ReleaseStore()
    small_release.make_small_domain(fresh_home / "data" / "films").publish(store)
    recommender = Recommender(store.load("films"), WordCounter(), log)
    metrics = Metrics()

    async def ask() -> None:
        request = RecommendRequest(text="horror")
        Drift(metrics).answered(recommender, request, await recommender.recommend(request))
        await asyncio.sleep(0.5)  # the reference of the release's own items

    asyncio.run(ask())
    found = {name: value for name, _, value in metrics.snapshot()}
    # genre and `with` 24 times, `the dog` 18 times, and six words that one item has each
    assert found["crossrec_expected_unknown_words"] == 6 / (2 * 24 + 2 * 18 + 6)


class Cheap:
    """Has learned that what is unpopular is liked."""

    active, objectives = True, ("popularity",)

    def draw(self, context, who):
        return Drawn({"popularity": -3.0}, version=2, arm=0, propensity=1.0)


@pytest.mark.parametrize(
    ("fields", "n_counted"),
    [
        ({}, 1),
        ({"k": 3, "explain": True, "at_most": {"studio": 1}}, 1),  # the same item is first
        ({"pinned": [{"item_id": "film-1", "position": 1}]}, 0),
        ({"objectives": {"popularity": -3}}, 0),
        ({"blocked": ["film-1"]}, 0),
        ({"exclude_seen": False}, 0),
        ({"weigh": Cheap()}, 0),
    ],
)
def test_scores_that_say_nothing_of_the_reference_are_not_counted(
    loaded, encoder, log: FeedbackLog, monkeypatch: pytest.MonkeyPatch, fields: dict, n_counted: int
):
    monkeypatch.setattr(drift_module, "PAUSE_S", 0)
    asked = dict(fields)
    recommender = Recommender(loaded, encoder, log, weigh=asked.pop("weigh", None))
    metrics = Metrics()
    drift = Drift(metrics)

    async def one(**fields) -> None:
        request = RecommendRequest(user_id="user-1", **fields)
        drift.answered(recommender, request, await recommender.recommend(request))

    async def both() -> None:
        await one(text="horror")
        await asyncio.sleep(0.5)  # the reference of the release's own users
        await one(**asked)

    asyncio.run(both())
    counts = [n for name, _, n in metrics.snapshot() if name == "crossrec_top_score"]
    assert (len(counts), sum(counts)) == (10, n_counted)


def test_figures_are_written_now_and_then_and_old_ones_go(
    tmp_path: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(metrics_module, "WRITE_EVERY_S", 0.01)
    monkeypatch.setattr(metrics_module, "KEEP_DAYS", 1e-6)
    old = tmp_path / "ended"
    write(old, "a", metrics)
    time.sleep(0.2)

    async def write_for_a_while() -> None:
        task = asyncio.create_task(write_forever(metrics, tmp_path / "service"))
        await asyncio.sleep(0.05)
        metrics.add("crossrec_answers", user_known="no")
        await asyncio.sleep(0.2)
        task.cancel()

    asyncio.run(write_for_a_while())
    assert not old.exists()
    assert page(tmp_path / "service")["crossrec_answers_total"] == {("films", "no"): 1}


def test_every_name_says_what_it_is():
    for name, family in FAMILIES.items():
        assert name.startswith("crossrec_")
        assert family.help.endswith(".")
        assert bool(family.buckets) == (family.kind == "histogram")
