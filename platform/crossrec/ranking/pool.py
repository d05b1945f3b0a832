"""The items that a list is made of, by place: a whole catalogue, or some rows of it.

Leaves to others: which rows (candidates.py).
Sizes: N items of the catalogue, C of the pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """Places from 0 on stand for items, in the order of the catalogue."""

    rows: Ints | None = None  # (C,) item_idx, rising; None: all items, each in its own place

    def take(self, values: NDArray[Any]) -> NDArray[Any]:
        """(N, …) → (C, …)."""
        return values if self.rows is None else values[self.rows]

    def places(self, item_idx: Sequence[int] | NDArray[Any]) -> Ints:
        """Places of those items that the pool has.

        >>> Pool(np.array([2, 5, 9])).places([5, 6, 12]).tolist()
        [1]
        """
        wanted = np.asarray(item_idx, np.int64)
        if self.rows is None or not len(self.rows):
            return wanted if self.rows is None else wanted[:0]
        found = np.minimum(np.searchsorted(self.rows, wanted), len(self.rows) - 1)
        return np.asarray(found[self.rows[found] == wanted])

    def items(self, places: Ints) -> Ints:
        """item_idx of places."""
        return places if self.rows is None else self.rows[places]

    def item(self, place: int) -> int:
        """item_idx of one place."""
        return place if self.rows is None else int(self.rows[place])


WHOLE = Pool()
