"""Turns rows of a split into `Queries`: padded histories with their moment and context.

Leaves to others: which rows those are (split.py), torch tensors (training/).
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from crossrec.data.split import Cases, Sequences
from crossrec.models.query import Queries

T = TypeVar("T", bound=np.generic)


def queries_for(
    sequences: Sequences,
    cases: Cases,
    request_dim: int,
    length: int | None = None,
    *,
    requests: NDArray[np.float32] | None = None,
) -> Queries:
    """The question of each case: the history before its target, at the target's moment.

    Moment and context are those of the target's row: what the caller of a live system knows.

    Args:
        request_dim: width E of the (empty) request vectors.
        requests: (R, E) encoded request of each row of `sequences`, which come with their words;
            None: nobody said anything.
        length: newest steps kept; None: as many as the longest history of the batch has.
    """
    starts = sequences.offsets[cases.users]
    longest = int(cases.cuts.max(initial=1))
    steps = max(1, longest if length is None else min(length, longest))
    columns = np.arange(-steps, 0)[None, :] + cases.cuts[:, None]  # (B, T) place in the rows
    present = columns >= 0
    rows = np.where(present, starts[:, None] + columns, 0)
    target = starts + cases.cuts
    return Queries(
        items=_gather(sequences.items, rows, present, -1),
        times=_gather(sequences.times, rows, present, 0),
        events=_gather(sequences.events, rows, present, -1),
        now=sequences.times[target],
        request=np.zeros((len(cases), request_dim), np.float32)
        if requests is None
        else requests[target],
        context={name: values[target] for name, values in sequences.context.items()},
        words=None
        if requests is None or sequences.requests is None
        else tuple(sequences.requests[row] for row in target),
    )


def _gather(
    values: NDArray[T], rows: NDArray[np.int64], present: NDArray[np.bool_], empty: int
) -> NDArray[T]:
    return np.where(present, values[rows], np.asarray(empty, values.dtype))
