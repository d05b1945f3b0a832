"""Counterfactuals: they hold, are as small as they say, and none is made up."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from crossrec.explanation import counterfactuals as module
from crossrec.explanation.counterfactuals import counterfactuals
from crossrec.explanation.race import Race
from crossrec.explanation.rescoring import Rescorer
from crossrec.explanation.things import Left
from crossrec.models.domain_model import DomainModel
from crossrec.models.query import Queries
from tests.explanation.whole_model import N, query, whole_model

K = 5


def race(rng: np.random.Generator, n_steps: int) -> Race:
    model, one = whole_model(rng), query(rng, n_steps, asked=False)
    allowed = np.ones(N, bool)
    allowed[one.items[0][one.items[0] >= 0]] = False
    return Race(model, Rescorer(model), one, allowed, K)


def rank_without(
    model: DomainModel, one: Queries, allowed: np.ndarray, item: int, gone: tuple[int, ...]
) -> int:
    """Written out once more, from the arrays of a query in which the steps never were."""
    kept = [step for step in range(one.items.shape[1]) if step not in gone]
    left = replace(
        one, items=one.items[:, kept], times=one.times[:, kept], events=one.events[:, kept]
    )
    if not kept:
        left = replace(
            query(np.random.default_rng(0), 0, asked=False), context=one.context, now=one.now
        )
    scores = np.where(allowed, model.score(left)[0], -np.inf)
    return int((-scores).argsort(kind="stable").tolist().index(item)) + 1


@pytest.mark.parametrize("seed", range(6))
def test_each_one_holds_when_the_query_is_made_without_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = race(rng, 12)
    found = 0
    for item in one.rivals[:K].tolist():
        for answer in counterfactuals(one, item):
            found += 1
            assert answer.rank > K
            if answer.kind == "history":
                again = rank_without(one.model, one.query, one.allowed, item, answer.places)
                assert again == answer.rank
    assert found


def leaving(one: Race, item: int, n: int, sizes: range) -> list[tuple[int, ...]]:
    """Sets of the first n steps without which the item leaves, by trying them all."""
    sets = (gone for size in sizes for gone in itertools.combinations(range(n), size))
    return [s for s in sets if rank_without(one.model, one.query, one.allowed, item, s) > K]


def test_what_is_called_smallest_is() -> None:
    sizes = []
    for seed in range(6):
        one = race(np.random.default_rng(seed), 8)
        for item in one.rivals[:K].tolist():
            answers = [a for a in counterfactuals(one, item) if a.kind == "history"]
            size = len(answers[0].places) if answers else 4
            assert leaving(one, item, 8, range(1, size)) == []
            assert all(answer.is_smallest for answer in answers)
            sizes.append(size)
    assert max(sizes) > 1


def test_a_set_that_the_search_missed_is_found_by_the_proof(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The search is made blind for all but the largest sets; candidates beyond the rivals count."""
    smaller = 0
    for seed in range(12):
        one = race(np.random.default_rng(seed), 7)
        item = int(one.rivals[0])
        wanted = [a for a in counterfactuals(one, item) if a.kind == "history"]
        with monkeypatch.context() as patch:
            patch.setattr(module, "EXACT", 0)
            got = [a for a in counterfactuals(one, item) if a.kind == "history"]
        if wanted and got:
            assert len(got[0].places) == len(wanted[0].places)
            assert got[0].is_smallest
            smaller += len(got[0].places) > 1
    assert smaller


def test_where_not_all_is_tried_each_one_is_needed_and_the_answer_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for budget in ("SETS", "PROOF_SETS"):
        monkeypatch.setattr(module, budget, 40)  # nine steps' pairs are 36
    checked = 0
    for seed in range(30):
        one = race(np.random.default_rng(seed), 20)
        item = int(one.rivals[0])
        for answer in counterfactuals(one, item):
            n_smaller = sum(math.comb(20, size) for size in range(1, len(answer.places)))
            assert answer.is_smallest == (len(answer.places) < 2 or n_smaller <= 40)
            checked += not answer.is_smallest
            for place in answer.places if len(answer.places) > 1 else ():
                fewer = tuple(p for p in answer.places if p != place)
                assert rank_without(one.model, one.query, one.allowed, item, fewer) <= K
            if 3 <= len(answer.places) <= 6 and not answer.is_smallest:
                inside = answer.places
                for size in range(1, len(inside)):
                    for fewer in itertools.combinations(inside, size):
                        assert rank_without(one.model, one.query, one.allowed, item, fewer) <= K
    assert checked


def test_the_search_keeps_to_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    scored: list[int] = []
    margins = Race.margins

    def counting(self: Race, item: int, rows: list[Left], among: object = None) -> np.ndarray:
        scored.append(len(rows))
        return margins(self, item, rows, among)

    monkeypatch.setattr(Race, "margins", counting)
    one = race(np.random.default_rng(3), 40)
    item = int(one.rivals[0])
    beside = np.zeros(N, np.float32)
    beside[item] = 1000  # it never leaves: everything is tried
    assert counterfactuals(replace(one, beside=beside), item) == []
    # all, each alone, and the growing ones: no pair has hope against an item that far above
    assert sum(scored) == 1 + 40 + module.MAX_SET - module.EXACT
    assert max(scored) <= module.CHUNK
    scored.clear()
    monkeypatch.setattr(module, "HOPE", 1.0)
    assert counterfactuals(replace(one, beside=beside), item) == []
    assert 2 * 40 + 1.5 * module.SETS < sum(scored) <= 2 * 40 + 2 * module.SETS + module.MAX_SET


def test_in_a_short_history_pairs_are_tried_that_promise_little() -> None:
    """There steps matter together: a pair can do what neither seems to do alone."""
    found = []
    for seed in range(6):
        one = race(np.random.default_rng(seed), module.SHORT)
        for item in one.rivals[:K].tolist():
            if leaving(one, item, module.SHORT, range(1, 3)):
                answers = [a for a in counterfactuals(one, item) if a.kind == "history"]
                found += [len(answer.places) for answer in answers]
    assert found
    assert max(found) <= 2


def test_without_history_and_context_there_is_none() -> None:
    one = race(np.random.default_rng(0), 0)
    one = replace(one, query=replace(one.query, context={}))
    assert counterfactuals(one, int(one.rivals[0])) == []


def test_what_stands_beside_relevance_counts() -> None:
    rng = np.random.default_rng(1)
    one = race(rng, 6)
    item = int(one.rivals[0])
    beside = np.zeros(N, np.float32)
    beside[item] = 1000
    assert counterfactuals(replace(one, beside=beside), item) == []


def test_an_order_of_the_caller_has_the_last_word() -> None:
    one = race(np.random.default_rng(1), 6)
    item = int(one.rivals[0])
    assert counterfactuals(one, item)
    always = replace(one, order=lambda left: [item, *range(K)])
    assert counterfactuals(always, item) == []
    seen: list[int] = []

    def by_relevance(left: Queries) -> list[int]:
        seen.append(int((left.items >= 0).sum()))
        scores = np.where(one.allowed, one.model.score(left)[0], -np.inf)
        return np.argsort(-scores, kind="stable")[:20].tolist()

    same = counterfactuals(replace(one, order=by_relevance), item)
    assert [(a.places, a.field) for a in same] == [
        (a.places, a.field) for a in counterfactuals(one, item)
    ]
    assert min(seen) < 6
