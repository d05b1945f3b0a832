"""Ratings of a whole catalogue from a user's own ratings, in closed form, in numpy.

Leaves to others: fitting factors and variances (training/rating_fit.py), the trained towers
(sequence_signal.py). Sizes: B queries, T steps of history, n of them rated, N items, P factors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from crossrec.models.query import Queries

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class RatingProfileSignal:
    """r_i = m_i + k_i·(K + s I)^-1 (r_h - m_h): a Gaussian process over one user's ratings.

    A user is a draw of factors p ~ N(0, diag(scales)) and a level d that drifts with the steps, so
    two ratings, a steps apart, share the covariance K = f_i·diag(scales)·f_j + v exp(-a / length).
    f holds a constant (the user's own level), text directions, and learned factors; s is the
    variance of what nobody can know. The answer is the mean of the posterior, exactly: weights of
    a long history take care of themselves, and a user without ratings gets the items' means.

    Biases and factors as Koren, Bell & Volinsky 2009 (eq. 4), with p integrated out in place of a
    row per user (as Lawrence & Urtasun 2009, sec. 3), so a new user needs no training.
    """

    name: ClassVar[str] = "profile"
    factors: Floats  # (N, P)
    scales: Floats  # (P,)
    means: Floats  # (N,)
    levels: Floats  # (n events,) the rating that each event stands for; NaN: none
    noise: float
    drift: float
    """v: variance of the drifting level; 0 switches it off."""
    drift_length: float
    """Steps after which the drift's covariance is down to 1 / e."""
    history_length: int
    """Newest ratings that are read: the cost grows with their cube."""

    def score(self, queries: Queries) -> Floats:
        """Ratings (B, N) float32; the items' means where the history holds no rating."""
        return np.stack([self._row(queries, row) for row in range(len(queries))])

    def _row(self, queries: Queries, row: int) -> Floats:
        ratings = self._ratings(queries.events[row])
        known = np.flatnonzero((queries.items[row] >= 0) & ~np.isnan(ratings))
        known = known[-self.history_length :]
        if not len(known):
            return self.means
        items = queries.items[row, known]
        residuals = ratings[known] - self.means[items]
        scaled = self.factors[items] * self.scales
        covariance = scaled @ self.factors[items].T + drift_covariance(
            len(known), self.drift, self.drift_length
        )
        covariance[np.diag_indices(len(known))] += self.noise
        weights = np.linalg.solve(covariance, residuals).astype(np.float32)
        # The next step is one step after the newest.
        now = self.drift * np.exp(-np.arange(len(known), 0, -1) / self.drift_length)
        level = np.float32(now @ weights)
        return np.asarray(self.means + self.factors @ (scaled.T @ weights) + level, np.float32)

    def _ratings(self, events: NDArray[np.int16]) -> Floats:
        known = (events >= 0) & (events < len(self.levels))
        return np.where(known, self.levels[np.where(known, events, 0)], np.float32(np.nan))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Factors, scales, means and levels."""
        return {
            "factors": self.factors,
            "scales": self.scales,
            "means": self.means,
            "levels": self.levels,
        }

    def settings(self) -> dict[str, Any]:
        """Variances, and how much history is read."""
        return {
            "noise": self.noise,
            "drift": self.drift,
            "drift_length": self.drift_length,
            "history_length": self.history_length,
        }

    @classmethod
    def restore(
        cls, arrays: Mapping[str, NDArray[Any]], settings: dict[str, Any]
    ) -> RatingProfileSignal:
        """From stored tensors and values."""
        return cls(**arrays, **settings)  # type: ignore[arg-type]


def drift_covariance(n: int, variance: float, length: float) -> Floats:
    """The drift's covariance v exp(-|a - b| / length) between steps a and b: (n, n) float32.

    >>> float(drift_covariance(2, 0.5, 1e9)[0, 1])
    0.5
    """
    steps = np.arange(n, dtype=np.float32)
    apart = np.abs(steps[:, None] - steps[None, :])
    return np.asarray(variance * np.exp(-apart / length), np.float32)


@dataclass(frozen=True)
class RatingMix:
    """r = c + sum_s w_s r_s: ratings of several signals, weights learned on validation."""

    names: list[str]
    weights: Floats  # (S,)
    constant: float

    def parts(self, queries: Queries, signals: Mapping[str, Floats]) -> dict[str, Floats]:
        """Each signal's share of the rating, (B, N), and the `constant`; they sum to it."""
        parts = {
            name: np.asarray(weight * signals[name], np.float32)
            for name, weight in zip(self.names, self.weights, strict=True)
        }
        shape = parts[self.names[0]].shape
        return parts | {"constant": np.full(shape, self.constant, np.float32)}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The weights."""
        return {"weights": self.weights}

    def settings(self) -> dict[str, Any]:
        """Names in the order of the weights, and the constant."""
        return {"names": self.names, "constant": self.constant}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], settings: dict[str, Any]) -> RatingMix:
        """From stored tensors and values."""
        return cls(settings["names"], arrays["weights"], settings["constant"])
