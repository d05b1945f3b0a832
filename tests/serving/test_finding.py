"""Answers out of a catalogue that is not scored whole, beside those of the same one that is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from crossrec.explanation.moments import moments_of
from crossrec.ranking import item_index
from crossrec.releases.added_items import AddedItem, AddedItems, Reading, items_folder
from crossrec.releases.editions import Editions
from crossrec.releases.store import LoadedRelease, ReleaseStore
from crossrec.serving.cards import domain_card
from crossrec.serving.explaining import Explainer
from crossrec.serving.explanation_messages import ExplainRequest
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.messages import FeedbackEvent, RecommendRequest, RecommendResponse
from crossrec.serving.recommender import Recommender
from tests.crowd import N_THINGS, exact, kind_of, make_crowd, read
from tests.serving.conftest import NOW

K = 10


class Asked:
    """A release that is asked; `ask` in short, `explain` why."""

    def __init__(self, loaded: LoadedRelease, log: FeedbackLog) -> None:
        self.loaded = loaded

        async def encode(texts: list[str]) -> np.ndarray:
            return read(texts)

        self.recommender = Recommender(loaded, encode, log, clock=lambda: NOW)

    def ask(self, **fields) -> RecommendResponse:
        return asyncio.run(self.recommender.recommend(RecommendRequest(**{"k": K} | fields)))

    def ids(self, **fields) -> list[str]:
        return [item.item_id for item in self.ask(**fields).items]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedRelease, LoadedRelease]:
    """With an index, and without."""
    folder = tmp_path_factory.mktemp("crowd")
    crowd = make_crowd(folder / "things")
    stores = ReleaseStore(folder / "indexed"), ReleaseStore(folder / "plain")
    for one, store in zip((crowd, exact(crowd)), stores, strict=True):
        one.publish(store)
    return stores[0].load("things"), stores[1].load("things")


@pytest.fixture
def indexed(loaded, log: FeedbackLog) -> Asked:
    return Asked(loaded[0], log)


@pytest.fixture
def plain(loaded, log: FeedbackLog) -> Asked:
    return Asked(loaded[1], log)


def questions() -> list[dict]:
    people = [{"user_id": f"person-{n}"} for n in range(30)]
    words = [{"text": f"kind {n} number {90_000 + n}"} for n in range(30)]
    both = [{**person, **said} for person, said in zip(people, words, strict=True)]
    return [*people, *words, *both, {}]


def test_the_ten_best_are_nearly_all_found_and_scored_as_if_all_were(indexed, plain):
    found, n = 0, 0
    for question in questions():
        ours, whole = indexed.ask(**question), plain.ask(**question)
        assert (ours.search, whole.search) == ("approximate", "exact")
        scores = {item.item_id: item for item in whole.items}
        both = [item for item in ours.items if item.item_id in scores]
        for item in both:
            assert item.score == pytest.approx(scores[item.item_id].score, abs=1e-3)
            assert item.signals == pytest.approx(scores[item.item_id].signals, abs=1e-3)
        found, n = found + len(both), n + K
        assert [item.rank for item in ours.items] == list(range(1, K + 1))
    assert found / n >= 0.97
    rows = indexed.recommender._search.pool  # far from all of the items were scored
    question = asyncio.run(indexed.recommender.ask(RecommendRequest(user_id="person-1"))).question
    pool = rows(question, RecommendRequest(), None)
    assert len(pool.rows) < N_THINGS / 3


@pytest.mark.parametrize(
    "fields",
    [
        {"where": 'price < 20 and "odd" in category'},
        {"filters": {"price": {"max": 3}}},
    ],
)
def test_what_a_narrow_filter_leaves_is_all_scored(indexed, plain, fields):
    for question in questions()[::9]:
        ours = indexed.ask(**question, **fields)
        assert ours.search == "exact"
        assert [item.item_id for item in ours.items] == plain.ids(**question, **fields)


def test_a_wide_filter_is_kept_by_the_index(indexed, plain):
    found = []
    for question in questions()[::3]:
        ours = indexed.ask(**question, filters={"category": "even"})
        assert ours.search == "approximate"
        assert all(item.category == ["even"] for item in ours.items)
        best = plain.ids(**question, filters={"category": "even"})
        found.append(len({item.item_id for item in ours.items} & set(best)) / K)
    assert np.mean(found) >= 0.97


def test_other_objectives_rank_the_candidates(indexed, plain):
    found = []
    for question in questions()[::5]:
        fields = {**question, "objectives": {"price": 0.2, "diversity": 0.2, "popularity": 0.1}}
        ours, best = indexed.ask(**fields), plain.ask(**fields)
        assert ours.weights == best.weights
        scores = {item.item_id: item.objectives for item in best.items}
        for item in ours.items:
            assert item.score == pytest.approx(sum(item.objectives.values()))
            assert item.measures["price"] == int(item.item_id[6:]) * 7919 % 100
        found.append(len({item.item_id for item in ours.items} & set(scores)) / K)
    assert np.mean(found) >= 0.9


def test_pinned_items_are_scored_and_blocked_ones_stay_away(indexed, plain):
    fields = {"user_id": "person-3"}
    best = plain.ids(**fields)
    far = plain.ask(**fields, k=500).items[-1].item_id
    pinned = [{"item_id": far, "position": 2}]
    ours = indexed.ask(**fields, pinned=pinned, blocked=[best[0]])
    assert ours.items[1].item_id == far
    assert ours.items[1].pinned
    assert best[0] not in [item.item_id for item in ours.items]
    [whole] = [i for i in plain.ask(**fields, pinned=pinned).items if i.item_id == far]
    assert ours.items[1].score == pytest.approx(whole.score, abs=1e-3)


def test_what_somebody_dislikes_lowers_its_like(indexed, plain, log: FeedbackLog):
    fields = {"user_id": "person-4"}
    first = plain.ids(**fields)[0]
    event = FeedbackEvent(event_id="e1", user_id="person-4", item_id=first, event="dislike")
    for one in (indexed, plain):
        asyncio.run(one.recommender.feedback([event]))
    ours, whole = indexed.ask(**fields), plain.ask(**fields)
    assert first not in [item.item_id for item in ours.items]
    scores = {item.item_id: item.score for item in whole.items}
    shared = [item for item in ours.items if item.item_id in scores]
    assert len(shared) >= 9
    for item in shared:
        assert item.score == pytest.approx(scores[item.item_id], abs=2e-3)


def test_limits_that_no_candidates_meet_are_met_by_all_items(indexed):
    answer = indexed.ask(user_id="person-5", k=5, at_most={"maker": 1})
    assert answer.search == "exact"
    assert len({item.item["maker"] for item in answer.items}) == len(answer.items) == 5


def test_an_answer_is_explained(indexed):
    request = RecommendRequest(user_id="person-6", text="kind 8 number 3", k=K)
    first = asyncio.run(indexed.recommender.recommend(request)).items[0]
    why = asyncio.run(
        Explainer(indexed.recommender).explain(
            ExplainRequest(request=request, item_id=first.item_id)
        )
    )
    assert why.rank == 1
    assert why.signals == pytest.approx(first.signals, abs=1e-4)
    assert sum(part.value for part in why.explanation.parts) == pytest.approx(first.score, abs=1e-3)
    short = indexed.ask(user_id="person-6", explain=True)
    for item in short.items:
        assert item.explanation.score == pytest.approx(item.score, abs=1e-3)


def test_the_card_says_how_items_are_found(indexed, plain):
    for one, search in ((indexed, "approximate"), (plain, "exact")):
        asked = one.recommender
        assert domain_card(one.loaded, asked.rules, asked.ranker.objectives).search == search


def test_added_and_changed_items_are_found_in_the_next_request(
    tmp_path: Path, fresh_home: Path, log: FeedbackLog
):
    release = make_crowd(tmp_path / "things").publish(ReleaseStore())
    before = Asked(ReleaseStore().load("things"), log)
    kind = kind_of(int(before.ids(user_id="person-7")[0][6:]))
    new = AddedItem("thing-new", "New", f"kind {kind} number 50000", ["odd"], {"price": 1.0})
    moved = AddedItem("thing-2999", "Moved", f"kind {kind} number 50001", ["odd"], {"price": 1.0})
    added = AddedItems(items_folder("things"))
    added.put([new, moved])
    vectors = read([new.text, moved.text])
    readings = [Reading(*pair) for pair in zip((new, moved), vectors, strict=True)]
    added.put_readings(release.version, readings)
    Editions(release).make()
    edition = Editions(release).load()
    assert edition is not None
    assert edition.search is not None
    known = edition.model.vocabulary.item_idx
    assert edition.search.unindexed.tolist() == [known["thing-2999"], N_THINGS]
    after = Asked(edition, log)
    for name, moments in edition.search.moments.items():
        anew = moments_of(edition.model.signals_by_name[name])
        np.testing.assert_allclose(moments.mean, anew.mean, atol=1e-6)
        np.testing.assert_allclose(moments.covariance, anew.covariance, atol=1e-6)
    request = RecommendRequest(text=f"kind {kind} number 50000", k=300)
    asked = asyncio.run(after.recommender.ask(request))
    assert asked.search == "approximate"
    scores = edition.model.score(asked.question.queries)[0]
    listed = {one.item_idx: one.score for one in asked.ranking.items}
    for item_id in ("thing-new", "thing-2999"):
        assert listed[known[item_id]] == pytest.approx(scores[known[item_id]], abs=1e-3)
    assert (release.folder / "search").is_dir()
    assert ReleaseStore().load("things").search.unindexed.tolist() == []


def test_without_faiss_all_items_are_scored_and_it_is_said(
    loaded, monkeypatch: pytest.MonkeyPatch, caplog, log: FeedbackLog, plain: Asked
):
    def absent() -> None:
        raise item_index.ReleaseError("FAISS is not installed")

    monkeypatch.setattr("crossrec.releases.item_search.faiss", absent)
    again = ReleaseStore(loaded[0].release.folder.parents[1]).load("things")
    assert again.search is None
    assert "'things' scores all items: FAISS is not installed" in caplog.text
    answer = Asked(again, log).ask(user_id="person-1")
    assert answer.search == "exact"
    assert [item.item_id for item in answer.items] == plain.ids(user_id="person-1")


def test_a_small_catalogue_has_no_index(loaded):
    assert not (loaded[1].release.folder / "search").exists()
    assert (loaded[0].release.folder / "search" / "text.faiss").is_file()
