"""Takes a score apart into figures that add up to it, by removing and scoring again.

Everything is scored in one batch, whatever the number of explained items. Leaves to others:
scoring at those items only (rescoring.py), the sentence (text.py), encoding words (a callable
of the caller), transport (serving/).
Sizes: k explained items, B rows scored, T steps of history, E text width, N items, G groups.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossrec.data.ratings import rating_levels
from crossrec.explanation.rescoring import Rescorer
from crossrec.explanation.text import rating_sentence, sentence
from crossrec.explanation.things import (
    GROUPS,
    MAX_STEPS,
    MAX_WORDS,
    Group,
    Left,
    Scorer,
    Thing,
    Titles,
    Wish,
    only,
    shortened,
    things,
    whole,
)
from crossrec.models.query import Queries
from crossrec.serving.messages import Explanation, Part

Floats = NDArray[np.float32]

MAX_ROWS = 2 ** len(GROUPS) + 2 * MAX_STEPS + MAX_WORDS + 16
"""About as many rows as an explanation scores: coalitions, steps, words, and context fields."""


@dataclass(frozen=True)
class Lowering:
    """What a disliked item takes from the explained items; it is part of the score already."""

    item_idx: int
    values: Floats  # (k,), at most 0


def explain(
    model: Scorer,
    query: Queries,
    items: Sequence[int],
    titles: Titles,
    wish: Wish | None = None,
    lowerings: Sequence[Lowering] = (),
    rescorer: Rescorer | None = None,
) -> list[Explanation]:
    """Why each of `items` has its score: parts that sum to it, and a sentence made from them.

    With r = score less the popularity signal, for each item:

    - `popularity`: that signal, as the full query has it; `base`: r of the empty query.
    - history, request and context as three wholes share r(full) - r(empty) by Shapley values
      (Shapley 1953; exact, at most 2^3 rows).
    - Within such a whole, each thing gets the mean of what r loses when it alone is taken out and
      what r gains when it alone is known, plus a share of what the things give only together (or
      twice over), by the size of that mean. Of words only the loss is known: a sentence means
      more than its words.

    Loss and gain are the two ends of a thing's Shapley value, the last to come and the first. A
    signal is a mean over the history, so without one of twenty films the other nineteen say the
    same: losses alone are small, and in the deletion test (row `deletion_test`) both together
    come nearer to what a greedy search finds than losses or sampled Shapley values do.

    Things are history items (the newest MAX_STEPS one by one, the older as one), words, and
    context fields. Taking a history item out closes the gap, as if it had never been; context that
    the last item told (the city of a visitor) is context here, a thing of its own that stays.

    Args:
        model: signals over the catalogue.
        query: one row.
        items: item_idx to explain, k of them.
        titles: item_idx → titles to show.
        wish: words and variants of the request (`without_each`); None: no request, or its words
            are not told apart.
        lowerings: what disliked items take from the score, added as history parts.
        rescorer: of the model, scores only `items`; None: whole catalogues are scored.

    Returns:
        k explanations; the parts sum to score within 1e-4 of the largest part.
    """
    columns = np.asarray(items, np.int64)
    full = whole(query)
    removals = things(model, query, full, titles, wish)
    groups = [group for group in GROUPS if any(r.group == group for r in removals)]
    coalitions = [set(c) for n in range(len(groups) + 1) for c in itertools.combinations(groups, n)]
    rows = [only(full, coalition) for coalition in coalitions]
    rows += [r.left for r in removals] + [r.alone for r in removals if r.alone]
    rest, popularity = _score(model, rescorer, query, rows, columns)
    known, single = rest[: len(coalitions)], rest[len(coalitions) :]  # known[0] empty, [-1] full
    shares = _shapley(groups, coalitions, known)
    own = (known[-1] - single[: len(removals)]).astype(np.float64)
    both = [i for i, removal in enumerate(removals) if removal.alone]
    own[both] = (own[both] + single[len(removals) :] - known[0]) / 2
    values = np.zeros_like(own)
    for group in groups:
        members = [i for i, removal in enumerate(removals) if removal.group == group]
        values[members] = spread(own[members], shares[group])
    given = popularity[len(coalitions) - 1]
    parts = _parts(removals, values, given, known[0], _lowered(model, lowerings, titles))
    rated = rating_levels(model.vocabulary.events) is not None
    return [_explanation(one, rating_sentence if rated else sentence) for one in parts]


def _score(
    model: Scorer,
    rescorer: Rescorer | None,
    query: Queries,
    rows: Sequence[Left],
    columns: NDArray[np.int64],
) -> tuple[Floats, Floats]:
    """Score less popularity, and popularity: both (B, k)."""
    batch = shortened(query, rows)
    if rescorer is None:
        signals = {name: part[:, columns] for name, part in model.signals(batch).items()}
    else:
        signals = rescorer.parts(query, batch, rows, columns)
    nothing = np.zeros((len(rows), len(columns)), np.float32)
    popularity = signals.pop("popularity", nothing)
    return np.asarray(sum(signals.values(), start=nothing)), popularity


def _shapley(
    groups: Sequence[Group], coalitions: Sequence[set[Group]], values: Floats
) -> dict[Group, NDArray[np.float64]]:
    """Group → (k,): mean of what it adds, over all orders in which groups could come."""
    place = {frozenset(coalition): i for i, coalition in enumerate(coalitions)}
    n = len(groups)
    shares = {group: np.zeros(values.shape[1]) for group in groups}
    for coalition, row in place.items():
        for group in set(groups) - coalition:
            before = len(coalition)
            orders = math.factorial(before) * math.factorial(n - before - 1)
            gain = values[place[coalition | {group}]] - values[row]
            shares[group] += orders / math.factorial(n) * gain
    return shares


def spread(own: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, k) that sums to `total`: `own`, and shares of the remainder by its size."""
    size = np.abs(own)
    sums = size.sum(axis=0)
    weights = np.where(sums > 0, size / np.where(sums > 0, sums, 1), 1 / len(own))
    return np.asarray(own + weights * (total - own.sum(axis=0)))


def _lowered(
    model: Scorer, lowerings: Sequence[Lowering], titles: Titles
) -> list[tuple[Part, Floats]]:
    labels = titles([one.item_idx for one in lowerings])
    ids = model.vocabulary.item_ids
    return [
        (Part(kind="history", name=ids[one.item_idx], label=f"not {label}", value=0), one.values)
        for one, label in zip(lowerings, labels, strict=True)
    ]


def _parts(
    removals: Sequence[Thing],
    values: NDArray[np.float64],
    popularity: Floats,
    base: Floats,
    lowered: Sequence[tuple[Part, Floats]],
) -> list[list[Part]]:
    """One list of parts for each explained item."""
    result = []
    for column in range(len(base)):
        parts = [
            Part(kind=r.group, name=r.name, label=r.label, value=float(values[i, column]))
            for i, r in enumerate(removals)
        ]
        parts += [part.model_copy(update={"value": float(v[column])}) for part, v in lowered]
        for kind, value in (("popularity", popularity[column]), ("base", base[column])):
            parts.append(Part(kind=kind, name=kind, label=kind, value=float(value)))
        result.append(parts)
    return result


def _explanation(parts: list[Part], words: Callable[[list[Part]], str]) -> Explanation:
    score = math.fsum(part.value for part in parts)
    return Explanation(score=score, parts=parts, sentence=words(parts))
