from __future__ import annotations

import numpy as np
import pytest

from crossrec.evaluation.lift import (
    MAX_GROUPS,
    Responses,
    lift,
    lift_interval,
    rate_interval,
)


def drawn(n_users: int, rate: float, seed: int, answers: int = 10) -> Responses:
    """Users of `answers` answers each, who like all or nothing: one user's clicks are one."""
    likes = np.random.default_rng(seed).random(n_users) < rate
    return Responses(np.full(n_users, answers), answers * likes)


def test_the_lift_is_of_the_rates_an_answer():
    arm = Responses(np.array([4, 6]), np.array([1, 2]))
    control = Responses(np.array([10, 10]), np.array([2, 1]))
    assert arm.rate == 3 / 10
    assert lift(arm, control) == pytest.approx((3 / 10) / (3 / 20) - 1)
    assert lift_interval(arm, control) is None  # two users each tell nothing


def test_there_is_no_lift_over_nothing():
    nothing = Responses(np.full(30, 5), np.zeros(30, np.int64))
    assert lift(drawn(30, 0.5, 1), nothing) is None
    assert lift_interval(drawn(30, 0.5, 1), nothing) is None
    assert np.isnan(Responses(np.zeros(0, np.int64), np.zeros(0, np.int64)).rate)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """A/A tests of users whose answers go together: 95 % of the intervals hold 0."""
    held = 0
    for seed in range(100):
        found = lift_interval(drawn(300, 0.3, 2 * seed), drawn(300, 0.3, 2 * seed + 1), seed)
        assert found is not None
        held += found[0] <= 0 <= found[1]
    assert 88 <= held <= 99  # 95 expected, standard deviation 2.2

    # As if answers were independent (two proportions) it would hold far less often.
    width = 1.96 * np.sqrt(2 * 0.3 * 0.7 / 3000) / 0.3
    rates = [lift(drawn(300, 0.3, 2 * seed), drawn(300, 0.3, 2 * seed + 1)) for seed in range(100)]
    assert sum(abs(rate or 0) <= width for rate in rates) < 70


def test_many_users_are_drawn_in_groups_and_give_the_same_interval():
    n = 4 * MAX_GROUPS
    many = drawn(n, 0.2, 5, answers=1)
    found = rate_interval(many)
    assert found is not None
    half = 1.96 * np.sqrt(many.rate * (1 - many.rate) / n)
    assert found == pytest.approx((many.rate - half, many.rate + half), abs=0.15 * half)
