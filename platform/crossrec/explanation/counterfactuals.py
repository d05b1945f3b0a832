"""What had to be different for an item not to be among the best k: found by search, then verified.

Leaves to others: parts of the score (contributions.py), words for it (text.py). What the ranking is
made of beside relevance is the caller's.
Sizes: T steps of history, N items, M rivals, B rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crossrec.explanation.rescoring import Rescorer
from crossrec.explanation.things import Left, Scorer, shortened, whole
from crossrec.models.query import Queries
from crossrec.models.signals import FEW_ITEMS

Floats = NDArray[np.float32]

N_RIVALS = 256
"""Best candidates among which the search looks; who comes from below only makes an item leave
sooner, and each answer is verified among all."""
MAX_STEPS = 64
"""Newest history items that the search takes out."""
IN_PAIRS = 16
"""History items whose pairs are all tried: those that matter most one by one."""
MAX_SET = 24
"""Largest set that is tried."""


@dataclass(frozen=True)
class Counterfactual:
    """Without these the item is no longer among the best k."""

    kind: Literal["history", "context"]
    places: tuple[int, ...]
    """Steps of the history, (T,), that go; of kind context none."""
    field: str
    """The context field that is not told; of kind history empty."""
    rank: int
    """Where the item then is among all candidates, by scoring the whole catalogue again."""


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

    @cached_property
    def full(self) -> Left:
        """The query with all that it has."""
        return whole(self.query)

    @cached_property
    def rivals(self) -> NDArray[np.int64]:
        """The best candidates, best first."""
        scores = self.scores([self.full])[0]
        return np.argsort(-scores, kind="stable")[: min(N_RIVALS, int(self.allowed.sum()))]

    def scores(self, rows: Sequence[Left]) -> Floats:
        """(B, N) of all candidates, by the model itself; others are last. Few candidates of very
        many items are scored by the rescorer.
        """
        columns = np.flatnonzero(self.allowed)
        if len(columns) <= FEW_ITEMS < len(self.allowed):
            few = self.rescorer.parts(self.query, shortened(self.query, rows), rows, columns)
            scores = np.full((len(rows), len(self.allowed)), -np.inf, np.float32)
            scores[:, columns] = np.add.reduce(list(few.values()))
            return scores if self.beside is None else scores + self.beside
        parts = self.model.signals(shortened(self.query, rows)).values()
        scores = np.add.reduce(list(parts))
        scores = scores if self.beside is None else scores + self.beside
        return np.where(self.allowed, scores, -np.inf)

    def rank(self, item: int, left: Left) -> int:
        """Place of the item among all candidates, 1 the best; ties go by row number. What is not
        in `order` comes right after it.
        """
        if self.order is not None:
            best = list(self.order(shortened(self.query, [left])))
            return 1 + (best.index(item) if item in best else len(best))
        scores = self.scores([left])[0]
        before = np.flatnonzero(scores == scores[item]) < item
        return 1 + int((scores > scores[item]).sum()) + int(before.sum())

    def margins(self, item: int, rows: Sequence[Left]) -> Floats:
        """(B,): how far the item is above what it takes to be among the best k of the rivals;
        below 0 it has left.
        """
        columns = np.append(self.rivals[self.rivals != item], item)
        parts = self.rescorer.parts(self.query, shortened(self.query, rows), rows, columns)
        scores = np.add.reduce(list(parts.values()))
        scores = scores if self.beside is None else scores + self.beside[columns]
        others = scores[:, :-1]
        if others.shape[1] < self.k:
            return np.full(len(rows), np.inf, np.float32)
        bar = np.partition(others, -self.k, axis=1)[:, -self.k]  # the k-th of the others
        return np.asarray(scores[:, -1] - bar, np.float32)


def counterfactuals(race: Race, item: int) -> list[Counterfactual]:
    """The smallest set of history items, and the context field, without which `item` leaves the
    best k; each only if there is one.

    Single history items are all tried, pairs of the IN_PAIRS that matter most; larger sets grow by
    what matters most one by one, and lose again what is not needed. Of sets of one size the one
    that throws the item furthest back comes first. Every answer was verified: the whole catalogue
    scored again, by the model itself.
    """
    found = [_by_history(race, item), _by_context(race, item)]
    return [one for one in found if one is not None]


def _by_history(race: Race, item: int) -> Counterfactual | None:
    for places in _sets(race, item):
        rank = race.rank(item, _without(race, places))
        if rank > race.k:
            return Counterfactual("history", tuple(sorted(places)), "", rank)
    return None


def _sets(race: Race, item: int) -> Iterator[Collection[int]]:
    """Sets that make the item leave the rivals' best k, smallest first."""
    steps = np.flatnonzero(race.full.steps)[::-1][:MAX_STEPS].tolist()
    if not steps:
        return
    alone = _margins(race, item, [[step] for step in steps])
    order = [steps[i] for i in np.argsort(alone, kind="stable")]
    yield from ([step] for step, margin in zip(order, np.sort(alone), strict=True) if margin < 0)
    pairs = [list(pair) for pair in itertools.combinations(order[:IN_PAIRS], 2)]
    yield from _leaving(pairs, _margins(race, item, pairs))
    growing = [order[:n] for n in range(3, min(len(order), MAX_SET) + 1)]
    for large, margin in zip(growing, _margins(race, item, growing), strict=True):
        if margin < 0:
            yield _pruned(race, item, large)
            return


def _leaving(sets: list[list[int]], margins: Floats) -> Iterator[list[int]]:
    """Those that make it leave, the furthest first."""
    yield from (sets[i] for i in np.argsort(margins, kind="stable") if margins[i] < 0)


def _pruned(race: Race, item: int, places: list[int]) -> list[int]:
    """Less the steps that are not needed, the least important first, until each is needed: what
    was needed in a large set may be idle in a smaller one.
    """
    while len(places) > 1:
        smaller = [[one for one in places if one != step] for step in reversed(places)]
        leaving = np.flatnonzero(_margins(race, item, smaller) < 0)
        if not len(leaving):
            break
        places = smaller[leaving[0]]
    return places


def _margins(race: Race, item: int, sets: Sequence[Collection[int]]) -> Floats:
    if not sets:
        return np.zeros(0, np.float32)
    return race.margins(item, [_without(race, places) for places in sets])


def _without(race: Race, places: Collection[int]) -> Left:
    steps = race.full.steps.copy()
    steps[list(places)] = False
    return replace(race.full, steps=steps)


def _by_context(race: Race, item: int) -> Counterfactual | None:
    """The field without which the item falls furthest, if it leaves."""
    ranks = {
        field: race.rank(item, replace(race.full, fields=race.full.fields - {field}))
        for field in sorted(race.full.fields)
    }
    field = max(ranks, key=lambda name: ranks[name], default=None)
    if field is None or ranks[field] <= race.k:
        return None
    return Counterfactual("context", (), field, ranks[field])
