"""Signals that add up sparse item-item weights over a history.

Leaves to others: where the weights come from (collaborative.py, linear_weights.py, training/).
Sizes: B queries, T steps, N items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from crossrec.models.query import Queries
from crossrec.models.signal import FEW_ITEMS, Arrays, Floats, Stored


def recency_weights(present: NDArray[np.bool_], decay: float) -> Floats:
    """decay^age, age 0 for the newest step; zero for padding. (B, T)."""
    ages = np.arange(present.shape[1] - 1, -1, -1)
    return (present * np.float32(decay) ** ages).astype(np.float32)


@dataclass(frozen=True)
class NeighbourSignal:
    """s_i = sum over history h of decay^age_h W[h, i], with W sparse by rows.

    W comes from cosine neighbours or from what follows what (linear_weights.py); columns and
    rows of items without interactions are lent by their nearest items in text (collaborative.py).
    """

    name: ClassVar[str] = "neighbours"
    starts: NDArray[np.int64]  # (N + 1,)
    columns: NDArray[np.int32] | NDArray[np.uint16]  # (nnz,)
    values: NDArray[np.float16]  # (nnz,)
    decay: float

    def score(self, queries: Queries) -> Floats:
        """Sparse rows of the history, added up with recency weights."""
        n_items = len(self.starts) - 1
        weights = recency_weights(queries.items >= 0, self.decay)
        scores = np.zeros((len(queries), n_items), np.float32)
        for row, (items, weight) in enumerate(zip(queries.items, weights, strict=True)):
            used = weight > 1e-6
            scores[row] = self._add_up(items[used], weight[used], n_items)
        return scores

    def sums(self, items: NDArray[np.int32], weights: Floats) -> tuple[NDArray[np.int64], Floats]:
        """Items that neighbour some items, in rising order, and the sums of their weights."""
        n_items = len(self.starts) - 1
        if len(items) == 1:
            row = slice(*self.starts[items[0] : items[0] + 2].tolist())
            columns = np.asarray(self.columns[row], np.int64)
            return columns, self.values[row].astype(np.float32) * weights[0]
        if n_items <= FEW_ITEMS:
            dense = self._add_up(items, weights, n_items)
            columns = np.flatnonzero(dense)
            return columns, dense[columns]
        columns, values = self._entries(items, weights)
        columns, of = np.unique(columns, return_inverse=True)
        return columns, np.bincount(of, values, len(columns)).astype(np.float32)

    def _add_up(self, items: NDArray[np.int32], weights: Floats, n_items: int) -> Floats:
        columns, values = self._entries(items, weights)
        return np.bincount(columns, values, n_items).astype(np.float32)

    def _entries(
        self, items: NDArray[np.int32], weights: Floats
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Columns and weighted values of the items' rows, one after the other."""
        first, last = self.starts[items], self.starts[items + 1]
        rows = [slice(*ends) for ends in zip(first.tolist(), last.tolist(), strict=True)]
        if not rows:
            return np.zeros(0, np.intp), np.zeros(0)
        # In the types that bincount takes: slices joined so cost less than one index of them all.
        columns = np.concatenate([self.columns[row] for row in rows], dtype=np.intp)
        values = np.concatenate([self.values[row] for row in rows], dtype=np.float64)
        values *= np.repeat(weights, last - first)
        return columns, values

    def arrays(self) -> Arrays:
        """The sparse matrix; its columns in two bytes where they fit."""
        narrow = len(self.starts) <= np.iinfo(np.uint16).max
        columns = self.columns.astype(np.uint16 if narrow else np.int32)
        return {"starts": self.starts, "columns": columns, "values": self.values}

    def settings(self) -> dict[str, Any]:
        """The decay."""
        return {"decay": self.decay}

    @classmethod
    def restore(cls, arrays: Stored, settings: dict[str, Any]) -> NeighbourSignal:
        """From stored tensors and values."""
        return cls(arrays["starts"], arrays["columns"], arrays["values"], settings["decay"])


@dataclass(frozen=True)
class CollaborativeSignal(NeighbourSignal):
    """The same sum over EASE weights."""

    name: ClassVar[str] = "collaborative"


@dataclass(frozen=True)
class WordingSignal(NeighbourSignal):
    """The same sum over cosines of item texts as bags of words and of pairs of words.

    A name, a make or a model number is a word among many to the encoder; here it is rare, and
    weighs.
    """

    name: ClassVar[str] = "wording"
