"""Picks a list from scores, from the top down: limits, pins, diversity, exposure of the small.

Leaves to others: the scores (weights.py has the formula), likeness (likeness.py).
Sizes: N items, M rows that are looked at, k items of the list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrec.ranking.likeness import Alike, Codes

Wide = NDArray[np.float64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]

SMALL_SHARE = 0.2
"""Small providers are those who together have at most this share of all interactions; it is also
the share of the list's exposure that they are to have."""
MIN_POOL = 200
POOL_SHARE = 4
"""Candidates that are looked at, for each item of the list: more only where these do not do."""


@dataclass(frozen=True)
class Small:
    """Which items come from small providers."""

    small: Bools  # (N,)
    known: Bools  # (N,) the item has a provider


@dataclass(frozen=True)
class Rules:
    """What a list has to keep to."""

    at_most: Sequence[tuple[Codes, int]] = ()
    """(N, L) values of the items, and how many items of one value there may be."""
    pinned: Mapping[int, int] = field(default_factory=dict)
    """Position, from 1 → item_idx; whatever its score and the limits."""
    alike: Alike | None = None
    diversity: float = 0.0
    """What a copy of an item above loses."""
    providers: Small | None = None
    exposure: float = 0.0
    """What an item of a small provider gains where those have had no exposure at all."""


@dataclass(frozen=True)
class Picked:
    """One item of the list, with what its place in the list gave it."""

    item_idx: int
    diversity: float = 0.0
    exposure: float = 0.0
    pinned: bool = False


def top_k(scores: NDArray[Any], k: int) -> Rows:
    """Row numbers of the k largest, largest first, ties by row number.

    >>> top_k(np.array([1.0, 3.0, 3.0, 2.0]), 3).tolist()
    [1, 2, 3]
    """
    if k < len(scores):
        # All that tie with the k-th largest stay in, so that the cut does not depend on chance.
        rows = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
    else:
        rows = np.arange(len(scores))
    return rows[np.argsort(-scores[rows], kind="stable")][:k]


def pick(scores: Wide, k: int, rules: Rules) -> list[Picked]:
    """The list, from the top down: at each position the item with the highest score by then.

    By then: its score, less `diversity` times its likeness to the most alike item above (maximal
    marginal relevance, Carbonell & Goldstein, SIGIR 1998, with lambda as a weight of its own), plus
    `exposure` times the share that small providers lack of the exposure they are to have
    (a proportional controller on exposure as in FairCo, Morik et al., SIGIR 2020, here along the
    positions of one list; a position has exposure 1 / log2(1 + position), Singh & Joachims, KDD
    2018, with one position's worth counted as fair before the first). Equal scores keep the
    order of the catalogue. A position that nothing is left for is closed up.

    Args:
        scores: (N,), -inf for what is no candidate.
        k: length of the list; shorter where limits and candidates leave less.
        rules: what it has to keep to. Pins count for the limits from the start.
    """
    bounds = scores.copy()  # what an item can get at best
    if rules.providers is not None:
        bounds[rules.providers.small] += rules.exposure
    bounds[list(rules.pinned.values())] = -np.inf
    n_pool = max(MIN_POOL, POOL_SHARE * k)
    while True:
        best = top_k(bounds, n_pool + 1)
        outside = bounds[best[n_pool]] if len(best) > n_pool else -np.inf
        pool = best[:n_pool]
        found = _Picking(scores, pool[bounds[pool] > -np.inf], rules).run(k, float(outside))
        if found is not None:
            return found
        n_pool *= 4


