"""Ratios, intervals and the best peer, on figures worked by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from crossrec.benchmark.cells import FUSION, MINE, OURS
from crossrec.benchmark.compare import (
    best_peer,
    geometric,
    groups,
    over_best_on_test,
    ratio,
    select,
)
from tests.benchmark.test_cells import result

SECOND = 1 / np.log2(3)  # NDCG of rank 2


def test_a_ratio_is_that_of_the_means_over_users_and_seeds():
    found = groups([result(OURS, [1, 2, 11]), result(OURS, [1, 1, 11], 1), result("ease", [2] * 3)])
    ours, peer = found
    one = ratio(ours, peer)
    assert one.ours == pytest.approx((1 + (SECOND + 1) / 2) / 3)
    assert one.theirs == pytest.approx(SECOND)
    assert one.value == pytest.approx(one.ours / one.theirs)
    assert one.ci95[0] < one.value < one.ci95[1]
    assert one.n == 3


def test_users_are_drawn_in_pairs():
    """Twice the peer's figure for every user: no draw of users can say anything else."""
    ranks = [1, 11, 2, 11, 5, 1] * 5
    ours, peer = groups([result(OURS, ranks), result("ease", ranks)])
    assert ratio(ours, peer).ci95 == (1.0, 1.0)


def test_warm_and_cold_targets_are_compared_apart():
    ours, peer = groups([result(OURS, [1, 20, 20]), result("frozen_text", [2, 1, 1])])
    assert ratio(ours, peer, kind="cold").value == pytest.approx(1 / SECOND)
    assert ratio(ours, peer, kind="warm").value == 0


def test_a_ratio_over_nothing_is_no_figure_in_json():
    ours, peer = groups([result(OURS, [1, 1]), result("ease", [20, 20])])
    one = ratio(ours, peer)
    assert one.value == float("inf")
    assert json.loads(json.dumps(one.summary(), allow_nan=False))["ci95"] == [None, None]


def test_the_best_peer_is_best_on_validation_and_never_the_fusion():
    found = groups(
        [
            result("ease", [1], validation=[5]),
            result("itemknn", [9], validation=[2]),
            result(FUSION, [1], validation=[1]),
            *(result(model, [1], validation=[1]) for model in MINE),
        ]
    )
    best = best_peer(found, "films", "leave_one_out")
    assert best is not None
    assert best.model == "itemknn"
    assert best_peer(found, "films", "temporal") is None
    assert select(found, "films", "leave_one_out", "ease") is not None


def test_the_peer_best_on_test_is_another_figure():
    found = groups(
        [
            result(OURS, [1]),
            result("ease", [1], validation=[5]),
            result("itemknn", [2], validation=[2]),
        ]
    )
    chosen = best_peer(found, "films", "leave_one_out")
    assert chosen is not None
    one = ratio(found[0], chosen)
    after = over_best_on_test(found, one)
    assert after is not None
    assert (one.peer, one.value) == ("itemknn", pytest.approx(1 / SECOND))
    assert (after.peer, after.value) == ("ease", pytest.approx(1))


def test_a_geometric_mean_of_ratios():
    pairs = [([1, 1], [2, 2]), ([2, 2], [1, 1])]
    ratios = [ratio(*groups([result(OURS, a), result("ease", b)])) for a, b in pairs]
    mean, (low, high) = geometric(ratios)
    assert mean == pytest.approx(1)
    assert (low, high) == (pytest.approx(1), pytest.approx(1))


def test_seeds_on_other_cases_are_put_behind_each_other():
    first, second = result(OURS, [1, 1]), result(OURS, [11, 11, 11], 1)
    object.__setattr__(second.evaluations["test"], "fingerprint", "e" * 64)
    [group] = groups([first, second])
    assert group.values().tolist() == [1, 1, 0, 0, 0]


def test_a_seed_whose_cases_only_one_of_the_two_has_is_not_compared():
    """Seeds draw the items of `cold_items`; a run may have stopped before the second of ours."""
    first, second = result("frozen_text", [2, 2]), result("frozen_text", [1, 1], 1)
    object.__setattr__(second.evaluations["test"], "fingerprint", "e" * 64)
    ours, peer = groups([result(OURS, [1, 1]), first, second])
    one = ratio(ours, peer)
    assert (one.theirs, one.n) == (pytest.approx(SECOND), 2)
    assert one.value == pytest.approx(1 / SECOND)
