"""How alike items are: by their vectors, or by what they share in a column.

Leaves to others: what a ranking makes of it (objectives.py, rerank.py).
Sizes: N items, M rows out of them, E width of vectors, L values of an item at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crossrec.models.domain_model import DomainModel
from crossrec.models.sequence_signal import SequenceSignal
from crossrec.models.text_signals import RequestSignal, TextSignal

Floats = NDArray[np.float32]
Codes = NDArray[np.int32]
Rows = NDArray[np.int64]


class Likeness(Protocol):
    """How alike one of some rows is to all of them."""

    def __call__(self, row: int) -> Floats:
        """(M,) from 0 (nothing in common) to 1 (the same)."""


class Alike(Protocol):
    """How alike items are; `by_text` and `by_values` make one."""

    def __call__(self, rows: Rows) -> Likeness:
        """The likeness among the items at `rows`, (M,) item_idx."""


def item_vectors(model: DomainModel) -> Floats | None:
    """(N, E) unit vectors that say what items are: their texts, else those of the towers; None
    where the model has neither.
    """
    found = model.signals_by_name
    text, request, sequence = (
        found.get(kind.name) for kind in (TextSignal, RequestSignal, SequenceSignal)
    )
    if isinstance(text, TextSignal):
        return text.vectors
    if isinstance(request, RequestSignal):
        return request.vectors
    return sequence.vectors if isinstance(sequence, SequenceSignal) else None


def by_text(vectors: Floats) -> Alike:
    """Cosine, where it is positive: texts that are less alike than chance are not alike."""

    def alike(rows: Rows) -> Likeness:
        among = vectors[rows]  # (M, E)

        def likeness(row: int) -> Floats:
            return np.asarray(np.clip(among @ among[row], 0, 1), np.float32)

        return likeness

    return alike


def by_values(codes: Codes) -> Alike:
    """Share of the values of two items that both have (Jaccard); 0 where one has none.

    Args:
        codes: (N, L) see `value_codes`.
    """

    def alike(rows: Rows) -> Likeness:
        among = codes[rows]  # (M, L)
        sizes = (among >= 0).sum(axis=1)

        def likeness(row: int) -> Floats:
            own = among[row][among[row] >= 0]
            both = np.isin(among, own).sum(axis=1)
            return np.asarray(both / np.maximum(sizes + len(own) - both, 1), np.float32)

        return likeness

    return alike


def value_codes(values: Sequence[Sequence[Any]]) -> Codes:
    """Values of items as numbers: (N, L), -1 where there is none; a value counts once an item.

    >>> value_codes([["a", "b"], [], ["b", "b"]]).tolist()
    [[0, 1], [-1, -1], [1, -1]]
    """
    numbers: dict[Any, int] = {}
    coded = [
        [numbers.setdefault(value, len(numbers)) for value in dict.fromkeys(of_item)]
        for of_item in values
    ]
    codes = np.full((len(coded), max((len(row) for row in coded), default=0)), -1, np.int32)
    for item_idx, row in enumerate(coded):
        codes[item_idx, : len(row)] = row
    return codes
