from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec.ranking.scale import IN_CONTENTION, SPAN, spread, standing

NUMBERS = st.lists(st.integers(-5, 5) | st.just(math.nan), min_size=1, max_size=30)


def test_standings_of_distinct_values_are_evenly_spread_with_deviation_one():
    found = standing(np.arange(1000.0) ** 3)
    assert found.mean() == pytest.approx(0, abs=1e-6)
    assert found.std() == pytest.approx(1, abs=1e-3)
    assert found[-1] - found[0] == pytest.approx(SPAN * 0.999)


def test_one_huge_price_does_not_make_the_others_alike():
    prices = np.array([10.0, 12.0, 14.0, 1e6])
    assert np.diff(standing(prices)) == pytest.approx(np.full(3, SPAN / 4))


@given(NUMBERS)
def test_standings_keep_order_and_ties_and_turn_with_the_sign(values: list[float]):
    given_ = np.array(values, np.float64)
    found = standing(given_)
    known = np.flatnonzero(~np.isnan(given_))
    for a in known:
        for b in known:
            assert np.sign(found[a] - found[b]) == np.sign(given_[a] - given_[b])
    assert (found[np.isnan(given_)] == 0).all()
    assert standing(-given_) == pytest.approx(-found, abs=1e-6)
    assert abs(found).max() <= math.sqrt(3)


def test_the_spread_is_that_of_the_best_candidates():
    best = np.linspace(5, 6, IN_CONTENTION)
    rest = np.full(10_000, -100.0)
    out = np.full(50, -np.inf)
    assert spread(np.concatenate([rest, best, out])) == pytest.approx(best.std())


def test_where_candidates_are_equal_a_weight_is_worth_one():
    assert spread(np.array([2.0, 2.0, -np.inf])) == 1
    assert spread(np.full(3, -np.inf)) == 1
