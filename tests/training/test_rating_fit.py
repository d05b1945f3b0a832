"""The closed-form ratings find what made the data; the mix is the ridge written by hand."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from crossrec.data.split import Sequences, Split, split_sequences
from crossrec.training import rating_fit
from crossrec.training.prepare import Prepared

N_USERS, N_ITEMS, N_RATINGS = 150, 40, 25


@dataclass
class Towers:
    """A trained signal that knows nothing but the mean."""

    name = "sequence"
    mean: float

    def score(self, queries: Any) -> np.ndarray:
        return np.full((len(queries), N_ITEMS), self.mean, np.float32)


def rated(seed: int = 0) -> Split:
    """Ratings of a level that drifts, two tastes and noise of variance 0.2."""
    rng = np.random.default_rng(seed)
    tastes, kinds = rng.normal(size=(N_USERS, 2)), rng.normal(size=(N_ITEMS, 2)) * 0.5
    items = np.concatenate([rng.permutation(N_ITEMS)[:N_RATINGS] for _ in range(N_USERS)])
    users = np.repeat(np.arange(N_USERS), N_RATINGS)
    drift = rng.normal(size=(N_USERS, N_RATINGS)).cumsum(axis=1).ravel() * 0.2
    exact = 3 + drift + (tastes[users] * kinds[items]).sum(1) + rng.normal(size=len(items)) * 0.45
    levels, events = np.unique(exact.round(1), return_inverse=True)
    sequences = Sequences(
        user_ids=[f"u{u:03}" for u in range(N_USERS)],
        item_ids=[f"i{i}" for i in range(N_ITEMS)],
        offsets=np.arange(0, len(items) + 1, N_RATINGS),
        items=items.astype(np.int32),
        times=np.tile(np.arange(N_RATINGS), N_USERS),
        events=events.astype(np.int16),
        event_names=[f"rating {level:g}" for level in levels],
        ratings=exact.round(1).astype(np.float32),
    )
    return split_sequences(sequences, "leave_one_out")


def prepared(split: Split) -> Prepared:
    text = np.random.default_rng(1).normal(size=(N_ITEMS, 8)).astype(np.float32)
    config = SimpleNamespace(training=SimpleNamespace(seed=0))
    return cast(Prepared, SimpleNamespace(split=split, text=text, config=config))


def error(split: Split, signal: Any) -> float:
    cases = rating_fit._Cases(split, split.test, 0)
    return float(((cases.predicted(signal) - cases.given) ** 2).mean())


def test_it_comes_near_the_noise_and_well_below_a_level_that_stands_still() -> None:
    split = rated()
    said: list[str] = []
    signals, mix = rating_fit.fit_ratings(prepared(split), Towers(3.0), said.append)
    profile = next(signal for signal in signals if signal.name == "profile")
    data = rating_fit._Ratings.of(prepared(split))
    still = rating_fit._em(data, 0, (0.0, 1.0))
    assert profile.drift > 0
    assert error(split, profile) < 0.75 * error(split, still)
    assert 0.1 < profile.noise < 0.4  # 0.45 squared is 0.2
    assert mix.weights[mix.names.index("profile")] == pytest.approx(1, abs=0.35)
    assert said == ["profile", "mix"]


def test_an_item_without_ratings_is_rated_like_the_mean_item() -> None:
    split = rated()
    data = rating_fit._Ratings.of(prepared(split))
    unseen = [(items[items > 0], ratings[items > 0]) for items, ratings in data.users]
    without = rating_fit._Ratings(unseen, data.given, data.levels, data.seed)
    signal = rating_fit._em(without, 2, (0.2, 5.0))
    assert signal.means[0] == pytest.approx(np.concatenate([r for _, r in unseen]).mean(), abs=1e-5)
    assert np.abs(signal.factors[0, -2:]).max() < 1e-6


def test_mix_weights_are_the_ridge_by_hand() -> None:
    predictions = np.array([[1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 2.0, 2.0]], np.float32)
    given = np.array([1.5, 2.5, 3.5, 4.5], np.float32)  # number 0 plus a half
    weights, constant = rating_fit.mix_weights(predictions, given, start=0)
    assert weights.sum() == pytest.approx(1)
    # design rows: others - base = (1, 0, -1, -2), ones; gram / 4 and its diagonal times 50 / 4
    gram = np.array([[6, -2], [-2, 4]]) / 4 + 12.5 * np.diag([6 / 4, 1])
    gain = np.linalg.solve(gram, np.array([-1, 2]) / 4)
    assert weights[1] == pytest.approx(gain[0])
    assert constant == pytest.approx(gain[1])
