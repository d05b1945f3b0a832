"""Shadow traffic: a release gets copies of requests, and its answers are compared and dropped.

The shadow runs in an application of its own, so nothing it does delays or fails an answer: a copy
is sent once the answer is made, nobody waits for it, and while PENDING are under way others are
left out and counted. Leaves to others: that application (deployments.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from crossrec.errors import CrossrecError
from crossrec.ranking.learner_policy import Drawn
from crossrec.ranking.weights import Weigh
from crossrec.serving.live_messages import ShadowResults
from crossrec.serving.messages import RecommendRequest, RecommendResponse
from crossrec.serving.recommender import Recommender
from crossrec.serving.traffic import Shadow, fraction

PENDING = 16
"""Copies of one replica that may be under way."""
KEPT_TIMES = 10_000
COMPARED = 10

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Copy:
    """A request that was answered, as the shadow hears of it."""

    request: RecommendRequest
    request_id: str
    item_ids: list[str]
    """The best COMPARED of the answer."""
    answer_ms: float
    skipped: int
    """Copies that were left out before this one."""


Send = Callable[[Copy], Awaitable[object]]


class Copies:
    """Sends copies of a share of the requests, and never waits.

    Args:
        shadow: which release, and the share.
        send: hands a copy to the shadow; its errors are logged, once in a row.
    """

    def __init__(self, shadow: Shadow, send: Send) -> None:
        self.shadow = shadow
        self._send = send
        self._under_way: set[asyncio.Task[None]] = set()
        self._skipped = 0
        self._failing = False

    def offer(self, request: RecommendRequest, answer: RecommendResponse, answer_ms: float) -> None:
        """Send a copy, if the request is one of the share."""
        if request.explain or fraction(answer.request_id) >= self.shadow.share:
            return
        if len(self._under_way) >= PENDING:
            self._skipped += 1
            return
        item_ids = [item.item_id for item in answer.items[:COMPARED]]
        copy = Copy(request, answer.request_id, item_ids, answer_ms, self._skipped)
        self._skipped = 0
        task = asyncio.get_running_loop().create_task(self._sent(copy))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _sent(self, copy: Copy) -> None:
        try:
            await self._send(copy)
        except Exception:
            self._skipped += 1 + copy.skipped
            if not self._failing:
                log.exception("the shadow %s takes no copies", self.shadow.version)
            self._failing = True
        else:
            self._failing = False


class Overheard:
    """Learned weights of which the learner hears nothing: what a shadow shows nobody sees."""

    def __init__(self, weigh: Weigh) -> None:
        self._weigh = weigh

    @property
    def active(self) -> bool:
        """As it says."""
        return self._weigh.active

    @property
    def objectives(self) -> Sequence[str]:
        """As it says."""
        return self._weigh.objectives

    def draw(self, context: Mapping[str, Any], who: str | None) -> Drawn | None:
        """As it says."""
        return self._weigh.draw(context, who)

    def again(
        self, context: Mapping[str, Any], who: str | None, request_id: str | None
    ) -> Drawn | None:
        """As it says."""
        return self._weigh.again(context, who, request_id)


@dataclass
class Comparison:
    """What came of the copies, in memory: what a shadow's replica knows of its release."""

    domain: str
    release: str
    n_errors: int = 0
    n_skipped: int = 0
    last_error: str | None = None
    n_compared: int = 0
    _overlaps: float = 0.0
    _same_first: int = 0
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_TIMES))
    _answer_times: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_TIMES))

    async def compare(self, recommender: Recommender, copy: Copy) -> None:
        """Answer a copy and keep how the answer differs; an error is kept, too."""
        self.n_skipped += copy.skipped
        began = perf_counter()
        try:
            answer = await recommender.recommend(copy.request, copy.request_id)
        except Exception as err:
            self.n_errors += 1
            # ours are sentences for callers; of others the kind alone, for they may quote a user
            self.last_error = str(err) if isinstance(err, CrossrecError) else type(err).__name__
            return
        self._times.append((perf_counter() - began) * 1000)
        self._answer_times.append(copy.answer_ms)
        ours = [item.item_id for item in answer.items[:COMPARED]]
        self.n_compared += 1
        self._overlaps += overlap(ours, copy.item_ids)
        self._same_first += ours[:1] == copy.item_ids[:1]

    def results(self) -> ShadowResults:
        """All of it."""
        n = self.n_compared
        return ShadowResults(
            domain=self.domain,
            release=self.release,
            n_compared=n,
            n_errors=self.n_errors,
            n_skipped=self.n_skipped,
            last_error=self.last_error,
            overlap_at_10=self._overlaps / n if n else None,
            same_first=self._same_first / n if n else None,
            latency_ms=_latencies(self._times) | _latencies(self._answer_times, "answer_"),
        )


def overlap(first: list[str], second: list[str]) -> float:
    """Share of the items that both lists have, of the longer one; 1 where both are empty.

    >>> overlap(["a", "b", "c", "d"], ["b", "x"]), overlap([], [])
    (0.25, 1.0)
    """
    longer = max(len(first), len(second))
    return len(set(first) & set(second)) / longer if longer else 1.0


def _latencies(times: deque[float], prefix: str = "") -> dict[str, float]:
    if not times:
        return {}
    p50, p95 = np.quantile(times, [0.5, 0.95])
    return {f"{prefix}p50": round(float(p50), 3), f"{prefix}p95": round(float(p95), 3)}
