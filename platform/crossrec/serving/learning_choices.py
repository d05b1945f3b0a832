"""What events say of choices: by whom, out of which answer, as far as caps and trust let them.

Read by the learner as they come (learning.py), and once more by whoever judges what is learned
(learning_judge.py). Leaves to others: how much one person may count (ranking/learner_caps.py), how
far a choice is believed (ranking/learner_trust.py), what follows (ranking/learner.py).
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from crossrec.domains.spec import Learning
from crossrec.ranking.learner import Belief, Choice
from crossrec.ranking.learner_caps import Caps
from crossrec.ranking.learner_trust import Trust
from crossrec.serving.learning_log import Heard, LearningLog, ShownList
from crossrec.serving.learning_store import ToLearn

BATCH = 500
"""Events that are read at a time, at most."""
MAX_AGE_S = 86_400.0
"""A choice out of an answer given longer ago is none."""


@dataclass(frozen=True)
class Said:
    """What some events said."""

    choices: list[Choice] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Choices, by what became of them."""
    flagged: list[tuple[str, str]] = field(default_factory=list)
    """`user` or `address` and the key of each that went beyond its cap, once a window."""


class ChoiceReader:
    """Reads a domain's events, each once and in order; remembers who chose how much, and how.

    Args:
        domain: its name.
        log: answers, and the feedback log.
        to_learn: whose choices, of what.
        salt: of the keys that users go by.
        given: choices are out of answers given at the first moment or later, and before the second
            (seconds since 1970).
    """

    def __init__(
        self,
        domain: str,
        log: LearningLog,
        to_learn: ToLearn,
        salt: str,
        given: tuple[float, float] = (-math.inf, math.inf),
    ) -> None:
        self._domain, self._log, self._salt, self._given = domain, log, salt, given
        self._trust = Trust()
        self.to_learn = to_learn
        self.caps = _caps(to_learn.learning)

    def follow(self, to_learn: ToLearn) -> None:
        """Read on for what there is to learn now."""
        learning = to_learn.learning
        if learning.window_s == self.caps.window_s:
            self.caps.per_user, self.caps.per_address = learning.per_user, learning.per_address
        else:
            self.caps = _caps(learning)
        self.to_learn = to_learn

    def read(self, events: Iterable[Heard], belief: Belief) -> Said:
        """The choices among events.

        Args:
            belief: before them.
        """
        said = Said()
        for event in events:
            if not self.is_choice(event):
                continue
            found = self._choice(event, said)
            said.counts[found if isinstance(found, str) else "learned"] += 1
            if isinstance(found, Choice):
                trust = self._trust.weigh(self._keyed(event.user_id), found, belief)
                said.choices.append(replace(found, weight=found.weight * trust))
        return said

    def recount(self, events: Iterable[Heard]) -> None:
        """After a restart: who had how many choices in this window already."""
        for event in events:
            shown = self._shown(event) if self.is_choice(event) else None
            if shown is not None:
                self.caps.take(*self._who(event, shown))

    def is_choice(self, event: Heard) -> bool:
        """Whether an event may be a choice out of an answer."""
        return event.event in self.to_learn.interests and event.request_id is not None

    def _choice(self, event: Heard, said: Said) -> Choice | str:
        """What an event says, or why it says nothing."""
        shown = self._shown(event)
        if shown is None:
            return "without an answer of theirs"
        weight = self._weight(event, shown, said)
        if not weight:
            return "beyond a cap"
        listed = shown.item_ids[: shown.n_shown]
        left = np.ones(shown.n_shown, bool)
        for item_id, kind in self._log.taken_before(self._domain, event):
            if item_id in listed and kind in self.to_learn.interests:
                left[listed.index(item_id)] = False
        taken = listed.index(event.item_id)
        if not left[taken]:
            return "again"
        frame = self.to_learn.frame
        if shown.features != [feature.name for feature in frame.features]:
            return "of another release"
        standings = shown.standings_of(frame.objectives)[: shown.n_shown]
        relevance = shown.relevance[: shown.n_shown]
        return Choice(relevance, standings, taken, left, shown.context, weight)

    def _shown(self, event: Heard) -> ShownList | None:
        """The answer that an event is on, if that was given to its user, not long ago, with the
        item in its list.
        """
        shown = self._log.find(self._domain, event.request_id or "")
        if shown is None or not -1 <= event.received_at - shown.at <= MAX_AGE_S:
            return None
        is_whose = shown.user_id is None or shown.user_id == event.user_id
        is_listed = event.item_id in shown.item_ids[: shown.n_shown]
        since, until = self._given
        return shown if is_whose and is_listed and since <= shown.at < until else None

    def _who(self, event: Heard, shown: ShownList) -> tuple[str, str | None, float, str | None]:
        """What `Caps.take` is to know: user, address, moment, and the answer if it was nobody's."""
        answer = None if shown.user_id is not None else self._keyed(f"answer {shown.request_id}")
        origin = self._log.origin(self._domain, event.event_id)
        return self._keyed(event.user_id), origin, event.received_at, answer

    def _weight(self, event: Heard, shown: ShownList, said: Said) -> float:
        """What a choice counts, 0 beyond a cap."""
        caps = self.caps
        user, origin, at, answer = self._who(event, shown)
        weight = caps.take(user, origin, at, answer)
        if 0 < caps.per_user == caps.users[user] - 1:
            said.flagged.append(("user", user))
        if origin is not None and 0 < caps.per_address == caps.addresses[origin] - 1:
            said.flagged.append(("address", origin))
        return weight

    def _keyed(self, text: str) -> str:
        sealed = hashlib.blake2b(
            text.encode(errors="replace"), digest_size=8, key=self._salt.encode()
        )
        return sealed.hexdigest()


def _caps(learning: Learning) -> Caps:
    return Caps(learning.per_user, learning.per_address, learning.window_s)
