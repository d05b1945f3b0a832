"""Rates per answer and their lift, with intervals, where answers of one user are not independent.

Functions on arrays. Leaves to others: who was in which arm and did what (serving/experiments.py).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Interval = tuple[float, float]

N_DRAWS = 2000
MAX_GROUPS = 1000
"""More users than this are drawn in groups: sums of groups are as independent as the users."""
LEAST_USERS = 20
"""Of an arm: with fewer a bootstrap says nothing that one would want to rely on."""


class Responses(NamedTuple):
    """What came back from the users of one arm: arrays of one number a user."""

    answers: Counts
    positives: Counts

    @property
    def rate(self) -> float:
        """Positive events an answer; NaN without answers."""
        n_answers = int(self.answers.sum())
        return float(self.positives.sum() / n_answers) if n_answers else float("nan")


def rate_interval(arm: Responses, seed: int = 0) -> Interval | None:
    """95 % interval of `rate`; None with fewer than LEAST_USERS users."""
    if len(arm.answers) < LEAST_USERS:
        return None
    return _interval(rate_draws(arm, np.random.default_rng(seed)))


def lift(arm: Responses, control: Responses) -> float | None:
    """Rate of the arm over the rate of control, less 1; None where control has none."""
    if not control.rate > 0 or np.isnan(arm.rate):
        return None
    return arm.rate / control.rate - 1


def lift_interval(arm: Responses, control: Responses, seed: int = 0) -> Interval | None:
    """95 % interval of the lift, by a bootstrap over users.

    Users are drawn, with all their answers: one user's clicks depend on each other, so an interval
    of two proportions over answers would be too narrow. Arms are drawn apart, for they have
    different users. None where an arm has fewer than LEAST_USERS users or control has no event.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), ch. 13 (percentiles);
    Deng, Knoblich, Lu (KDD 2018) on rates whose unit is not what was randomised.
    """
    if min(len(arm.answers), len(control.answers)) < LEAST_USERS or lift(arm, control) is None:
        return None
    generator = np.random.default_rng(seed)
    ours, theirs = rate_draws(arm, generator), rate_draws(control, generator)
    known = theirs > 0
    return _interval(ours[known] / theirs[known] - 1) if known.any() else None


def rate_draws(arm: Responses, generator: np.random.Generator) -> Floats:
    """(N_DRAWS,) rates of as many users, drawn with replacement."""
    answers, positives = (_grouped(counts) for counts in arm)
    n = len(answers)
    # (draws, n): how often each is drawn
    times = generator.multinomial(n, np.full(n, 1 / n), size=N_DRAWS)
    drawn = times @ answers
    return np.asarray((times @ positives) / np.maximum(drawn, 1e-12), np.float64)


def _grouped(counts: Counts) -> Floats:
    """Sums of at most MAX_GROUPS groups; users come in the order of nothing that matters."""
    n = len(counts)
    if n <= MAX_GROUPS:
        return counts.astype(np.float64)
    sums = np.bincount(np.arange(n) % MAX_GROUPS, weights=counts, minlength=MAX_GROUPS)
    return np.asarray(sums, np.float64)


def _interval(draws: Floats) -> Interval:
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)