class _Picking:
    """One way down the list, over the candidates of a pool."""

    def __init__(self, scores: Wide, pool: Rows, rules: Rules) -> None:
        self._rules = rules
        pins = np.array(list(rules.pinned.values()), np.int64)
        self._row_of_pin = {int(item): len(pool) + row for row, item in enumerate(pins)}
        self._rows = np.concatenate([pool, pins])  # (M,)
        self._scores = scores[self._rows]
        self._left = np.arange(len(self._rows)) < len(pool)
        self._nearest = np.zeros(len(self._rows))
        self._likeness = None if rules.alike is None else rules.alike(self._rows)
        self._codes = [codes[self._rows] for codes, _ in rules.at_most]
        self._counts: list[dict[int, int]] = [{} for _ in rules.at_most]
        self._small, self._known = self._of_providers()
        self._had, self._had_small = 1.0, SMALL_SHARE
        for row in self._row_of_pin.values():
            self._count(row)

    def _of_providers(self) -> tuple[Bools, Bools]:
        providers = self._rules.providers
        if providers is None:
            return np.zeros(len(self._rows), bool), np.zeros(len(self._rows), bool)
        return providers.small[self._rows], providers.known[self._rows]

    def run(self, k: int, outside: float) -> list[Picked] | None:
        """The list; None where something outside of the pool could have been better.

        Args:
            k: length of the list.
            outside: the highest that an item outside of the pool can get.
        """
        found: list[Picked] = []
        pinned = dict(self._rules.pinned)
        for position in range(1, k + 1):
            row = self._row_of_pin[pinned.pop(position)] if position in pinned else None
            if row is None:
                row, value = self._best()
                if value < outside:
                    return None
                if value == -np.inf:
                    break
            found.append(self._take(row, position))
        for position in sorted(pinned):  # nothing is left above them
            if len(found) < k:
                found.append(self._take(self._row_of_pin[pinned[position]], len(found) + 1))
        return found

    def _best(self) -> tuple[int, float]:
        if not self._left.any():
            return -1, -np.inf
        values = self._scores - self._rules.diversity * self._nearest
        values += self._boost() * self._small
        values[~self._left] = -np.inf
        row = int(values.argmax())
        return row, float(values[row])

    def _boost(self) -> float:
        """What an item of a small provider gains now."""
        lacking = 1 - self._had_small / (self._had * SMALL_SHARE)
        return self._rules.exposure * max(0.0, lacking)

    def _take(self, row: int, position: int) -> Picked:
        is_pin = row in self._row_of_pin.values()
        picked = Picked(
            int(self._rows[row]),
            diversity=0.0 - self._rules.diversity * float(self._nearest[row]),
            exposure=self._boost() * float(self._small[row]),
            pinned=is_pin,
        )
        self._left[row] = False
        if not is_pin:  # pins were counted before
            self._count(row)
        if self._likeness is not None:
            self._nearest = np.maximum(self._nearest, self._likeness(row))
        exposure = float(self._known[row]) / np.log2(1 + position)
        self._had += exposure
        self._had_small += exposure * float(self._small[row])
        return picked

    def _count(self, row: int) -> None:
        """Count an item's values; what has one that is used up cannot follow."""
        for (_, limit), codes, counts in zip(
            self._rules.at_most, self._codes, self._counts, strict=True
        ):
            for value in codes[row][codes[row] >= 0].tolist():
                counts[value] = counts.get(value, 0) + 1
                if counts[value] >= limit:
                    self._left &= ~(codes == value).any(axis=1)


def small_providers(codes: Codes, counts: NDArray[np.int64]) -> Small:
    """Items of the providers who together have at most `SMALL_SHARE` of all interactions.

    Providers are taken from the one with the fewest; where nothing was ever seen, a provider's
    items count instead.

    Args:
        codes: (N, L) providers of the items, -1 where there is none; the first one counts.
        counts: (N,) interactions with each item.
    """
    of_item = codes[:, 0] if codes.shape[1] else np.full(len(codes), -1, np.int32)
    known = of_item >= 0
    if not known.any():
        return Small(np.zeros(len(codes), bool), known)
    weights = counts[known] if counts[known].any() else None
    interest = np.bincount(of_item[known], weights=weights)
    fewest_first = np.argsort(interest, kind="stable")
    shares = np.cumsum(interest[fewest_first]) / interest.sum()
    is_small = np.zeros(len(interest), bool)
    is_small[fewest_first] = shares <= SMALL_SHARE
    return Small(known & is_small[of_item], known)
