"""Takes a score apart into figures that add up to it, by removing and scoring again.

Everything is scored in one batch, whatever the number of explained items. Leaves to others:
scoring at those items only (rescoring.py), the sentence (text.py), encoding words (a callable
of the caller), transport (serving/).
Sizes: k explained items, B rows scored, T steps of history, E text width, N items, G groups.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from crossrec.data.ratings import rating_levels
from crossrec.data.vocabulary import Vocabulary
from crossrec.domains.spec import ContextField, Domain
from crossrec.explanation.rescoring import Left, Rescorer
from crossrec.explanation.text import rating_sentence, sentence
from crossrec.models.query import Queries
from crossrec.serving.messages import Explanation, Part

Floats = NDArray[np.float32]
Titles = Callable[[list[int]], list[str]]
Group = Literal["history", "request", "context"]

GROUPS: tuple[Group, ...] = ("history", "request", "context")
MAX_STEPS = 12
"""Newest history items taken out one by one; older ones go as one part."""
MAX_WORDS = 16
"""Parts a request is cut into: its words, or runs of words where it has more."""

MAX_ROWS = 2 ** len(GROUPS) + 2 * MAX_STEPS + MAX_WORDS + 16
"""About as many rows as an explanation scores: coalitions, steps, words, and context fields."""

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\s\u3040-\u30ff\u3400-\u9fff]+")


class Scorer(Protocol):
    """What is needed of a `DomainModel`."""

    @property
    def domain(self) -> Domain:
        """The domain's context fields."""

    @property
    def vocabulary(self) -> Vocabulary:
        """Item ids and context values."""

    def signals(self, queries: Queries) -> Mapping[str, Floats]:
        """Signal → (B, N); they sum to the score."""


@dataclass(frozen=True)
class Wish:
    """Request words and the vectors of the request without each of them."""

    words: list[str]
    vectors: Floats  # (n words, E)
    left: list[str]
    """The request without each of them, in words."""


@dataclass(frozen=True)
class Lowering:
    """What a disliked item takes from the explained items; it is part of the score already."""

    item_idx: int
    values: Floats  # (k,), at most 0


@dataclass(frozen=True)
class _Removal:
    """One thing to take out of the full query."""

    group: Group
    name: str
    label: str
    left: Left
    """The query without it."""
    alone: Left | None = None
    """It and nothing else; None: it says nothing alone."""


def without_each(text: str) -> tuple[list[str], list[str]]:
    """The words of a request, and the request without each of them, to be encoded.

    More than MAX_WORDS words are taken out in that many runs of neighbours, so that none is left
    out. Chinese and Japanese letters count as words.

    >>> without_each("quiet river walk")
    (['quiet', 'river', 'walk'], ['river walk', 'quiet walk', 'quiet river'])
    """
    spans = [match.span() for match in _WORD.finditer(text)]
    if not spans:
        return [], []
    runs = np.array_split(np.arange(len(spans)), min(len(spans), MAX_WORDS))
    cuts = [(spans[run[0]][0], spans[run[-1]][1]) for run in runs]
    words = [text[start:end] for start, end in cuts]
    return words, [" ".join((text[:start] + text[end:]).split()) for start, end in cuts]


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
    context fields. Taking a history item out closes the gap, as if it had never been.

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
    full = _full(query)
    removals = _removals(model, query, full, titles, wish)
    groups = [group for group in GROUPS if any(r.group == group for r in removals)]
    coalitions = [set(c) for n in range(len(groups) + 1) for c in itertools.combinations(groups, n)]
    rows = [_only(full, coalition) for coalition in coalitions]
    rows += [r.left for r in removals] + [r.alone for r in removals if r.alone]
    rest, popularity = _score(model, rescorer, query, rows, columns)
    whole, single = rest[: len(coalitions)], rest[len(coalitions) :]  # whole[0] empty, [-1] full
    shares = _shapley(groups, coalitions, whole)
    own = (whole[-1] - single[: len(removals)]).astype(np.float64)
    both = [i for i, removal in enumerate(removals) if removal.alone]
    own[both] = (own[both] + single[len(removals) :] - whole[0]) / 2
    values = np.zeros_like(own)
    for group in groups:
        members = [i for i, removal in enumerate(removals) if removal.group == group]
        values[members] = _spread(own[members], shares[group])
    given = popularity[len(coalitions) - 1]
    parts = _parts(removals, values, given, whole[0], _lowered(model, lowerings, titles))
    rated = rating_levels(model.vocabulary.events) is not None
    return [_explanation(one, rating_sentence if rated else sentence) for one in parts]


