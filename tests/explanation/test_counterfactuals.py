"""Counterfactuals: they hold, they are the smallest, and none is made up."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from crossrec.explanation.counterfactuals import Race, counterfactuals
from crossrec.explanation.rescoring import Rescorer
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


@pytest.mark.parametrize("seed", range(4))
def test_no_smaller_set_of_up_to_two_would_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = race(rng, 7)
    for item in one.rivals[:K].tolist():
        answers = [a for a in counterfactuals(one, item) if a.kind == "history"]
        size = len(answers[0].places) if answers else 99
        for smaller in range(1, min(size, 3)):
            for gone in itertools.combinations(range(7), smaller):
                assert rank_without(one.model, one.query, one.allowed, item, gone) <= K


def test_nothing_of_a_larger_set_is_idle() -> None:
    checked = 0
    for seed in range(30):
        one = race(np.random.default_rng(seed), 20)
        item = int(one.rivals[0])
        for answer in counterfactuals(one, item):
            if len(answer.places) < 3:
                continue
            checked += 1
            for place in answer.places:
                fewer = tuple(p for p in answer.places if p != place)
                assert rank_without(one.model, one.query, one.allowed, item, fewer) <= K
    assert checked


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
