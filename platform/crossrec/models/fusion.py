"""Mixes the signals into one relevance score with weights that know the evidence.

Leaves to others: the signals (signals.py), learning the weights (training/blend.py).
Sizes: B queries, N items, S signals, F query features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrec.models.query import Queries

Floats = NDArray[np.float32]

DAY_S = 86_400.0
FEATURES = ("one", "log_history", "no_history", "request", "log_days_since_last")


def query_features(queries: Queries, clock: bool) -> Floats:
    """What the weights may depend on: (B, F), each of the order of 1."""
    present = queries.items >= 0
    length = present.sum(axis=1)
    some = length > 0
    days = np.maximum(queries.now - queries.times[:, -1], 0) / DAY_S
    features = np.zeros((len(queries), len(FEATURES)), np.float32)
    features[:, 0] = 1
    features[:, 1] = np.log1p(length) / 4
    features[:, 2] = ~some
    features[:, 3] = (queries.request != 0).any(axis=1)
    if clock:
        features[:, 4] = np.log1p(days) / 4 * some
    return features


def standardise(scores: Floats) -> Floats:
    """z-scores over the catalogue, row by row; a constant row becomes zeros."""
    result = np.array(scores, np.float32)
    result /= _centre(result)[:, None]
    return result


def _centre(scores: Floats) -> Floats:
    """Takes the means of rows away, in place: whole catalogues of scores are large.

    Returns:
        (B,) their deviations, infinite for a constant row.
    """
    n_items = scores.shape[1]
    mean = np.add.reduce(scores, axis=1, keepdims=True) / np.float32(n_items)
    scores -= mean
    deviation = np.sqrt(np.vecdot(scores, scores) / n_items)
    return np.where(deviation < rounding(mean[:, 0]), np.float32(np.inf), deviation)


def rounding(mean: NDArray[Any]) -> NDArray[Any]:
    """Below which a deviation is none: cosines of float32 vectors that should all be 0 differ by
    about 1e-9, and differ with the size of the batch; the mean of equal numbers is off by 1e-7 of
    them.
    """
    return np.asarray(np.maximum(1e-7, 1e-6 * np.abs(mean)))


@dataclass(frozen=True)
class Fusion:
    """Sum over s of softplus(a_s · f(q)) exp(b_s e_i + d_s cold_i) z_s(q, i), plus c·f(q) cold_i.

    f(q) are the query's features, z_s the signal's z-scores over the catalogue, e_i in [-1, 1]
    the evidence on item i (its count in training on a log scale), cold_i marks items without
    any. A weighted sum of z-scores is the honest baseline of score fusion (CombSUM, Fox & Shaw
    1994); here weights move with what is known of user and item.
    """

    names: list[str]
    weights: Floats  # (S, F) a
    evidence_weights: Floats  # (S,) b
    cold_lifts: Floats  # (S,) d
    cold_weights: Floats  # (F,) c
    evidence: Floats  # (N,) e
    cold: Floats  # (N,) 0 or 1
    clock: bool

    def parts(self, queries: Queries, signals: Mapping[str, Floats]) -> dict[str, Floats]:
        """Each signal's share of the score, (B, N); `newness` is the cold items' offset.

        Signals that are not given have nothing to say on these queries, and get no share.
        """
        if len(queries) == 1:
            return self.mix(queries, self.standards({n: of[0] for n, of in signals.items()}))
        features = query_features(queries, self.clock)
        given = [row for row, name in enumerate(self.names) if name in signals]
        names = [self.names[row] for row in given]
        gains = self._gains(features, given)  # (B, S)
        shares = np.stack([signals[name] for name in names], dtype=np.float32)  # (S, B, N)
        deviations = np.stack([_centre(share) for share in shares])  # (S, B)
        shares *= (gains.T / deviations)[:, :, None]
        # A view where all are given; else a copy of the rows that are.
        lifts = self._lifts if len(given) == len(self.names) else self._lifts[given]
        shares *= lifts[:, None, :]
        return dict(zip(names, shares, strict=True)) | self._newness(features)

    def standards(self, scores: Mapping[str, Floats]) -> dict[str, Floats]:
        """What the signals of one query come to before their weights.

        Args:
            scores: signal → (N,).

        Returns:
            Signal → (N,) z-scores, each times what its item makes of the signal; in the order of
            the weights, without signals that have none.
        """
        names = [name for name in self.names if name in scores]
        rows = np.stack([scores[name] for name in names], dtype=np.float32)
        deviations = _centre(rows)  # all signals at once: half the time
        rows *= self._lifts[[self._places[name] for name in names]] / deviations[:, None]
        return dict(zip(names, rows, strict=True))

    def mix(self, queries: Queries, standards: Mapping[str, Floats]) -> dict[str, Floats]:
        """`parts` of one query, (1, N) each, from its `standards`."""
        features = query_features(queries, self.clock)
        given = [self._places[name] for name in standards]
        gains = self._gains(features, given)[0]
        parts = {
            name: (gain * rows)[None]
            for gain, (name, rows) in zip(gains, standards.items(), strict=True)
        }
        return parts | self._newness(features)

    def _gains(self, features: Floats, given: list[int]) -> Floats:
        """softplus(a_s · f(q)) of some signals: (B, S)."""
        return np.asarray(np.logaddexp(0, features @ self.weights[given].T), np.float32)

    def _newness(self, features: Floats) -> dict[str, Floats]:
        if not self._any_cold:
            return {}
        return {"newness": (features @ self.cold_weights)[:, None] * self.cold}

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.names)}

    @cached_property
    def _any_cold(self) -> bool:
        return bool(self.cold.any())

    @cached_property
    def _lifts(self) -> Floats:
        """What each item makes of each signal: (S, N)."""
        evidence = self.evidence_weights[:, None] * self.evidence
        return np.exp(evidence + self.cold_lifts[:, None] * self.cold)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Tensors to store."""
        return {
            "weights": self.weights,
            "evidence_weights": self.evidence_weights,
            "cold_lifts": self.cold_lifts,
            "cold_weights": self.cold_weights,
            "evidence": self.evidence,
            "cold": self.cold,
        }

    def settings(self) -> dict[str, Any]:
        """Names in the order of the weights, and whether time is clock time."""
        return {"names": self.names, "clock": self.clock}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], settings: dict[str, Any]) -> Fusion:
        """From stored tensors and `{"names", "clock"}`."""
        return cls(settings["names"], clock=settings["clock"], **arrays)
