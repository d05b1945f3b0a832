"""What feedback may be stored and what it says: interest, dislike, or neither.

Leaves to others: keeping it (feedback_log.py), turning it into a history (questions.py).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from crossrec.data.ratings import RATING, rating_levels
from crossrec.data.vocabulary import Vocabulary
from crossrec.domains.spec import Domain
from crossrec.errors import suggest
from crossrec.serving.messages import FeedbackEvent, RejectedEvent

Meaning = Literal["interest", "dislike", "nothing"]

GENERAL: dict[str, Meaning] = {
    "like": "interest",
    "click": "interest",
    "consume": "interest",
    "dislike": "dislike",
    "impression": "nothing",
}
"""Events that every domain takes beside its own."""
MAX_AHEAD_S = 86_400
"""How far a sender's clock may be ahead: what is stored as later than that would count as the
newest word for as long."""


class FeedbackRules:
    """What events mean in one domain.

    Args:
        domain: names the events of interest, and those that are dropped.
        vocabulary: the events that the model knows.
        rating_range: the lowest and the highest rating of the data; None: the data have none, or
            the release does not say.
    """

    def __init__(
        self,
        domain: Domain,
        vocabulary: Vocabulary,
        rating_range: tuple[float, float] | None = None,
    ) -> None:
        self._vocabulary = vocabulary
        positive = domain.positive_events
        own: dict[str, Meaning] = {
            event: "interest" if positive is None or event in positive else "nothing"
            for event in vocabulary.events
        }
        dropped: dict[str, Meaning] = dict.fromkeys(domain.dropped_events, "nothing")
        self.meanings: dict[str, Meaning] = GENERAL | dropped | own
        interests = [event for event in vocabulary.events if own[event] == "interest"]
        self._stand_in = vocabulary.event_idx[interests[0]] if interests else -1
        self._levels = rating_levels(vocabulary.events)
        self._range = rating_range
        if self._levels is not None:
            self.meanings.setdefault(RATING, "interest")  # a step like those of the training
            self._range = rating_range or (float(self._levels[0]), float(self._levels[-1]))

    def meaning(self, event: str) -> Meaning:
        """What an event says; one that the domain no longer knows says nothing."""
        return self.meanings.get(event, "nothing")

    def event_idx(self, event: str, value: float | None = None) -> int:
        """Index of the event in the vocabulary; `like` and its kind count as the domain's own.

        A model has never seen the general events, so they stand for the domain's first event
        of interest. Where events are ratings, `like` is the highest, and what is no rating says
        nothing of how it was found; `rating` with a value is the level next to it.
        """
        if self._levels is not None and event not in self._vocabulary.event_idx:
            if event == RATING and value is not None:
                return int(np.abs(self._levels - value).argmin())
            return len(self._vocabulary.events) - 1 if event == "like" else -1
        return self._vocabulary.event_idx.get(event, self._stand_in)

    def sort_out(
        self, events: list[FeedbackEvent], now: float
    ) -> tuple[list[FeedbackEvent], list[RejectedEvent]]:
        """Events that can be stored, and those that cannot, each with its reason.

        `now` is in seconds since 1970.
        """
        kept, rejected = [], []
        for event in events:
            reason = self._objection(event, now)
            if reason is None:
                kept.append(event)
            else:
                rejected.append(RejectedEvent(event_id=event.event_id, reason=reason))
        return kept, rejected

    def _objection(self, event: FeedbackEvent, now: float) -> str | None:
        if event.item_id not in self._vocabulary.item_idx:
            return f"no item has the id '{event.item_id}'"
        if event.event not in self.meanings:
            return f"unknown event '{event.event}': {suggest(event.event, self.meanings)}"
        if event.timestamp is not None and event.timestamp > now + MAX_AHEAD_S:
            return (
                f"timestamp {event.timestamp} is more than a day ahead of the service's clock"
                f" ({int(now)}); expected seconds since 1970 UTC, or none for now"
            )
        return self._objection_to_value(event) if event.event == RATING else None

    def _objection_to_value(self, event: FeedbackEvent) -> str | None:
        """A rating lies within those of the data; a model of ratings can use none without value."""
        if self._range is None or (event.value is None and self._levels is None):
            return None
        low, high = self._range
        if event.value is not None and low <= event.value <= high:
            return None
        got = "no value" if event.value is None else f"the value {event.value:g}"
        return f"a rating with {got}; expected a value from {low:g} to {high:g}"
