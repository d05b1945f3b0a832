"""The one learner of a domain: reads feedback, learns, keeps its state; takes an operator's orders.

A plain class without Ray. A choice is an event of interest on an answer that was given with learned
weights, by whom it was given to. State and place in the feedback log are one file, so after
`kill -9` it goes on where the file says, and no choice counts twice or is left out. Leaves to
others: what events say (learning_choices.py), the mathematics (ranking/learner.py), files
(learning_store.py), processes (learning_service.py).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import IO

import numpy as np

from crossrec.errors import RequestError, ServiceError
from crossrec.ranking.learner import Choice
from crossrec.ranking.learner_caps import Caps
from crossrec.serving.learning_choices import BATCH, ChoiceReader
from crossrec.serving.learning_log import Heard, LearningLog
from crossrec.serving.learning_messages import LearnerOrder, LearnerStatus
from crossrec.serving.learning_status import set_gauges, status_of
from crossrec.serving.learning_store import LearnerStore, State, ToLearn, first_state, fitted
from crossrec.serving.metrics import Metrics

log = logging.getLogger(__name__)

KEPT_S = 30 * 86_400.0
"""How long answers are kept, for judging."""
PRUNE_EVERY_S = 3_600.0
NOTE_DELAY_S = 1.0
"""Answers are noted while they are sent: feedback may be on disk before the answer it is on."""
FLUSH_EVERY_S = 30.0
"""How often what was read is written down although nothing was learned from it."""
LEAST_SHARE = 1e-3
"""Of a new choice in the mean context."""
KEPT_NAMED = 10


class DomainLearner:
    """Learns for one domain; only one process can, see `LearnerStore.lock`.

    Args:
        domain: its name.
        learning_log: answers, and the feedback log.
        clock: seconds since 1970.
        salt: of the first state: two learners of one salt explore alike; None: drawn.
        metrics: where choices are counted; None: nowhere that anybody reads.
    """

    def __init__(
        self,
        domain: str,
        learning_log: LearningLog,
        clock: Callable[[], float] = time.time,
        salt: str | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.domain = domain
        self._store = LearnerStore(domain)
        self._log = learning_log
        self._clock, self._salt = clock, salt
        self._metrics = metrics or Metrics()
        self._held: IO[str] | None = None
        self._state: State | None = None
        self._to_learn: ToLearn | None = None
        self._stamp = 0
        self._reader: ChoiceReader | None = None
        self._pruned_at = 0.0
        self._put_at = 0.0
        self._lock = threading.Lock()

    def step(self) -> int:
        """Learn from what came since the last step; how many choices were learned from.

        Nothing happens while another process is the domain's learner.
        """
        with self._lock:
            if not self._ready():
                return 0
            self._prune()
            assert self._state is not None
            if not self._state.learning:
                return 0
            assert self._reader is not None
            events = self._noted(self._came(self._state), self._reader)
            return self._learn(events, self._reader) if events else 0

    def order(self, order: LearnerOrder) -> LearnerStatus:
        """Do what an operator asks.

        Raises:
            RequestError: no such version, or more exploring than the YAML declares.
            ServiceError: (503) this process is not the domain's learner (yet).
        """
        with self._lock:
            state = self._expected()
            self._put(getattr(self, f"_{order.action.replace('-', '_')}")(state, order))
            log.warning("learner of '%s': %s", self.domain, order.action)
            return self._status()

    def status(self) -> LearnerStatus:
        """What was learned; raises as `order`."""
        with self._lock:
            self._expected()
            return self._status()

    def set_gauges(self) -> None:
        """Say in figures what was learned; nothing where another process is the learner."""
        with self._lock:
            if self._held is not None and self._state is not None:
                now = self._clock()
                set_gauges(self._metrics, self.domain, self._state, self._counted(), now)

    def close(self) -> None:
        """Let another process be the learner."""
        with self._lock:
            if self._held is not None:
                self._held.close()
                self._held = None

    def _ready(self) -> bool:
        """Hold the lock, and a state that fits what there is to learn now."""
        if self._held is None:
            held = self._store.lock()
            if held is None:
                return False
            try:
                self._state = self._store.state()
            except BaseException:
                held.close()  # else the next step would find nothing learned, and begin anew
                raise
            self._held = held
        stamp = self._store.to_learn_stamp()
        if stamp == self._stamp and self._state is not None:
            return True
        self._to_learn = self._store.to_learn()
        if self._to_learn is None:
            return False
        if self._state is None:
            first = first_state(self._to_learn, self._clock(), self._log.last(), self._salt)
            self._put(replace(first, version=self._number()))
        assert self._state is not None
        if self._reader is None:
            self._reader = self._remembering(self._to_learn, self._state)
        self._reader.follow(self._to_learn)
        if (now := fitted(self._state, self._to_learn)) is not self._state:
            self._put(self._next(now, "declared"))
        self._stamp = stamp  # at last: whatever failed is done anew
        return True

    def _remembering(self, to_learn: ToLearn, state: State) -> ChoiceReader:
        """A reader that knows, after a restart, who had how many choices in this window already."""
        reader = ChoiceReader(self.domain, self._log, to_learn, state.salt)
        begin = self._clock() // reader.caps.window_s * reader.caps.window_s
        reader.recount(self._log.heard_since(self.domain, begin, state.cursor))
        return reader

    def _expected(self) -> State:
        if not self._ready() or self._state is None:
            raise ServiceError(
                f"the learner of '{self.domain}' is not ready; it is once a release whose"
                " objectives can be learned is served, in a few seconds", 503
            )  # fmt: skip
        return self._state

    def _next(self, state: State, why: str) -> State:
        return replace(state, version=self._number(), at=self._clock(), why=why)

    def _number(self) -> int:
        """Of a new version; never one that is kept, though the file of the state may be lost."""
        current = 0 if self._state is None else self._state.version
        return max([current, *self._store.versions()]) + 1

    def _put(self, state: State) -> None:
        self._store.put(state)
        self._state = state
        self._put_at = self._clock()

    def _came(self, state: State) -> list[Heard]:
        """What came since the last step.

        A file gives the numbers of its newest rows again once these are deleted (erasure, pruning);
        a server never does. So the place goes back to what is there. What cannot be seen, and is
        not learned from: as many new rows as were deleted, where both happen between two steps or
        while no learner runs.
        """
        if not self._log.is_file:
            return self._log.heard(self.domain, state.cursor, BATCH)
        last = self._log.last()
        events = self._log.heard(self.domain, min(state.cursor, last), BATCH)
        if last < state.cursor or not events:  # rows of other domains are not read again, either
            self._state = replace(state, cursor=last)
        return events

    def _noted(self, events: list[Heard], reader: ChoiceReader) -> list[Heard]:
        """The events up to one whose answer may still be on its way to the file."""
        for place, event in enumerate(events):
            if self._clock() - event.received_at >= NOTE_DELAY_S or not reader.is_choice(event):
                continue
            if self._log.find(self.domain, event.request_id or "") is None:
                return events[:place]
        return events

    def _learn(self, events: list[Heard], reader: ChoiceReader) -> int:
        state = self._state
        assert state is not None
        said = reader.read(events, state.belief)
        for what, key in said.flagged:
            log.warning(
                "learner of '%s': the %s %s is beyond its cap; what more comes in this window"
                " is stored, and not learned from", self.domain, what, key
            )  # fmt: skip
        for outcome, n in said.counts.items():
            self._metrics.add("crossrec_learner_choices", n, domain=self.domain, outcome=outcome)
        counts = dict(Counter(state.counts) + said.counts)  # in the order in which they came first
        self._state = replace(state, cursor=events[-1].row, counts=counts)
        if not said.choices:
            # A restart reads again what is not on disk, and counts it then.
            if self._clock() > self._put_at + FLUSH_EVERY_S:
                self._put(self._state)
            return 0
        half_life = reader.to_learn.learning.half_life
        belief = state.belief.updated(said.choices, state.frame.prior(), half_life)
        context = _mean_context(state, said.choices)
        self._put(self._next(replace(self._state, belief=belief, context=context), "learned"))
        return len(said.choices)

    def _prune(self) -> None:
        now = self._clock()
        if now > self._pruned_at + PRUNE_EVERY_S:
            self._log.prune(now - KEPT_S, self.domain)
            self._pruned_at = now

    def _freeze(self, state: State, order: LearnerOrder) -> State:
        return self._next(replace(state, learning=False), "frozen")

    def _resume(self, state: State, order: LearnerOrder) -> State:
        cursor = state.cursor if state.learning else self._log.last()
        return self._next(replace(state, learning=True, cursor=cursor), "resumed")

    def _reset(self, state: State, order: LearnerOrder) -> State:
        belief, cursor = state.frame.prior(), self._log.last()
        return self._next(
            replace(state, belief=belief, cursor=cursor, counts={}, context=[]), "reset"
        )

    def _trial(self, state: State, order: LearnerOrder) -> State:
        return replace(self._resume(state, order), live=False, why="on trial")

    def _go_live(self, state: State, order: LearnerOrder) -> State:
        return self._next(replace(state, live=True), "live")

    def _explore(self, state: State, order: LearnerOrder) -> State:
        most = state.explore_share
        share = most if order.share is None else order.share
        if share > most:
            raise RequestError(
                f"got the share {share:g}; expected at most {most:g}, which is what the YAML of"
                f" '{self.domain}' lets be explored"
            )
        limit = 1.0 if order.share is None else share
        return self._next(replace(state, explore_limit=limit), f"exploring {share:.3g}")

    def _rollback(self, state: State, order: LearnerOrder) -> State:
        kept = [number for number in self._store.versions() if number < state.version]
        number = order.version if order.version is not None else max(kept, default=0)
        found = self._store.version(number) if number in kept else None
        if found is None:
            names = ", ".join(map(str, kept[-KEPT_NAMED:])) or "there is none yet"
            raise RequestError(
                f"the learner of '{self.domain}' has no version {number or ''} to go back to;"
                f" expected one of: {names}"
            )
        belief = found.belief
        if found.frame != state.frame:
            belief = belief.renamed(state.frame.prior())
        context = found.context if found.frame.features == state.frame.features else []
        now = replace(state, belief=belief, context=context, cursor=self._log.last())
        return self._next(now, f"rolled back to {number}")

    def _status(self) -> LearnerStatus:
        assert self._state is not None
        return status_of(self.domain, self._state, self._counted(), self._store, self._clock())

    def _counted(self) -> Caps | None:
        return None if self._reader is None else self._reader.caps


def _mean_context(state: State, choices: list[Choice]) -> list[float]:
    mean = np.array(state.context or [0.0] * len(state.frame.features))
    n = state.counts.get("learned", 0)
    for number, one in enumerate(choices, start=n + 1):
        mean += (one.context - mean) * max(1 / number, LEAST_SHARE)
    return [float(value) for value in mean]