def _full(query: Queries) -> Left:
    fields = {name for name, values in query.context.items() if not np.isnan(values).any()}
    words = query.words[0] if query.words else ""
    return Left(query.items[0] >= 0, query.request[0], words, frozenset(fields))


def _only(full: Left, groups: set[Group]) -> Left:
    """The query with those groups alone."""
    return Left(
        full.steps & ("history" in groups),
        full.request * np.float32("request" in groups),
        full.words if "request" in groups else "",
        full.fields if "context" in groups else frozenset(),
    )


def _removals(
    model: Scorer, query: Queries, full: Left, titles: Titles, wish: Wish | None
) -> list[_Removal]:
    return [
        *_history_removals(model, query, full, titles),
        *_request_removals(full, wish),
        *(
            _Removal(
                "context",
                name,
                context_label(model, name, query.context[name][0]),
                replace(full, fields=full.fields - {name}),
                replace(_only(full, set()), fields=frozenset({name})),
            )
            for name in sorted(full.fields)
        ),
    ]


def _history_removals(model: Scorer, query: Queries, full: Left, titles: Titles) -> list[_Removal]:
    """The newest steps, newest first, then all older ones together."""

    def removal(name: str, label: str, places: NDArray[np.int64]) -> _Removal:
        gone = np.isin(np.arange(len(full.steps)), places)
        alone = replace(_only(full, set()), steps=gone)
        return _Removal("history", name, label, replace(full, steps=full.steps & ~gone), alone)

    places = np.flatnonzero(full.steps)[::-1]
    # a single older one is no group: it is called by its name
    n_alone = MAX_STEPS if len(places) > MAX_STEPS + 1 else len(places)
    alone, older = places[:n_alone], places[n_alone:]
    items = [int(query.items[0, place]) for place in alone]
    removals = [
        removal(model.vocabulary.item_ids[item], title, place[None])
        for item, title, place in zip(items, titles(items), alone, strict=True)
    ]
    if len(older):
        removals.append(removal("earlier", f"{len(older)} earlier items", older))
    return removals


def _request_removals(full: Left, wish: Wish | None) -> list[_Removal]:
    if not full.request.any():
        return []
    if wish is None or len(wish.words) < 2:
        word = wish.words[0] if wish and wish.words else "request"
        nothing = replace(full, request=np.zeros_like(full.request), words="")
        return [_Removal("request", word, word, nothing)]
    return [
        _Removal("request", word, word, replace(full, request=vector, words=left))
        for word, vector, left in zip(wish.words, wish.vectors, wish.left, strict=True)
    ]


def context_label(model: Scorer, name: str, value: Floats) -> str:
    """`weather = rain`: a context field and its value as people read it."""
    field = next((f for f in model.domain.context if f.name == name), None)
    return f"{name} = {_shown(field, model.vocabulary.context_values.get(name, []), value)}"


def _shown(field: ContextField | None, known: list[str], value: Floats) -> str:
    if np.ndim(value):
        return ", ".join(f"{degree:.4g}" for degree in value)
    if field is not None and field.kind == "category" and 0 <= int(value) < len(known):
        return known[int(value)]
    return f"{float(value):g}"


def shortened(query: Queries, rows: Sequence[Left]) -> Queries:
    """One query a row; what is left of a history moves up to the newest steps."""
    kept = np.stack([row.steps for row in rows])  # (B, T)
    order = np.argsort(kept, axis=1, kind="stable")  # gone first, kept in their order
    there = np.take_along_axis(kept, order, axis=1)
    context = {
        name: np.stack([v[0] if name in row.fields else v[0] * np.nan for row in rows])
        for name, v in query.context.items()
    }
    return Queries(
        items=np.where(there, query.items[0][order], np.int32(-1)),
        times=np.where(there, query.times[0][order], np.int64(0)),
        events=np.where(there, query.events[0][order], np.int16(-1)),
        now=np.repeat(query.now, len(rows)),
        request=np.stack([row.request for row in rows]),
        context=context,
        words=None if query.words is None else tuple(row.words for row in rows),
    )


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


def _spread(own: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
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
    removals: Sequence[_Removal],
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
