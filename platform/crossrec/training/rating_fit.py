"""Fits the closed-form profile of the task `rate` and the mix of all ratings, on validation.

Leaves to others: what they compute (models/rating_profile.py), the towers (loop.py).
Sizes: U users, n ratings of one user, N items, P factors of which k are learned, S signals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from crossrec.data.batches import queries_for
from crossrec.data.ratings import rating_levels
from crossrec.data.split import Cases, Split
from crossrec.models.rating_profile import RatingMix, RatingProfileSignal, drift_covariance
from crossrec.models.signal import Signal
from crossrec.training.prepare import Prepared

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

HISTORY_LENGTH = 300
MAX_USERS = 4000
"""Users the profile is fitted on; their ratings' cube is the cost."""
MAX_CASES = 2000
TEXT_FACTORS = 40
LEARNED_FACTORS = (0, 8, 16)
DRIFTS = ((0.0, 1.0), (0.2, 5.0), (0.2, 15.0), (0.3, 5.0))
"""Variance (in squared rating steps) and length in steps."""
ITERATIONS = 6
SHRINK = 150.0
"""Pull of a learned factor of an item towards 0, in ratings."""
ITEM_PRIOR = 5.0
"""Ratings of the overall mean that each item's own mean starts with."""
MIX_PRIOR = 50.0
"""Cases of pull towards the profile alone."""


def fit_ratings(
    prepared: Prepared, towers: Signal, report: Callable[[str], None]
) -> tuple[list[Signal], RatingMix]:
    """The profile beside the trained towers, and the mix of both.

    Drift and number of learned factors are those with the lowest squared error on validation.

    Args:
        towers: the trained signal, whose scores are ratings.
        report: told the name of each step.
    """
    report("profile")
    tuning = _Cases.of(prepared.split, prepared.config.training.seed, prepared.text.shape[1])
    data = _Ratings.of(prepared)
    drifts = (_em(data, 0, drift) for drift in DRIFTS)
    found = tuning.best(drifts)
    learned = (_em(data, k, (found.drift, found.drift_length)) for k in LEARNED_FACTORS if k)
    signals: list[Signal] = [towers, tuning.best([found, *learned])]
    report("mix")
    return signals, tuning.mix(prepared, signals)


@dataclass(frozen=True)
class _Cases:
    """Validation cases, drawn once, with what was given in them."""

    split: Split
    cases: Cases
    request_dim: int

    @classmethod
    def of(cls, split: Split, seed: int, request_dim: int) -> _Cases:
        cases = split.validation
        if len(cases) > MAX_CASES:
            rows = np.random.default_rng(seed).permutation(len(cases))[:MAX_CASES]
            cases = cases.take(rows)
        return cls(split, cases, request_dim)

    @property
    def given(self) -> Floats:
        """(n,) true ratings."""
        rows = self.split.sequences.target_rows(self.cases)
        return np.asarray(self.split.sequences.ratings[rows], np.float32)

    def predicted(self, signal: Signal) -> Floats:
        """(n,) the signal's rating of each target; 64 cases at a time, for histories are wide."""
        targets, parts = self.split.targets(self.cases), []
        for start in range(0, len(self.cases), 64):
            some = self.cases.take(slice(start, start + 64))
            scores = signal.score(queries_for(self.split.sequences, some, self.request_dim))
            parts.append(scores[np.arange(len(some)), targets[start : start + 64]])
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    def best(self, signals: Iterable[RatingProfileSignal]) -> RatingProfileSignal:
        """The one with the lowest squared error; of equals, and without cases, the first."""
        known = list(signals)
        if not len(self.cases):
            return known[0]
        return min(known, key=lambda one: float(((self.predicted(one) - self.given) ** 2).mean()))

    def mix(self, prepared: Prepared, signals: Sequence[Signal]) -> RatingMix:
        """Ridge regression on validation around the profile alone: see `mix_weights`."""
        names = [signal.name for signal in signals]
        predictions = np.stack([self.predicted(signal) for signal in signals])
        weights, constant = mix_weights(predictions, self.given, start=names.index("profile"))
        return RatingMix(names, weights.astype(np.float32), constant)


