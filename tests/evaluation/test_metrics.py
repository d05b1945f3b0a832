"""Metrics: worked by hand, by properties, and against ranx."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from crossrec.evaluation.metrics import (
    bootstrap_interval,
    coverage,
    macro_f1,
    macro_f1_of_draws,
    mae,
    ndcg,
    ranks,
    recall,
    reciprocal_rank,
    rmse,
    rmse_of_draws,
    set_ndcg,
    standard_error,
    top_items,
)

NOBODY = np.full((1, 1), -1, np.int32)


def one(scores: list[float], target: int, excluded: list[int] | None = None) -> int:
    """Rank of the target in one list."""
    history = np.array([excluded or [-1]], np.int32)
    return int(ranks(np.array([scores], np.float32), [target], history)[0])


def test_the_rank_counts_better_items() -> None:
    assert [one([3, 1, 2], target) for target in range(3)] == [1, 3, 2]


def test_ties_count_against_the_model() -> None:
    assert one([1, 1, 1, 0], target=0) == 3
    assert one([0, 0, 0, 0], target=2) == 4


def test_items_of_the_history_are_no_candidates() -> None:
    assert one([3, 2, 1], target=2, excluded=[0]) == 2
    assert one([3, 2, 1], target=2, excluded=[-1, 0, 1]) == 1


def test_an_item_that_cannot_be_scored_is_last_and_ties_with_its_like() -> None:
    nan, low = math.nan, -math.inf
    assert one([nan, 5, -5], target=0) == 3
    assert one([nan, 5, nan], target=0) == 3
    assert one([nan, low, 5], target=0) == 3
    assert one([nan, 1, nan], target=0, excluded=[2]) == 2


def test_the_scores_are_left_as_they_were() -> None:
    scores = np.array([[1.0, math.nan]], np.float32)
    ranks(scores, [0], np.array([[1]], np.int32))
    assert scores[0, 0] == 1
    assert np.isnan(scores[0, 1])


def test_values_at_k_by_hand() -> None:
    places = [1, 2, 3, 4]
    assert recall(places, 3).tolist() == [1, 1, 1, 0]
    assert reciprocal_rank(places, 3).tolist() == [1, 1 / 2, 1 / 3, 0]
    assert ndcg(places, 3) == pytest.approx([1, math.log(2) / math.log(3), 1 / 2, 0])


def test_top_items_are_ordered_and_leave_out_the_history() -> None:
    scores = np.array([[1, 4, 3, 2], [4, 3, 2, 1]], np.float32)
    history = np.array([[1, -1], [0, 3]], np.int32)
    assert top_items(scores, history, 3).tolist() == [[2, 3, 0], [1, 2, -1]]


def test_more_places_than_items_give_the_whole_catalogue() -> None:
    assert top_items(np.array([[1, 2]], np.float32), NOBODY, 10).tolist() == [[1, 0]]


def test_coverage_counts_different_items() -> None:
    assert coverage(np.array([[0, 1], [1, 2]]), 12) == 3 / 12


def test_the_standard_error_by_hand() -> None:
    # mean 1/4; squared deviations 1/16 · 3 + 9/16 = 12/16; over n - 1 = 3: 1/4; root 1/2; over 2
    assert standard_error([1, 0, 0, 0]) == pytest.approx(1 / 4)


def test_no_case_has_no_figure() -> None:
    rng = np.random.default_rng(0)
    values = [standard_error([]), *bootstrap_interval([], rng)]
    values += [rmse([], []), mae([], []), macro_f1([], [])]
    assert np.isnan(values).all()


def test_the_bootstrap_interval_is_close_to_the_normal_one_for_many_cases() -> None:
    values = np.random.default_rng(1).random(4000)
    low, high = bootstrap_interval(values, np.random.default_rng(2))
    half = 1.96 * standard_error(values)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.002)


def test_figures_of_draws_are_those_of_the_cases_drawn() -> None:
    rng = np.random.default_rng(3)
    guess, truth = rng.integers(5, size=(2, 30))
    rows = rng.integers(30, size=(40, 30))
    f1 = [macro_f1(guess[row], truth[row]) for row in rows]
    assert macro_f1_of_draws(guess, truth, rows) == pytest.approx(f1)
    errors = (guess - truth).astype(np.float64)
    missed = [rmse(guess[row], truth[row]) for row in rows]
    assert rmse_of_draws(errors, rows) == pytest.approx(missed)


def test_the_bootstrap_interval_stays_within_the_values() -> None:
    low, high = bootstrap_interval([0.0] * 50 + [1.0], np.random.default_rng(0))
    assert 0 <= low <= high <= 1


def test_rating_errors_by_hand() -> None:
    assert rmse([1, 2, 3], [1, 4, 7]) == pytest.approx(math.sqrt(20 / 3))
    assert mae([1, 2, 3], [1, 4, 7]) == pytest.approx(6 / 3)


def test_macro_f1_by_hand() -> None:
    # a: TP 1 FP 1 FN 1 → 1/2; b: TP 1 FP 1 FN 0 → 2/3; c: TP 0 FN 1 → 0
    assert macro_f1(["a", "a", "b", "b"], ["a", "b", "b", "b"]) == pytest.approx(
        (2 / 3 + 4 / 5) / 2
    )
    assert macro_f1(["a", "a", "b", "b"], ["a", "c", "b", "a"]) == pytest.approx(
        (1 / 2 + 2 / 3 + 0) / 3
    )


SCORES = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 6), st.integers(2, 12)), elements=st.integers(-3, 3)
)


@settings(max_examples=60, deadline=None)
@given(SCORES, st.randoms(use_true_random=False))
def test_relabelling_the_items_changes_no_rank(scores: np.ndarray, random) -> None:  # type: ignore[no-untyped-def, type-arg]
    n = scores.shape[1]
    order = np.array(random.sample(range(n), n))
    targets = np.array([random.randrange(n) for _ in scores])
    nobody = np.full((len(scores), 1), -1, np.int32)
    assert (
        ranks(scores, targets, nobody).tolist()
        == ranks(scores[:, order], np.argsort(order)[targets], nobody).tolist()
    )


@settings(max_examples=60, deadline=None)
@given(SCORES, st.integers(1, 12))
def test_a_rank_is_within_the_catalogue_and_metrics_within_0_and_1(
    scores: np.ndarray,  # type: ignore[type-arg]
    k: int,
) -> None:
    targets = np.zeros(len(scores), np.int64)
    nobody = np.full((len(scores), 1), -1, np.int32)
    places = ranks(scores, targets, nobody)
    assert ((places >= 1) & (places <= scores.shape[1])).all()
    for values in (recall(places, k), ndcg(places, k), reciprocal_rank(places, k)):
        assert ((values >= 0) & (values <= 1)).all()
    assert (reciprocal_rank(places, k) <= ndcg(places, k)).all()
    assert (ndcg(places, k) <= recall(places, k)).all()


def test_a_perfect_ranking_is_1() -> None:
    scores = np.eye(5, dtype=np.float32)
    places = ranks(scores, np.arange(5), np.full((5, 1), -1, np.int32))
    assert recall(places, 1).tolist() == ndcg(places, 1).tolist() == [1.0] * 5


def test_ranking_metrics_agree_with_ranx(monkeypatch: pytest.MonkeyPatch) -> None:
    # ranx compiles its metrics with numba for half a minute; as plain Python they take no time.
    monkeypatch.setattr("numba.config.DISABLE_JIT", True)
    from ranx import Qrels, Run, evaluate

    rng = np.random.default_rng(3)
    scores = rng.permuted(np.tile(np.arange(40, dtype=np.float32), (30, 1)), axis=1)
    targets = rng.integers(40, size=30)
    places = ranks(scores, targets, np.full((30, 1), -1, np.int32))
    relevant = Qrels({f"q{q}": {f"d{t}": 1} for q, t in enumerate(targets)})
    run = Run({f"q{q}": {f"d{i}": float(s) for i, s in enumerate(row)}
               for q, row in enumerate(scores)})  # fmt: skip
    theirs = evaluate(relevant, run, ["recall@10", "ndcg@10", "mrr@10"])
    ours = [f(places, 10).mean() for f in (recall, ndcg, reciprocal_rank)]
    assert ours == pytest.approx(list(theirs.values()), abs=1e-9)


def test_ndcg_of_several_right_items_by_hand() -> None:
    scores = np.array([[5, 4, 3, 2, 1]], np.float32)
    right = np.array([[False, True, False, True, False]])
    ideal = 1 + 1 / math.log2(3)
    expected = (1 / math.log2(3) + 1 / math.log2(5)) / ideal
    assert set_ndcg(scores, right, NOBODY, 10)[0] == pytest.approx(expected)
    assert set_ndcg(scores, right, NOBODY, 2)[0] == pytest.approx(1 / math.log2(3) / ideal)
    without_others = set_ndcg(scores, right, np.array([[0, 2]], np.int32), 10)
    assert without_others[0] == 1
    assert set_ndcg(scores, np.zeros((1, 5), bool), NOBODY, 10)[0] == 0


def test_equal_scores_earn_nothing_with_several_right_items_either() -> None:
    right = np.arange(40)[None] < 3
    assert set_ndcg(np.zeros((1, 40), np.float32), right, NOBODY, 10)[0] == 0


@settings(max_examples=50, deadline=None)
@given(
    arrays.arrays(np.float32, (1, 12), elements=st.integers(0, 6).map(float)),
    st.integers(0, 11),
    st.integers(0, 11),
)
def test_with_one_right_item_it_is_plain_ndcg(scores: np.ndarray, target: int, seen: int) -> None:
    excluded = np.array([[seen if seen != target else -1]], np.int32)
    plain = ndcg(ranks(scores, [target], excluded), 5)
    several = set_ndcg(scores, np.arange(12)[None] == target, excluded, 5)
    np.testing.assert_allclose(several, plain)
