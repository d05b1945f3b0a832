"""A replica's side of learning: weights for requests, notes of answers and of who sent feedback.

Reads the learner's state from disk before each request it needs it for, so that new weights hold
everywhere at the next request. Leaves to others: learning (learning.py).
"""

from __future__ import annotations

import hashlib
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crossrec.domains.spec import Domain, Learning
from crossrec.errors import ReleaseError, RequestError, ServiceError
from crossrec.models.domain_model import DomainModel
from crossrec.ranking.learner_policy import Drawn, Exploration, Frame, features_of
from crossrec.ranking.objectives import Objectives
from crossrec.serving.feedback import FeedbackRules
from crossrec.serving.learning_log import LearningLog, Policy, ShownList, shown_list
from crossrec.serving.learning_store import HOUR_S, LearnerStore, State, ToLearn, origin_salt
from crossrec.serving.messages import FeedbackEvent
from crossrec.serving.ranker import Ranker, Seen

log = logging.getLogger(__name__)

ADDRESS: ContextVar[str | None] = ContextVar("address", default=None)
"""Of whoever makes the request that is being answered."""
RECENT_VERSIONS = 8
REOPEN_AFTER_S = 10.0
"""Before a log that could not be opened is tried again; every answer would wait for it."""
RATING = "rating"


class Answers(Protocol):
    """What answers from a release; a `Recommender` is one."""

    model: DomainModel
    ranker: Ranker
    rules: FeedbackRules


