"""Who competes for the best places of one query, and where an item stands as things are taken out.

Leaves to others: what is taken out (counterfactuals.py), scoring what is left (rescoring.py). What
the ranking is made of beside relevance is the caller's. Sizes: T steps of history, N items, M
columns, B rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crossrec.explanation.rescoring import Rescorer
from crossrec.explanation.things import Left, Scorer, shortened, whole
from crossrec.models.query import Queries
from crossrec.models.signal import FEW_ITEMS

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

N_RIVALS = 256
"""Best candidates among which a search looks; who comes from below only makes an item leave
sooner."""


@dataclass(frozen=True)
class Race:
    """Who competes for the best k of one query. Candidates stay the same whatever is taken out:
    what the user did is not recommended instead.
    """

    model: Scorer
    rescorer: Rescorer
    query: Queries  # one row
    allowed: NDArray[np.bool_]  # (N,)
    k: int
    beside: Floats | None = None
    """(N,) added to relevance; None: nothing."""
    order: Callable[[Queries], Sequence[int]] | None = None
    """A shortened query → item_idx of the best, best first, at least k of them where there are as
    many: what the answer is made by, where more than relevance and `beside` decides. The search
    then goes by those, and what it finds is verified by this."""
    of_last: Mapping[str, Floats] = field(default_factory=dict)
    """Context fields that the last history item told → (N,), what each item tells. Without that
    item the one before tells them, without any nobody does."""

    @cached_property
    def full(self) -> Left:
        """The query with all that it has; what the last item may tell goes with it."""
        left = whole(self.query)
        return replace(left, fields=left.fields | self.of_last.keys())

    def without(self, places: Collection[int]) -> Left:
        """The query less these steps of its history."""
        steps = self.full.steps.copy()
        steps[list(places)] = False
        return replace(self.full, steps=steps)

    def left(self, rows: Sequence[Left]) -> Queries:
        """A query a row; what the last item tells is told by the one that is last then."""
        return shortened(self.query, rows, self.of_last)

    @cached_property
    def candidates(self) -> Ints:
        """All that compete, best first."""
        scores = self.scores([self.full])[0]
        return np.argsort(-scores, kind="stable")[: int(self.allowed.sum())]

    @property
    def rivals(self) -> Ints:
        """The best candidates, best first."""
        return self.candidates[:N_RIVALS]

    def scores(self, rows: Sequence[Left]) -> Floats:
        """(B, N) of all candidates, by the model itself; others are last. Few candidates of very
        many items are scored by the rescorer.
        """
        columns = np.flatnonzero(self.allowed)
        if len(columns) <= FEW_ITEMS < len(self.allowed):
            few = self.rescorer.parts(self.query, self.left(rows), rows, columns)
            scores = np.full((len(rows), len(self.allowed)), -np.inf, np.float32)
            scores[:, columns] = np.add.reduce(list(few.values()))
            return scores if self.beside is None else scores + self.beside
        parts = self.model.signals(self.left(rows)).values()
        scores = np.add.reduce(list(parts))
        scores = scores if self.beside is None else scores + self.beside
        return np.where(self.allowed, scores, -np.inf)

    def rank(self, item: int, left: Left) -> int:
        """Place of the item among all candidates, 1 the best; ties go by row number. What is not
        in `order` comes right after it.
        """
        if self.order is not None:
            best = list(self.order(self.left([left])))
            return 1 + (best.index(item) if item in best else len(best))
        scores = self.scores([left])[0]
        before = np.flatnonzero(scores == scores[item]) < item
        return 1 + int((scores > scores[item]).sum()) + int(before.sum())

    def margins(self, item: int, rows: Sequence[Left], among: Ints | None = None) -> Floats:
        """(B,): how far the item is above what it takes to be among the best k of the rivals;
        below 0 it has left.

        Args:
            among: rivals of another choice, (M,) item_idx.
        """
        rivals = self.rivals if among is None else among
        columns = np.append(rivals[rivals != item], item)
        parts = self.rescorer.parts(self.query, self.left(rows), rows, columns)
        scores = np.add.reduce(list(parts.values()))
        scores = scores if self.beside is None else scores + self.beside[columns]
        others = scores[:, :-1]
        if others.shape[1] < self.k:
            return np.full(len(rows), np.inf, np.float32)
        bar = np.partition(others, -self.k, axis=1)[:, -self.k]  # the k-th of the others
        return np.asarray(scores[:, -1] - bar, np.float32)
