"""Lets a model answer cases that were cut from newer data than it was trained on.

Leaves to others: cutting and judging them (protocols.py), the models (models/).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from crossrec.data.split import Sequences
from crossrec.data.vocabulary import Vocabulary
from crossrec.evaluation.protocols import Score
from crossrec.models.query import Queries

Index = TypeVar("Index", bound=np.signedinteger[Any])


class Translated:
    """A model's `score` in the row numbers of other sequences.

    Items, events and context values that the model never knew are to it what nobody said; an
    item that it never knew it cannot score (NaN), so that a case with that target counts as missed.

    Args:
        score: of the model.
        vocabulary: the model's.
        sequences: whose cases it is to answer.
    """

    def __init__(self, score: Score, vocabulary: Vocabulary, sequences: Sequences) -> None:
        self._score = score
        self._items = _rows(sequences.item_ids, vocabulary.item_ids)
        self._events = _rows(sequences.event_names, vocabulary.events)
        self._context = {
            name: _rows(values, vocabulary.context_values.get(name, []))
            for name, values in sequences.context_values.items()
        }

    def __call__(self, queries: Queries) -> NDArray[np.float32]:
        """(B, N) scores, N of the sequences' catalogue."""
        asked = replace(
            queries,
            items=_translated(queries.items, self._items),
            events=_translated(queries.events, self._events),
            context={name: self._field(name, codes) for name, codes in queries.context.items()},
        )
        scores = self._score(asked)
        known = self._items[:-1] >= 0
        found = np.full((len(scores), len(known)), np.nan, np.float32)
        found[:, known] = scores[:, self._items[:-1][known]]
        return found

    def _field(self, name: str, codes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Codes of a category; a field of another kind holds values, which stay."""
        rows = self._context.get(name)
        if rows is None:
            return codes
        known = np.where(np.isnan(codes), -1, codes).astype(np.int64)
        own = rows[known]
        return np.where(own >= 0, own, np.nan).astype(np.float32)


def _rows(names: Sequence[str], of_model: Sequence[str]) -> NDArray[np.int64]:
    """(n + 1,) row of each name among the model's, -1 where it has none; the last stands for -1."""
    known = {name: row for row, name in enumerate(of_model)}
    return np.array([*(known.get(name, -1) for name in names), -1], np.int64)


def _translated(values: NDArray[Index], rows: NDArray[np.int64]) -> NDArray[Index]:
    return np.asarray(rows[values.astype(np.int64)], values.dtype)
