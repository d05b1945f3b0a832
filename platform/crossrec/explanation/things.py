"""What a query rests on, thing by thing: history items, words, context fields, each to be left out.

Leaves to others: what each is worth (contributions.py), scoring what is left (rescoring.py).
Sizes: T steps of history, E text width, N items, B rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from crossrec.data.vocabulary import Vocabulary
from crossrec.domains.spec import Domain
from crossrec.explanation.readable import readable
from crossrec.models.query import Queries

Floats = NDArray[np.float32]
Titles = Callable[[list[int]], list[str]]
Group = Literal["history", "request", "context"]

GROUPS: tuple[Group, ...] = ("history", "request", "context")
MAX_STEPS = 12
"""Newest history items taken out one by one; older ones go as one part."""
MAX_WORDS = 16
"""Parts a request is cut into: its words, or runs of words where it has more."""

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
class Left:
    """What one row leaves of the query."""

    steps: NDArray[np.bool_]  # (T,) history kept
    request: Floats  # (E,)
    words: str
    """The request as it was said."""
    fields: frozenset[str]
    """Context fields kept."""


@dataclass(frozen=True)
class Wish:
    """Request words and the vectors of the request without each of them."""

    words: list[str]
    vectors: Floats  # (n words, E)
    left: list[str]
    """The request without each of them, in words."""


@dataclass(frozen=True)
class Thing:
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


def whole(query: Queries) -> Left:
    """The query with all that it has."""
    fields = {name for name, values in query.context.items() if not np.isnan(values).any()}
    words = query.words[0] if query.words else ""
    return Left(query.items[0] >= 0, query.request[0], words, frozenset(fields))


def only(full: Left, groups: set[Group]) -> Left:
    """The query with those groups alone."""
    return Left(
        full.steps & ("history" in groups),
        full.request * np.float32("request" in groups),
        full.words if "request" in groups else "",
        full.fields if "context" in groups else frozenset(),
    )


def things(
    model: Scorer, query: Queries, full: Left, titles: Titles, wish: Wish | None
) -> list[Thing]:
    """All that a query rests on: history items (the newest MAX_STEPS one by one, the older as
    one), words, and context fields.

    Args:
        full: `whole(query)`.
        titles: item_idx → titles to show.
        wish: words and variants of the request (`without_each`); None: no request, or its words
            are not told apart.
    """
    return [
        *_steps(model, query, full, titles),
        *_words(full, wish),
        *(
            Thing(
                "context",
                name,
                context_label(model, name, query.context[name][0]),
                replace(full, fields=full.fields - {name}),
                replace(only(full, set()), fields=frozenset({name})),
            )
            for name in sorted(full.fields)
        ),
    ]


def _steps(model: Scorer, query: Queries, full: Left, titles: Titles) -> list[Thing]:
    """The newest steps, newest first, then all older ones together."""
    nothing = only(full, set())

    def thing(name: str, label: str, places: NDArray[np.int64]) -> Thing:
        gone = np.zeros(len(full.steps), np.bool_)
        gone[places] = True
        left = Left(full.steps & ~gone, full.request, full.words, full.fields)
        alone = Left(gone, nothing.request, nothing.words, nothing.fields)
        return Thing("history", name, label, left, alone)

    places = np.flatnonzero(full.steps)[::-1]
    # a single older one is no group: it is called by its name
    n_alone = MAX_STEPS if len(places) > MAX_STEPS + 1 else len(places)
    alone, older = places[:n_alone], places[n_alone:]
    items = [int(query.items[0, place]) for place in alone]
    found = [
        thing(model.vocabulary.item_ids[item], title, place[None])
        for item, title, place in zip(items, titles(items), alone, strict=True)
    ]
    if len(older):
        found.append(thing("earlier", f"{len(older)} earlier items", older))
    return found


def _words(full: Left, wish: Wish | None) -> list[Thing]:
    if not full.request.any():
        return []
    if wish is None or len(wish.words) < 2:
        word = wish.words[0] if wish and wish.words else "request"
        nothing = replace(full, request=np.zeros_like(full.request), words="")
        return [Thing("request", word, word, nothing)]
    return [
        Thing("request", word, word, replace(full, request=vector, words=left))
        for word, vector, left in zip(wish.words, wish.vectors, wish.left, strict=True)
    ]


def context_label(model: Scorer, name: str, value: Floats) -> str:
    """`weather = rain`: a context field and its value as people read it."""
    field = next((f for f in model.domain.context if f.name == name), None)
    return f"{name} = {readable(field, model.vocabulary.context_values.get(name, []), value)}"


def shortened(
    query: Queries, rows: Sequence[Left], of_last: Mapping[str, Floats] = MappingProxyType({})
) -> Queries:
    """One query a row; what is left of a history moves up to the newest steps.

    Args:
        of_last: context fields that the last step told → (N,), what each item tells: where the
            field is kept, the step that is last then tells it, and nobody where none is left.
    """
    kept = np.stack([row.steps for row in rows])  # (B, T)
    order = np.argsort(kept, axis=1, kind="stable")  # gone first, kept in their order
    there = np.take_along_axis(kept, order, axis=1)
    context = {
        name: np.stack([v[0] if name in row.fields else v[0] * np.nan for row in rows])
        for name, v in query.context.items()
    }
    items = np.where(there, query.items[0][order], np.int32(-1))
    for name, codes in of_last.items():
        tells = (items[:, -1] >= 0) & [name in row.fields for row in rows]
        context[name] = np.where(tells, codes[items[:, -1]], np.float32(np.nan))
    return Queries(
        items=items,
        times=np.where(there, query.times[0][order], np.int64(0)),
        events=np.where(there, query.events[0][order], np.int16(-1)),
        now=np.repeat(query.now, len(rows)),
        request=np.stack([row.request for row in rows]),
        context=context,
        words=None if query.words is None else tuple(row.words for row in rows),
    )


def without(full: Left, gone: Collection[Thing]) -> Left:
    """The query without several history items or context fields.

    Words do not go together: what is left of a sentence has a meaning of its own.
    """
    assert all(thing.group != "request" for thing in gone)
    steps, fields = full.steps.copy(), set(full.fields)
    for thing in gone:
        steps &= thing.left.steps
        fields &= thing.left.fields
    return replace(full, steps=steps, fields=frozenset(fields))
