"""What had to be different for an item not to be among the best k: found by search, then verified.

Leaves to others: who competes and how it is scored (race.py), parts of the score
(contributions.py), words for it (text.py). Sizes: T steps of history, M rivals, B rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import comb
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crossrec.explanation.race import Race

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Places = tuple[int, ...]

MAX_STEPS = 64
"""Newest history items that the search takes out."""
SETS = 64
"""Sets of one size that the search tries, most promising first: for 43 users of films and 40 of a
shop 500 found nothing that these had not found, in up to three times the time."""
PROOF_SETS = 500
"""Smaller sets that a proof tries."""
EXACT = 3
"""Size up to which all sets of the items that matter most are tried."""
MAX_SET = 24
"""Largest set that is tried."""
HOPE = 0.75
"""A set of a few steps is tried where, by what each does alone, at most this share of the margin is
left: of 39 items of three domains that pairs or triples took out, all of histories longer than
SHORT went by one of .73 and below."""
SHORT = 12
"""Histories up to this length have no hopeless sets: the fewer steps, the more they do together."""
SUBSETS = 8
"""Largest set whose subsets are all tried."""
CHUNK = 200
"""Sets that are scored at once."""
CELLS = 2**22
"""Scores of a proof: smaller sets × candidates."""
SLACK = 2e-3
"""A margin below it is looked at by the model itself: the rescorer's are right to about half."""
VERIFIED = 40
"""Sets of one size that are verified until one holds."""


@dataclass(frozen=True)
class Counterfactual:
    """Without these the item is no longer among the best k."""

    kind: Literal["history", "context"]
    places: Places
    """Steps of the history, (T,), that go; of kind context none."""
    field: str
    """The context field that is not told; of kind history empty."""
    rank: int
    """Where the item then is among all candidates, by scoring the whole catalogue again."""
    is_smallest: bool = True
    """No smaller set takes the item out: all were tried. Otherwise each of the set is needed (with
    any one of them back the item is among the best again), but not all smaller sets were tried."""


def counterfactuals(race: Race, item: int) -> list[Counterfactual]:
    """A small set of history items, and the context field, without which `item` leaves the best k;
    each only if there is one.

    All single history items are tried (the newest MAX_STEPS), then all pairs and triples of those
    that matter most one by one, as many as give SETS of a size, most promising first, but for those
    that are far from it (HOPE); larger sets grow by what matters most. Then smaller ones are looked
    for: all there are of all the history, against all candidates, where these are PROOF_SETS at
    most and CELLS scores (the answer is then `is_smallest`), else those within the set that have
    hope, and at last the set without each one of its items.
    Of sets of one size that were scored together the one that throws the item furthest back comes
    first. Every answer was verified: the whole catalogue scored again, by the model itself, with
    context that the last item tells told by the item that is last then.
    """
    found = [_Search(race, item).smallest(), _by_context(race, item)]
    return [one for one in found if one is not None]


