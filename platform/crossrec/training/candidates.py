"""The items of a validation case that the fusion is learned on: the best of each signal, and some
drawn at random that stand for all others.

Leaves to others: the cases (assemble.py), learning (blend.py).
Sizes: n cases, N items, S signals, C candidates of a case, E item features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossrec.models.fusion import standardise
from crossrec.models.query import Queries
from crossrec.models.signal import Signal

Floats = NDArray[np.float32]
Allowed = Callable[[Queries, NDArray[np.int64]], NDArray[np.bool_]]
"""Queries, their targets → (B, N) which items are candidates at all."""

BEST_OF_EACH = 64
DRAWN = 64
_BATCH_CELLS = 2_000_000


@dataclass(frozen=True)
class Candidates:
    """The target comes first; rows are padded on the right."""

    scores: Floats  # (n, C, S) standardised over the whole catalogue
    items: NDArray[np.int64]  # (n, C) item_idx, -1 where padded
    log_weights: Floats  # (n, C)
    """log of how many items of the catalogue a candidate stands for; -inf where padded."""


def gather(
    signals: Sequence[Signal],
    queries: Queries,
    targets: NDArray[np.int64],
    allowed: Allowed,
    n_items: int,
    seed: int,
) -> Candidates:
    """Score the catalogue for each case, keep the candidates.

    A softmax over them with the log weights added to the logits estimates that over the whole
    catalogue: the best of each signal stand for themselves, those drawn uniformly from the rest
    for all of it (importance sampling, Bengio & Senecal 2003).

    Args:
        signals: S of them.
        targets: (n,) item_idx, allowed whatever `allowed` says.
        allowed: which items a case may be given.
        n_items: N.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    parts = [
        _of_batch(signals, queries.take(rows), targets[rows], allowed, rng)
        for rows in _batches(len(targets), n_items)
    ]
    width = max(part.items.shape[1] for part in parts)
    return Candidates(
        np.concatenate([_widen(part.scores, width, 0.0) for part in parts]),
        np.concatenate([_widen(part.items, width, -1) for part in parts]),
        np.concatenate([_widen(part.log_weights, width, -np.inf) for part in parts]),
    )


def _batches(n_cases: int, n_items: int) -> Iterator[NDArray[np.int64]]:
    size = max(1, _BATCH_CELLS // n_items)
    for start in range(0, n_cases, size):
        yield np.arange(start, min(start + size, n_cases))


def _of_batch(
    signals: Sequence[Signal],
    queries: Queries,
    targets: NDArray[np.int64],
    allowed: Allowed,
    rng: np.random.Generator,
) -> Candidates:
    scores = np.stack([standardise(signal.score(queries)) for signal in signals])  # (S, b, N)
    may = allowed(queries, targets)
    cases = np.arange(len(targets))
    may[cases, targets] = False  # it is put first
    best = np.zeros(may.shape, bool)
    for part in scores:
        _mark_best(part, may, best)
    rest = may & ~best
    drawn = rest & (rng.random(rest.shape) < DRAWN / np.maximum(rest.sum(axis=1), 1)[:, None])
    stands_for = np.log(np.maximum(rest.sum(axis=1), 1) / np.maximum(drawn.sum(axis=1), 1))
    width = 1 + int((best | drawn).sum(axis=1).max(initial=0))
    items = np.full((len(targets), width), -1, np.int64)
    log_weights = np.full((len(targets), width), -np.inf, np.float32)
    items[:, 0], log_weights[:, 0] = targets, 0
    rows, columns = np.nonzero(best | drawn)
    counts = np.bincount(rows, minlength=len(targets))
    place = 1 + np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    items[rows, place] = columns
    log_weights[rows, place] = np.where(drawn[rows, columns], stands_for[rows], 0)
    kept = np.take_along_axis(scores, np.maximum(items, 0)[None], axis=2)
    return Candidates(np.ascontiguousarray(kept.transpose(1, 2, 0)), items, log_weights)


def _mark_best(scores: Floats, may: NDArray[np.bool_], best: NDArray[np.bool_]) -> None:
    """Set `best` at the BEST_OF_EACH highest scores of each row; a silent signal names none."""
    shown = np.where(may & (scores > 0), scores, -np.inf)
    k = min(BEST_OF_EACH, shown.shape[1])
    top = np.argpartition(-shown, k - 1, axis=1)[:, :k]
    found = np.isfinite(np.take_along_axis(shown, top, axis=1))
    rows = np.broadcast_to(np.arange(len(top))[:, None], top.shape)
    best[rows[found], top[found]] = True


def _widen(values: NDArray, width: int, fill: float) -> NDArray:  # type: ignore[type-arg]
    shape = (len(values), width - values.shape[1], *values.shape[2:])
    return np.concatenate([values, np.full(shape, fill, values.dtype)], axis=1)
