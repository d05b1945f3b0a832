"""Training rows as windows of sequences, padded batches, and every row's share of context.

Leaves to others: the split (data/split.py), tensors on a device (loop.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossrec.data.split import Split
from crossrec.models.context import ContextEncoder, gap_buckets

Ints = NDArray[np.int64]
Batch = tuple[Ints, NDArray[np.bool_]]


@dataclass(frozen=True)
class Rows:
    """What is known of each training row when it is a target; index 0..R-1 over all rows."""

    previous: Ints  # (R,) the user's training row before it, -1 for the first
    gaps: Ints  # (R,) bucket of the time since it
    context: NDArray[np.float32]  # (R, C)


def describe_rows(split: Split, context: ContextEncoder, clock: bool) -> Rows:
    """Previous row, gap and context of every row (rows outside training are left at zero)."""
    sequences = split.sequences
    rows = np.flatnonzero(split.train)
    users = np.searchsorted(sequences.offsets, rows, side="right") - 1
    follows = np.append(False, users[1:] == users[:-1])[: len(rows)]  # none at all: nothing
    previous = np.full(len(sequences.items), -1, np.int64)
    previous[rows[follows]] = rows[np.flatnonzero(follows) - 1]
    since = np.where(previous >= 0, sequences.times - sequences.times[previous], -1)
    gaps = gap_buckets(since) * (previous >= 0) if clock else np.zeros_like(previous)
    return Rows(previous, gaps, context.encode(sequences.context, since))


def make_windows(split: Split, length: int, rng: np.random.Generator) -> list[Ints]:
    """Each user's training rows cut into windows of at most `length` targets.

    Long sequences are cut at a new phase each time, so that every step is now and then the
    first and the last of a window.
    """
    rows = np.flatnonzero(split.train)
    users = np.searchsorted(split.sequences.offsets, rows, side="right") - 1
    windows: list[Ints] = []
    for of_user in np.split(rows, np.flatnonzero(np.diff(users)) + 1):
        if len(of_user) <= length:
            windows.append(of_user)
            continue
        phase = int(rng.integers(1, length + 1))
        windows.extend(np.split(of_user, np.arange(phase, len(of_user), length)))
    return [window for window in windows if len(window)]


def make_batches(windows: list[Ints], batch_size: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Windows of similar length together, in random order.

    Yields:
        targets (B, T) row numbers, padded on the left with 0, and which of them are real.
    """
    # Jitter keeps neighbours in length from being neighbours in every epoch.
    lengths = np.array([len(window) for window in windows])
    order = np.argsort(lengths + rng.uniform(0, 4, len(lengths)), kind="stable")
    starts = rng.permutation(np.arange(0, len(order), batch_size))
    for start in starts:
        chosen = [windows[i] for i in order[start : start + batch_size]]
        steps = max(len(window) for window in chosen)
        targets = np.zeros((len(chosen), steps), np.int64)
        real = np.zeros((len(chosen), steps), bool)
        for row, window in enumerate(chosen):
            targets[row, steps - len(window) :] = window
            real[row, steps - len(window) :] = True
        yield targets, real
