"""Mean and covariance of what a signal is linear in, over the catalogue: those of any score of it.

Leaves to others: scores (rescoring.py), keeping them with a release (releases/item_search.py).
Sizes: N items, E width of texts, D of the model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from crossrec.models.sequence_signal import SequenceSignal
from crossrec.models.signal import Signal
from crossrec.models.text_signals import RequestSignal, TextSignal

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

MOMENT_ROWS = 4096
"""Items whose texts are squared at once."""


@dataclass(frozen=True)
class Moments:
    """Mean and covariance over the catalogue of vectors x_i: those of c·x_i for any c.

    Of the covariance three quarters are kept, for it is symmetric: a domain has two of 384 x 384.
    """

    mean: Doubles  # (E,)
    upper: (
        Floats  # (E // 2, E): its first rows, twice what lies right of the square they begin with
    )
    rest: Floats  # (E - E // 2, E - E // 2): the square at its end

    @classmethod
    def with_covariance(cls, mean: Doubles, covariance: Floats) -> Moments:
        """Of a mean (E,) and a covariance (E, E)."""
        half = len(mean) // 2
        upper, rest = covariance[:half].copy(), covariance[half:, half:].copy()
        upper[:, half:] *= 2
        return cls(mean, upper, rest)

    @property
    def covariance(self) -> Floats:
        """(E, E), made anew."""
        half = len(self.upper)
        beside = self.upper[:, half:] / 2
        return np.block([[self.upper[:, :half], beside], [beside.T, self.rest]])

    @classmethod
    def of(cls, vectors: Callable[[slice], Floats], n: int) -> Moments:
        """Of n vectors, read some at a time."""
        total: Doubles | None = None
        products: Doubles | None = None
        for start in range(0, n, MOMENT_ROWS):
            some = vectors(slice(start, start + MOMENT_ROWS))
            sums, squares = some.sum(axis=0, dtype=np.float64), (some.T @ some).astype(np.float64)
            total = sums if total is None else total + sums
            products = squares if products is None else products + squares
        assert total is not None
        assert products is not None
        mean = total / n
        return cls.with_covariance(mean, _covariance(products / n, mean))

    def changed(self, n: int, gone: Floats, come: Floats) -> Moments:
        """Of the same n vectors less some, (m, E), and with others, (l, E)."""
        left, mean = n - len(gone) + len(come), self.mean * n
        mean = (
            mean - gone.sum(axis=0, dtype=np.float64) + come.sum(axis=0, dtype=np.float64)
        ) / left
        products = (self.covariance.astype(np.float64) + np.outer(self.mean, self.mean)) * n
        products += come.T.astype(np.float64) @ come - gone.T.astype(np.float64) @ gone
        return Moments.with_covariance(mean, _covariance(products / left, mean))

    def at(self, c: Floats) -> tuple[Doubles, Doubles]:
        """Mean and variance of c·x_i, (B,) each, for c (B, E)."""
        half = len(self.upper)
        spread = np.vecdot(c[:, :half] @ self.upper, c)
        spread += np.vecdot(c[:, half:] @ self.rest, c[:, half:])
        return c @ self.mean, np.maximum(spread.astype(np.float64), 0)


def _covariance(products: Doubles, mean: Doubles) -> Floats:
    """Of the mean of products (E, E) and the mean."""
    return (products - np.outer(mean, mean)).astype(np.float32)


def moments_of(signal: Signal) -> Moments:
    """Of the vectors that a signal is linear in: those of the towers with their bias behind them,
    (N, D + 1), of histories' texts, and of requests'.
    """
    match signal:
        case SequenceSignal():
            return Moments.of(partial(_with_bias, signal), len(signal.vectors))
        case TextSignal():
            lengths = signal._lengths[:, None]
            return Moments.of(lambda rows: signal.vectors[rows] / lengths[rows], len(lengths))
        case RequestSignal():
            return Moments.of(signal.vectors.__getitem__, len(signal.vectors))
    raise TypeError(f"the signal '{signal.name}' has no vectors")


def _with_bias(signal: SequenceSignal, rows: slice) -> Floats:
    return np.concatenate([signal.vectors[rows], signal.bias[rows, None]], axis=1)