def mix_weights(predictions: Floats, given: Floats, start: int) -> tuple[Doubles, float]:
    """Weights (S,) that sum to 1 and a constant, least squares with a ridge of MIX_PRIOR cases.

    The pull is towards the signal number `start` alone. Weights that sum to 1 keep a rating a
    rating: what all signals raise by a point is raised by a point.

    Args:
        predictions: (S, n).
        given: (n,) true ratings.
    """
    base = predictions[start].astype(np.float64)
    others = np.delete(predictions, start, axis=0) - base  # (S - 1, n)
    design = np.vstack([others, np.ones(len(given))])
    gram = design @ design.T / max(len(given), 1)
    pull = MIX_PRIOR / max(len(given), 1) * np.diag(np.maximum(gram.diagonal(), 1e-9))
    gain = np.linalg.solve(gram + pull, design @ (given - base) / max(len(given), 1))
    return np.insert(gain[:-1], start, 1 - gain[:-1].sum()), float(gain[-1])


@dataclass(frozen=True)
class _Ratings:
    """Training ratings by user, and the factors that are given: a constant and text directions."""

    users: list[tuple[NDArray[np.int64], Doubles]]  # items (n,), ratings (n,), oldest first
    given: Doubles  # (N, 1 + text directions)
    levels: Floats
    seed: int

    @classmethod
    def of(cls, prepared: Prepared) -> _Ratings:
        sequences, seed = prepared.split.sequences, prepared.config.training.seed
        chosen = np.arange(sequences.n_users)
        if len(chosen) > MAX_USERS:
            chosen = np.random.default_rng(seed).permutation(len(chosen))[:MAX_USERS]
        users = []
        for user in chosen:
            rows = np.arange(sequences.offsets[user], sequences.offsets[user + 1])
            rows = rows[prepared.split.train[rows]][-HISTORY_LENGTH:]
            if len(rows):
                items = sequences.items[rows].astype(np.int64)
                users.append((items, sequences.ratings[rows].astype(np.float64)))
        given = np.hstack([np.ones((sequences.n_items, 1)), text_directions(prepared.text)])
        levels = rating_levels(sequences.event_names)
        assert levels is not None  # the task rate puts ratings in place of events
        return cls(users, given, levels, seed)

    @property
    def all(self) -> tuple[NDArray[np.int64], Doubles]:
        """Items and ratings of everybody."""
        items, ratings = zip(*self.users, strict=True)
        return np.concatenate(items), np.concatenate(ratings)


