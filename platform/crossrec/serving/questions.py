"""Turns a request and what is stored of its user into one row of `Queries`.

Leaves to others: encoding words (encoder_service.py), scoring and ranking (recommender.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from crossrec.domains.spec import ContextField
from crossrec.models.query import Queries
from crossrec.releases.catalogue import UserHistory
from crossrec.releases.store import LoadedRelease
from crossrec.serving.context import read_context
from crossrec.serving.feedback import FeedbackRules
from crossrec.serving.feedback_log import StoredEvent
from crossrec.serving.messages import HistoryItem, RecommendRequest

Vector = NDArray[np.float32]


class DomainClock:
    """Seconds of this world as seconds of the domain's data.

    A domain's time goes on from the end of its data at the moment it was published. For fresh
    data the two clocks agree; for data of 1998 they do not, and a model that learned how fast
    tastes fade would otherwise see every history as decades old.
    """

    def __init__(self, data_end: int, published_at: int) -> None:
        self.data_end = data_end
        self.published_at = published_at

    def time(self, unix_s: float) -> int:
        """The moment in the domain's time; never runs backwards.

        >>> clock = DomainClock(data_end=1_000, published_at=5_000)
        >>> [clock.time(t) for t in (900, 3_000, 5_060)]
        [900, 1000, 1060]
        """
        if unix_s <= self.data_end:
            return int(unix_s)
        return self.data_end + max(0, int(unix_s) - self.published_at)


@dataclass(frozen=True)
class _Steps:
    """A history in arrays, oldest first."""

    items: NDArray[np.int32]
    times: NDArray[np.int64]
    events: NDArray[np.int16]

    @classmethod
    def of(cls, rows: Sequence[tuple[int, int, int]]) -> _Steps:
        columns = np.array(rows, np.int64).reshape(-1, 3)
        return cls(columns[:, 0].astype(np.int32), columns[:, 1], columns[:, 2].astype(np.int16))

    def then(self, later: _Steps) -> _Steps:
        """Both, one after the other; time does not run backwards."""
        if not len(later.items):
            return self
        times = np.concatenate([self.times, later.times])
        return _Steps(
            np.concatenate([self.items, later.items]),
            np.maximum.accumulate(times),
            np.concatenate([self.events, later.events]),
        )

    def newest_of_each(self, without: Sequence[int]) -> _Steps:
        """Of an item that comes twice the later step; none of the items in `without`."""
        _, from_end = np.unique(self.items[::-1], return_index=True)
        rows = np.sort(len(self.items) - 1 - from_end)
        rows = rows[~np.isin(self.items[rows], without)]
        return _Steps(self.items[rows], self.times[rows], self.events[rows])


_NOTHING = _Steps.of([])


@dataclass(frozen=True)
class Question:
    """What a request comes to, ready to be scored."""

    queries: Queries
    """One row."""
    history: NDArray[np.int32]  # (T,) item_idx, oldest first
    disliked: list[int]
    """item_idx of items that the user turned down, oldest first."""
    user_known: bool
    """Something that the user was interested in is stored, and was used."""
    ignored: list[str]
    of_last: dict[str, Vector] = field(default_factory=dict)
    """Context fields that the last item of the history tells → (N,), what each item tells."""


class QuestionReader:
    """Reads requests to one release; holds no state of any user."""

    def __init__(self, loaded: LoadedRelease, rules: FeedbackRules) -> None:
        manifest = loaded.release.manifest
        self._model = loaded.model
        self._catalogue = loaded.catalogue
        self._rules = rules
        self._unix = loaded.model.domain.time_kind == "unix_seconds"
        self._clock = DomainClock(manifest.data_end, manifest.published_at)
        self._of_items = {
            field.name: self._codes(field)
            for field in self._model.domain.context
            if field.derive == "last_item"
        }
        names = loaded.catalogue.event_names
        self._event_map = np.array([rules.event_idx(name) for name in [*names, ""]], np.int16)

    def _codes(self, field: ContextField) -> Vector:
        """(N,) value of the field that each item stands for, as the model numbers them."""
        known = self._model.vocabulary.context_values.get(field.name, [])
        codes = {value: float(code) for code, value in enumerate(known)}
        values = self._catalogue.values(field.restricts or "")
        return np.array([codes.get(value, np.nan) for value in values], np.float32)

    def read(
        self,
        request: RecommendRequest,
        feedback: Sequence[StoredEvent],
        wish: Vector | None,
        now: float,
    ) -> Question:
        """The question that a request asks.

        Args:
            request: as it came.
            feedback: what is stored of its user, oldest first.
            wish: the encoded request text, (E,), if there is one.
            now: seconds since 1970.

        Raises:
            RequestError: an unknown context field, or a value it cannot have.
        """
        domain, vocabulary = self._model.domain, self._model.vocabulary
        context = read_context(domain, vocabulary, request.context, now)
        ignored: list[str] = []
        stored = None
        if request.user_id is not None:
            stored = self._catalogue.history(request.user_id)
        liked, disliked = self._feedback(feedback, ignored)
        told = self._told(request.history, now, ignored)
        kept = self._stored(stored).then(self._on_clock(liked))
        steps = kept.then(self._on_clock(told))
        if liked or told or disliked:
            steps = steps.newest_of_each(without=disliked)
        of_last = self._of_last(request) if len(steps.items) else {}
        last = steps.items[-1:]
        context |= {name: of_items[last] for name, of_items in of_last.items()}
        queries = self._queries(steps, context, wish, now)
        if wish is not None:
            queries = replace(queries, words=(request.text or "",))
        user_known = bool(set(kept.items.tolist()).difference(disliked))
        return Question(queries, steps.items, disliked, user_known, ignored, of_last)

    def _of_last(self, request: RecommendRequest) -> dict[str, Vector]:
        """Context that the last item tells, where the request does not say otherwise."""
        return {name: of for name, of in self._of_items.items() if name not in request.context}

    def _stored(self, stored: UserHistory | None) -> _Steps:
        if stored is None:
            return _NOTHING
        return _Steps(stored.items, stored.times, self._event_map[stored.events])

    def _feedback(
        self, feedback: Sequence[StoredEvent], ignored: list[str]
    ) -> tuple[list[tuple[int, float, int]], list[int]]:
        """Steps of interest, and disliked items; of like and dislike the last word counts."""
        liked: list[tuple[int, float, int]] = []
        disliked: dict[int, None] = {}
        for event in feedback:
            item_idx = self._model.vocabulary.item_idx.get(event.item_id)
            meaning = self._rules.meaning(event.event)
            if item_idx is None:
                ignored.append(f"feedback on '{event.item_id}': this release has no such item")
            elif meaning == "interest":
                disliked.pop(item_idx, None)
                step = self._rules.event_idx(event.event, event.value)
                liked.append((item_idx, event.timestamp, step))
            elif meaning == "dislike":
                disliked[item_idx] = None
                liked = [step for step in liked if step[0] != item_idx]
        return liked, list(disliked)

    def _told(
        self, history: list[HistoryItem], now: float, ignored: list[str]
    ) -> list[tuple[int, float, int]]:
        steps = []
        for step in history:
            item_idx = self._model.vocabulary.item_idx.get(step.item_id)
            if item_idx is None:
                ignored.append(f"history item '{step.item_id}': no item has this id")
                continue
            moment = now if step.timestamp is None else step.timestamp
            steps.append((item_idx, moment, self._rules.event_idx(step.event or "")))
        return steps

    def _on_clock(self, steps: list[tuple[int, float, int]]) -> _Steps:
        """Steps with their moments in the domain's time; where that is no clock, all at 0,
        which `then` moves on to the last stored position.
        """
        time = self._clock.time
        return _Steps.of(
            [(item, time(at) if self._unix else 0, event) for item, at, event in steps]
        )

    def _queries(
        self, steps: _Steps, context: dict[str, Vector], wish: Vector | None, now: float
    ) -> Queries:
        last = int(steps.times[-1]) if len(steps.times) else 0
        moment = max(self._clock.time(now), last) if self._unix else last + 1
        request = np.zeros(0, np.float32) if wish is None else wish
        if not len(steps.items):
            steps = _Steps.of([(-1, 0, -1)])
        return Queries(
            items=steps.items[None, :],
            times=steps.times[None, :],
            events=steps.events[None, :],
            now=np.array([moment], np.int64),
            request=request[None, :].astype(np.float32),
            context=context,
        )
