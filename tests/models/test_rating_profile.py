"""The closed-form ratings against the formula written out, and against plain averages."""

from __future__ import annotations

import numpy as np
import pytest

from crossrec.models.query import Queries
from crossrec.models.rating_profile import RatingMix, RatingProfileSignal


def _signal(**changes) -> RatingProfileSignal:
    values = {
        "factors": np.array([[1, 0.5], [1, -0.5], [1, 0]], np.float32),
        "scales": np.array([0.5, 2.0], np.float32),
        "means": np.array([3, 4, 2], np.float32),
        "levels": np.array([1, 3, 5], np.float32),
        "noise": 0.7,
        "drift": 0.0,
        "drift_length": 1.0,
        "history_length": 10,
    }
    return RatingProfileSignal(**values | changes)


def _queries(items: list[int], events: list[int]) -> Queries:
    return Queries(
        items=np.array([items], np.int32),
        times=np.zeros((1, len(items)), np.int64),
        events=np.array([events], np.int16),
        now=np.zeros(1, np.int64),
        request=np.zeros((1, 0), np.float32),
    )


def test_without_history_the_items_own_means_are_the_answer():
    signal = _signal()
    assert signal.score(_queries([-1], [-1])).tolist() == [signal.means.tolist()]


def test_a_constant_factor_alone_is_the_shrunken_mean_residual():
    signal = _signal(factors=np.ones((3, 1), np.float32), scales=np.array([0.5], np.float32))
    scores = signal.score(_queries([0, 1], [2, 2]))  # residuals 5 - 3 and 5 - 4
    # v n / (v n + s) times the mean residual: 0.5 * 2 / (0.5 * 2 + 0.7) * 1.5
    assert scores[0] == pytest.approx(signal.means + 1.0 / 1.7 * 1.5, abs=1e-6)


def test_drift_weighs_the_newest_rating_most():
    signal = _signal(scales=np.zeros(2, np.float32), drift=0.5, drift_length=2.0)
    up_last = signal.score(_queries([0, 1], [0, 2]))[0, 2]  # residuals -2, then 1
    up_first = signal.score(_queries([1, 0], [2, 0]))[0, 2]  # residuals 1, then -2
    assert up_last > up_first
    assert up_first < signal.means[2]


def test_the_answer_is_the_posterior_mean_of_the_gaussian():
    signal = _signal(drift=0.3, drift_length=4.0)
    scores = signal.score(_queries([2, 0, 1], [0, 2, 1]))
    steps = np.array([0, 1, 2, 3])  # three ratings, then the next step
    for item in range(3):
        order = np.array([2, 0, 1, item])
        own = signal.factors[order].astype(float)
        joint = own @ np.diag(signal.scales) @ own.T
        joint += 0.3 * np.exp(-np.abs(steps[:, None] - steps[None, :]) / 4.0)
        observed = joint[:3, :3] + 0.7 * np.eye(3)
        residuals = np.array([1, 5, 3]) - signal.means[order[:3]]
        wanted = signal.means[item] + joint[3, :3] @ np.linalg.solve(observed, residuals)
        assert scores[0, item] == pytest.approx(wanted, abs=1e-5)


def test_steps_without_a_rating_and_older_ones_are_left_out():
    signal = _signal(history_length=1)
    newest = signal.score(_queries([1], [2]))
    assert np.allclose(signal.score(_queries([0, 1], [0, 2])), newest)
    assert np.allclose(signal.score(_queries([1, 0], [2, -1])), newest)
    assert np.allclose(signal.score(_queries([1, 0], [2, 7])), newest)


def test_stored_and_restored_it_rates_the_same():
    signal = _signal(drift=0.2, drift_length=5.0)
    again = RatingProfileSignal.restore(signal.arrays(), signal.settings())
    asked = _queries([0, 2], [1, 0])
    assert np.array_equal(again.score(asked), signal.score(asked))


def test_the_parts_of_a_mix_are_its_weights_times_the_ratings():
    mix = RatingMix(["sequence", "profile"], np.array([0.25, 0.75], np.float32), -0.5)
    ratings = {"sequence": np.full((1, 2), 4, np.float32), "profile": np.full((1, 2), 2.0)}
    parts = mix.parts(_queries([0], [0]), ratings)
    assert {name: part[0, 0] for name, part in parts.items()} == {
        "sequence": 1.0,
        "profile": 1.5,
        "constant": -0.5,
    }
    again = RatingMix.restore(mix.arrays(), mix.settings())
    assert again.parts(_queries([0], [0]), ratings).keys() == parts.keys()