def text_directions(text: Floats) -> Doubles:
    """The TEXT_FACTORS principal directions of unit, centred text vectors: (N, up to that)."""
    centred = text - text.mean(axis=0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    left, sizes, _ = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    return np.asarray(left[:, :TEXT_FACTORS] * sizes[:TEXT_FACTORS])


@dataclass
class _Sums:
    """What the E-step leaves for the M-step. k learned factors, P in all."""

    second: Doubles  # (P,) sum over users of E[p^2]
    gram: Doubles  # (N, k, k) sum of E[p p'] over an item's ratings
    cross: Doubles  # (N, k) sum of E[(r - all other parts) p]
    mean_sum: Doubles  # (N,) sum of ratings less all parts but the mean
    counts: Doubles  # (N,)
    error: float = 0.0

    @classmethod
    def zeros(cls, n_items: int, n_factors: int, k: int) -> _Sums:
        return cls(
            np.zeros(n_factors),
            np.zeros((n_items, k, k)),
            np.zeros((n_items, k)),
            np.zeros(n_items),
            np.zeros(n_items),
        )


@dataclass(frozen=True)
class _State:
    """Parameters during EM, in double precision."""

    factors: Doubles  # (N, P)
    scales: Doubles  # (P,)
    means: Doubles  # (N,)
    noise: float
    drift: tuple[float, float]
    n_given: int


def _em(data: _Ratings, k: int, drift: tuple[float, float]) -> RatingProfileSignal:
    """Expectation-maximisation of factors, scales, means and noise (Tipping & Bishop 1999, sec. 3).

    Given factors keep their direction and learn their scale, one for the constant and one for all
    text directions. Learned ones have scale 1 and are pulled to 0 by SHRINK; without it they fit
    the noise within a few rounds.
    """
    items, ratings = data.all
    n_items, n_given = data.given.shape
    start = np.random.default_rng(data.seed).normal(size=(n_items, k)) * 0.1
    counts = np.bincount(items, minlength=n_items)
    mean = ratings.mean()
    means = (np.bincount(items, ratings, n_items) + ITEM_PRIOR * mean) / (counts + ITEM_PRIOR)
    spread = float(ratings.var())
    scales = np.concatenate([np.full(n_given, 0.1 * spread), np.ones(k)])
    state = _State(np.hstack([data.given, start]), scales, means, 0.6 * spread, drift, n_given)
    for _ in range(ITERATIONS if k else ITERATIONS // 2):
        sums = _Sums.zeros(n_items, n_given + k, k)
        for user_items, user_ratings in data.users:
            _expect(state, user_items, user_ratings, sums)
        state = _maximise(state, sums, len(data.users), float(mean))
    return RatingProfileSignal(
        factors=state.factors.astype(np.float32),
        scales=state.scales.astype(np.float32),
        means=state.means.astype(np.float32),
        levels=data.levels,
        noise=state.noise,
        drift=drift[0],
        drift_length=drift[1],
        history_length=HISTORY_LENGTH,
    )


def _expect(state: _State, items: NDArray[np.int64], ratings: Doubles, sums: _Sums) -> None:
    """Add one user's posterior: mean and covariance of factors p and drift d, exactly."""
    n, learned = len(items), slice(state.n_given, None)
    own = state.factors[items]
    scaled = own * state.scales
    drift = drift_covariance(n, *state.drift).astype(np.float64)
    covariance = scaled @ own.T + drift + state.noise * np.eye(n)
    residuals = ratings - state.means[items]
    inverse = linalg.cho_solve(linalg.cho_factor(covariance, lower=True), np.eye(n))
    weights = inverse @ residuals
    p, d = scaled.T @ weights, drift @ weights
    spread = np.diag(state.scales) - scaled.T @ (inverse @ scaled)  # (P, P) cov of p
    with_drift = -(drift @ inverse) @ scaled[:, learned]  # (n, k) cov of d and learned p
    fixed = own[:, : state.n_given]
    with_fixed = fixed @ spread[: state.n_given, learned]  # (n, k)
    unexplained = residuals - d - fixed @ p[: state.n_given]
    rest = residuals - d - own @ p
    sums.second += p**2 + spread.diagonal()
    sums.gram[items] += np.outer(p[learned], p[learned]) + spread[learned, learned]
    sums.cross[items] += unexplained[:, None] * p[learned] - with_drift - with_fixed
    sums.mean_sum[items] += rest + state.means[items]
    sums.counts[items] += 1
    sums.error += float(rest @ rest + n * state.noise - state.noise**2 * inverse.trace())


def _maximise(state: _State, sums: _Sums, n_users: int, mean: float) -> _State:
    """Parameters that make the expected likelihood, with its pulls, as large as can be."""
    n_given, k = state.n_given, sums.cross.shape[1]
    scales, factors = state.scales.copy(), state.factors.copy()
    scales[0] = sums.second[0] / n_users
    scales[1:n_given] = sums.second[1:n_given].mean() / n_users if n_given > 1 else 0.0
    if k:
        pulled = sums.gram + SHRINK * np.eye(k)
        factors[:, n_given:] = np.linalg.solve(pulled, sums.cross[..., None])[..., 0]
    means = (sums.mean_sum + ITEM_PRIOR * mean) / (sums.counts + ITEM_PRIOR)
    noise = sums.error / max(sums.counts.sum(), 1)
    return replace(state, factors=factors, scales=scales, means=means, noise=float(noise))