class LearnedWeights:
    """What a learner gives to one domain's replica; `ranking.weights.Weigh` is the seam.

    Args:
        domain: its name.
        log: None: where it is by default, opened when first needed.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        domain: str,
        log: LearningLog | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._domain = domain
        self.store = LearnerStore(domain)
        self._log = log
        self._opening = threading.Lock()
        self._failed_at = -math.inf
        self._learnable = False
        self._clock = clock
        self._stamp = -1
        self._looking = threading.Lock()
        self._now: _Learned | None = None
        self._salt = b""

    @property
    def active(self) -> bool:
        """Whether weights other than the declared ones may hold."""
        self.look()
        now = self._now
        return now is not None and (now.state.learning or now.moved)

    @property
    def objectives(self) -> Sequence[str]:
        """Those whose weights are learned."""
        now = self._now
        return () if now is None else now.state.frame.objectives

    def look(self) -> None:
        """Take the learner's newest state; one that cannot be read is logged and passed over."""
        if self.store.stamp() == self._stamp:
            return
        with self._looking:
            stamp = self.store.stamp()
            if stamp == self._stamp:
                return
            try:
                state = self.store.state()
                self._now = None if state is None else _learned(state, self._now)
            except (OSError, ValueError, KeyError, TypeError):
                log.exception("the state of the learner of '%s' cannot be read", self._domain)
            self._stamp = stamp

    def draw(self, context: Mapping[str, Any], who: str | None) -> Drawn | None:
        """Weights for one request; the mean's where nobody is answered."""
        now = self._now
        if now is None:
            return None
        return self._drawn(now, context, who, now.exploration.arm)

    def again(
        self, context: Mapping[str, Any], who: str | None, request_id: str | None
    ) -> Drawn | None:
        """Weights of an answer that was given: as noted with it, to four digits. Of one that was
        not noted, or not yet, those that the same somebody has in this hour.

        Raises:
            ServiceError: the notes cannot be read.
        """
        now = self._now
        if now is None:
            return None
        noted = self._noted(request_id)
        if noted is None or noted.user_id not in (None, who):
            return self._drawn(now, context, who, now.exploration.arm_by_hash)
        weights = dict(zip(noted.objectives, noted.arms[noted.arm].tolist(), strict=True))
        return Drawn(weights, noted.version, noted.arm, noted.propensity)

    def _noted(self, request_id: str | None) -> ShownList | None:
        if request_id is None or (notes := self._opened()) is None:
            return None
        return notes.find(self._domain, request_id)

    def _drawn(
        self,
        now: _Learned,
        context: Mapping[str, Any],
        who: str | None,
        explore: Callable[[str, int], tuple[int, float]],
    ) -> Drawn:
        state, arm, propensity = now.state, 0, 1.0
        if who is not None:
            arm, propensity = explore(who, int(self._clock() // HOUR_S))
        parameters = now.arms[state.version][arm]
        weights = state.frame.weights(parameters, state.frame.context(context))
        return Drawn(weights, state.version, arm, propensity)

    def shown(
        self,
        request_id: str,
        user_id: str | None,
        context: Mapping[str, Any],
        drawn: Drawn,
        seen: Seen,
        item_ids: Sequence[str],
    ) -> None:
        """Note an answer, for learning from what is done with it; only while that is learned from.

        An answer never fails for it.
        """
        now = self._now
        if now is None or not now.state.learning or drawn.version not in now.arms:
            return
        frame = now.state.frame
        features = frame.context(context)
        arms = frame.weights_of_arms(now.arms[drawn.version], features)
        names = tuple(feature.name for feature in frame.features)
        policy = Policy(frame.objectives, names, features, arms, drawn.share, frame.relevance)
        at = self._clock()
        record = shown_list(request_id, user_id, at, drawn, seen, item_ids, policy)
        if (notes := self._opened()) is not None:
            notes.shown(self._domain, record)

    def heard(self, events: Sequence[FeedbackEvent]) -> None:
        """Note where feedback comes from, as far as it is on answers and a learner reads it."""
        address = ADDRESS.get()
        answered = [event.event_id for event in events if event.request_id is not None]
        if address is None or not answered or not self.active:
            return
        try:
            key = self._key(address)
        except OSError as err:
            log.warning("where feedback on '%s' came from was not noted: %s", self._domain, err)
            return
        if (notes := self._opened()) is not None:
            notes.came_from(self._domain, answered, key, self._clock())

    def check(self, answers: Answers) -> ToLearn | None:
        """What there is to learn in a release.

        Raises:
            ReleaseError: its YAML asks to learn what it cannot.
        """
        values = answers.model.vocabulary.context_values
        objectives = answers.ranker.objectives
        return what_to_learn(answers.model.domain, objectives, answers.rules, values)

    def declare(self, answers: Answers) -> None:
        """Say what there is to learn in the release that answers from now on; raises as `check`."""
        found = self.check(answers)
        self._learnable = found is not None
        if found is not None:
            self.store.declare(found)

    def expect_learnable(self) -> None:
        """Raise where no learner could have anything to say.

        Raises:
            RequestError: the release that answers has no objective whose weight can be learned.
        """
        if not self._learnable:
            raise RequestError(
                f"nothing is learned in '{self._domain}': its YAML declares no objective of single"
                " items beside relevance; declare some under `objectives`, and publish again"
            )

    def _opened(self) -> LearningLog | None:
        """None: it cannot be opened, which is logged and not tried again for a while."""
        with self._opening:
            pause = self._clock() - self._failed_at
            if self._log is None and not 0 <= pause < REOPEN_AFTER_S:
                try:
                    self._log = LearningLog()
                except ServiceError as err:
                    self._failed_at = self._clock()
                    log.warning(
                        "answers of '%s' and where feedback on them comes from are not noted for"
                        " now: %s", self._domain, err
                    )  # fmt: skip
            return self._log

    def _key(self, address: str) -> str:
        self._salt = self._salt or origin_salt()
        sealed = hashlib.blake2b(address.encode(), digest_size=8, key=self._salt)
        return sealed.hexdigest()

    def close(self) -> None:
        """Write what waits; the log is opened again when it is needed."""
        with self._opening:
            closing, self._log = self._log, None
        if closing is not None:
            closing.close()


@dataclass(frozen=True)
class _Learned:
    """All of a state that requests need; replaced as a whole, for requests in other threads."""

    state: State
    moved: bool
    """Whether the weights that answer are no longer what was declared."""
    arms: Mapping[int, NDArray[np.float64]]
    """Version → (M, P); of the last few of the same frame, for answers under way."""
    exploration: Exploration


def _learned(state: State, before: _Learned | None) -> _Learned:
    share = state.exploring
    recent: Mapping[int, NDArray[np.float64]] = {}
    exploration = Exploration(share, state.salt)
    if before is not None and before.state.frame == state.frame:
        recent = dict(list(before.arms.items())[-(RECENT_VERSIONS - 1) :])
    if before is not None:
        kept = before.exploration
        exploration = kept if (kept.share, kept.salt) == (share, state.salt) else exploration
    moved = state.live and state.moved
    return _Learned(state, moved, {**recent, state.version: state.arms}, exploration)


def what_to_learn(
    domain: Domain,
    objectives: Objectives,
    rules: FeedbackRules,
    values: Mapping[str, list[str]],
) -> ToLearn | None:
    """What a release lets a learner learn; None: relevance has no weight that others could be
    measured by, or there is no objective beside it.

    Raises:
        ReleaseError: the YAML asks to learn an objective that the release cannot learn.
    """
    learning = domain.learning or Learning()
    relevance = objectives.weights.get("relevance", 0.0)
    wanted = learning.objectives or [one.name for one in domain.objectives]
    names = tuple(name for name in wanted if objectives.is_by_item(name))
    for name in learning.objectives:
        if name not in names:
            raise ReleaseError(
                f"learning.objectives of '{domain.name}' names '{name}', which is no objective that"
                " measures items by themselves with this release's data; expected some of:"
                f" {', '.join(one for one in objectives.declared if objectives.is_by_item(one))}"
            )
    if relevance <= 0 or not names:
        return None
    frame = Frame(
        objectives=names,
        declared=tuple(objectives.weights.get(name, 0.0) for name in names),
        relevance=relevance,
        within=learning.within,
        features=tuple(features_of(domain.context, values)),
    )
    meanings = sorted(rules.meanings.items())
    interests = [name for name, meaning in meanings if meaning == "interest" and name != RATING]
    return ToLearn(frame, learning, tuple(interests), starts=domain.learning is not None)
