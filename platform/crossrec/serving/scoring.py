"""Scores what a question asks of all items or of some, less what is like what its user turned down.

Leaves to others: which items (finding.py), what is made of the scores (ranker.py).
Sizes: B queries, N items of the catalogue, C of the pool.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossrec.explanation.rescoring import Rescorer
from crossrec.explanation.things import whole
from crossrec.models.domain_model import DomainModel
from crossrec.models.query import Queries
from crossrec.ranking.pool import WHOLE, Pool
from crossrec.releases.probes import blank_queries
from crossrec.serving.questions import Question

Signals = dict[str, NDArray[np.float32]]

DISLIKE_WEIGHT = 0.5
"""Share of what liking a disliked item would give to the others, that is taken from them."""
MAX_DISLIKED = 10
"""Newest disliked items that lower others; older ones are only left out themselves."""


@dataclass(frozen=True)
class Scored:
    """Scores of one question: of all items, or of those of a pool."""

    signals: Signals
    """Signal → (C,); they sum to the score."""
    taken: dict[int, NDArray[np.float32]]
    """Disliked item → what it takes from each score, (C,); the signals are less it already."""
    pool: Pool = WHOLE

    def at(self, item_idx: int) -> dict[str, float]:
        """Signal → what it gives to one item of the pool."""
        return self.each([item_idx])[0]

    def each(self, item_idxs: list[int]) -> list[dict[str, float]]:
        """The same of several items, in their order."""
        places = self.pool.places(item_idxs)
        values = (part[places].tolist() for part in self.signals.values())
        return [dict(zip(self.signals, of, strict=True)) for of in zip(*values, strict=True)]


class Scorer:
    """Scores for one release."""

    def __init__(self, model: DomainModel, rescorer: Rescorer) -> None:
        self._model, self._rescorer = model, rescorer

    def score(self, question: Question, pool: Pool) -> Scored:
        """Disliked items lower those that are like them."""
        disliked = question.disliked[-MAX_DISLIKED:]
        if not disliked:
            parts = self._parts(question.queries, pool)
            return Scored({name: part[0] for name, part in parts.items()}, {}, pool)
        parts = self._parts(self._with_disliked(question.queries, disliked), pool)
        gains = {name: part[2:] - part[1] for name, part in parts.items()}  # (n, N)
        gain = sum_signals(gains)
        signals = {
            name: part[0] - DISLIKE_WEIGHT * (gains[name] * (gain > 0)).sum(axis=0)
            for name, part in parts.items()
        }
        taken = -DISLIKE_WEIGHT * np.maximum(gain, 0)
        return Scored(signals, dict(zip(disliked, taken, strict=True)), pool)

    def relevance(self, queries: Queries, pool: Pool) -> NDArray[np.float32]:
        """(C,) of one query, whatever its user turned down."""
        return sum_signals({name: part[0] for name, part in self._parts(queries, pool).items()})

    def _parts(self, queries: Queries, pool: Pool) -> Signals:
        """Signal → (B, C)."""
        if pool.rows is None:
            return self._model.signals(queries)
        each = [queries.take(np.array([row])) for row in range(len(queries))]
        parts = [self._rescorer.parts(one, one, [whole(one)], pool.rows) for one in each]
        return {name: np.concatenate([of[name] for of in parts]) for name in parts[0]}

    def _with_disliked(self, queries: Queries, disliked: list[int]) -> Queries:
        """The question; the same with nothing known; and with each disliked item as all that is
        known, whose gain over nothing is what liking it would give to each item.
        """
        n = 1 + len(disliked)
        blank = blank_queries(self._model, n, queries.request.shape[1])
        steps = queries.items.shape[1]
        items = np.full((n, steps), -1, np.int32)
        items[1:, -1] = disliked
        times = np.zeros((n, steps), np.int64)
        times[1:, -1] = queries.now[0]
        return Queries(
            items=np.concatenate([queries.items, items]),
            times=np.concatenate([queries.times, times]),
            events=np.concatenate([queries.events, np.full((n, steps), -1, np.int16)]),
            now=np.repeat(queries.now, 1 + n),
            request=np.concatenate([queries.request, blank.request]),
            context={
                name: np.concatenate([values, blank.context[name]])
                for name, values in queries.context.items()
            },
            words=None if queries.words is None else queries.words + ("",) * n,
        )


def sum_signals(signals: Signals) -> NDArray[np.float32]:
    """The score: all signals together."""
    first, *others = signals.values()
    return sum(others, start=first)
