"""What feedback may be stored and what it says: interest, dislike, or neither.

Leaves to others: keeping it (feedback_log.py), turning it into a history (questions.py).
"""

from __future__ import annotations

from typing import Literal

from crossrec.data.ratings import rating_levels
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
    """What events mean in one domain."""

    def __init__(self, domain: Domain, vocabulary: Vocabulary) -> None:
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
        self._rated = rating_levels(vocabulary.events) is not None

    def meaning(self, event: str) -> Meaning:
        """What an event says; one that the domain no longer knows says nothing."""
        return self.meanings.get(event, "nothing")

    def event_idx(self, event: str) -> int:
        """Index of the event in the vocabulary; `like` and its kind count as the domain's own.

        A model has never seen the general events, so they stand for the domain's first event
        of interest. Where events are ratings, `like` is the highest, and what is no rating says
        nothing of how it was found.
        """
        if self._rated and event not in self._vocabulary.event_idx:
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
        return None
