"""Draws, for each training target, some of the items that were shown for it and passed over.

Leaves to others: what those are (data/exposures.py), the loss (models/losses.py).
Sizes: P targets, R rows, N items, K draws.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Ints = NDArray[np.int64]

DRAWN = 4
"""Items passed over that a target is set beside in a step (as Wu et al. 2019 have it)."""


def drawn_beside(
    passed_over: sparse.csr_array, rows: Ints, targets: Ints, known: NDArray[np.bool_], seed: int
) -> tuple[Ints, Ints]:
    """Which of the targets something was passed over for, and that or a draw of it.

    Items that no interaction trained (cold ones) are left out: nothing would ever speak for them,
    as in the softmax; so is the target itself, of requests that have several right answers.

    Args:
        passed_over: (R, N) counts; an item shown twice is drawn twice as often.
        rows: (P,) the targets' rows.
        targets: (P,) their items.
        known: (N,) items in the softmax.
        seed: of the draws.

    Returns:
        (Q,) places among the targets, and (Q, DRAWN) items, -1 where there are fewer.
    """
    rng = np.random.default_rng(seed)
    beside = np.full((len(rows), DRAWN), -1, np.int64)
    for place in np.flatnonzero(np.diff(passed_over.indptr)[rows]):
        of_row = slice(*passed_over.indptr[rows[place] : rows[place] + 2])
        items = np.repeat(passed_over.indices[of_row], passed_over.data[of_row].astype(np.int64))
        items = items[known[items] & (items != targets[place])]
        drawn = rng.permutation(items)[:DRAWN]
        beside[place, : len(drawn)] = drawn
    found = np.flatnonzero(beside[:, 0] >= 0)
    return found, beside[found]