class _Search:
    """Looks for sets of history items without which one item leaves."""

    def __init__(self, race: Race, item: int) -> None:
        self._race, self._item = race, item
        self._history: list[int] = np.flatnonzero(race.full.steps)[::-1].tolist()
        self._margin = 0.0
        """With the whole history."""
        self._drops: dict[int, float] = {}
        """Step → by how much less the margin is without it alone."""

    def smallest(self) -> Counterfactual | None:
        """The smallest set that is found."""
        if not self._history:
            return None
        steps = self._history[:MAX_STEPS]
        self._margin, *alone = self._margins([(), *((step,) for step in steps)]).tolist()
        self._drops = {step: self._margin - one for step, one in zip(steps, alone, strict=True)}
        ranked = sorted(steps, key=lambda step: -self._drops[step])
        for size in range(1, min(EXACT, len(steps)) + 1):
            found = self._first(self._promising(ranked, size))
            if found:
                return self._told(found)
        grown = self._grown(ranked)
        return self._told(grown) if grown else None

    def _first(self, sets: list[Places]) -> Places | None:
        """The first that makes it leave, verified."""
        tries = 0
        for start in range(0, len(sets), CHUNK):
            some = sets[start : start + CHUNK]
            margins = self._margins(some)
            furthest: list[int] = np.argsort(margins, kind="stable").tolist()
            for i in furthest:
                if margins[i] >= 0 or tries == VERIFIED:
                    break
                tries += 1
                if self._leaves(some[i]):
                    return some[i]
        return None

    def _grown(self, ranked: list[int]) -> Places | None:
        """The smallest of growing sets that makes it leave, less what that does not need."""
        growing = [tuple(ranked[:n]) for n in range(EXACT + 1, min(len(ranked), MAX_SET) + 1)]
        large = self._first(growing)
        while large:
            fewer = self._thinned(large) or self._first(_each_less(large))
            if fewer is None:
                break
            large = fewer
        return large

    def _thinned(self, large: Places) -> Places | None:
        """The set less up to a quarter of it at once, those first that it needs least: one at a
        time takes as many rounds as there are to go, and ends with sets as small.
        """
        if len(large) // 4 < 2:
            return None
        margins = self._margins(_each_less(large))
        order = np.argsort(margins, kind="stable")[: len(large) // 4]
        unneeded = [large[::-1][i] for i in order if margins[i] < 0]
        gone = (unneeded[:n] for n in range(len(unneeded), 0, -1))
        fewer = [tuple(step for step in large if step not in some) for some in gone]
        left: Sequence[float] = self._margins(fewer).tolist() if fewer else []
        pairs = zip(fewer, left, strict=True)
        return next((one for one, at in pairs if at < 0 and self._leaves(one)), None)

    def _told(self, places: Places) -> Counterfactual:
        """With the proof that there is no smaller one, or the smaller one."""
        whole = self._proof(places)
        if whole is None and len(places) <= SUBSETS:
            sizes = range(1, len(places))
            inner = [one for size in sizes for one in itertools.combinations(places, size)]
            places = self._first([one for one in inner if self._has_hope(one)]) or places
        while whole is None:
            smaller = next((one for one in _each_less(places) if self._leaves(one)), None)
            if smaller is None:
                break
            places = smaller
        kept = whole or places
        rank = self._race.rank(self._item, self._race.without(kept))
        return Counterfactual("history", tuple(sorted(kept)), "", rank, whole is not None)

    def _proof(self, places: Places) -> Places | None:
        """The smallest set there is, by trying all that are smaller than this one; None: there are
        too many of them, or more than scores decides.
        """
        if len(places) == 1:
            return places
        n, race = len(self._history), self._race
        n_smaller = sum(comb(n, size) for size in range(1, len(places)))
        if race.order or n_smaller > PROOF_SETS or n_smaller * len(race.candidates) > CELLS:
            return None
        sizes = range(1, len(places))
        smaller = [one for size in sizes for one in itertools.combinations(self._history, size)]
        for start in range(0, len(smaller), CHUNK):
            some = smaller[start : start + CHUNK]
            margins = self._margins(some, race.candidates)
            near = (some[i] for i in np.flatnonzero(margins < SLACK))
            found = next((one for one in near if self._leaves(one)), None)
            if found:
                return found
        return places

    def _promising(self, ranked: list[int], size: int) -> list[Places]:
        """Sets of a size, of as many of the first steps as give SETS of them, the most promising
        first; those without hope are left out.
        """
        n = len(ranked)
        while comb(n, size) > SETS:
            n -= 1
        sets = itertools.combinations(ranked[:n], size)
        return sorted(filter(self._has_hope, sets), key=self._expected)

    def _has_hope(self, places: Places) -> bool:
        short = len(self._history) <= SHORT
        return short or self._expected(places) <= HOPE * self._margin

    def _expected(self, places: Places) -> float:
        """The margin without some steps, if each took away what it does alone."""
        return self._margin - sum(self._drops[step] for step in places)

    def _leaves(self, places: Collection[int]) -> bool:
        return self._race.rank(self._item, self._race.without(places)) > self._race.k

    def _margins(self, sets: Sequence[Places], among: Ints | None = None) -> Floats:
        rows = [self._race.without(places) for places in sets]
        return self._race.margins(self._item, rows, among)


def _each_less(places: Places) -> list[Places]:
    """The set without each one of its steps, the last first."""
    return [tuple(one for one in places if one != step) for step in reversed(places)]


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
