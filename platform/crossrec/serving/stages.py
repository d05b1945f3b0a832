"""Where the time of one request goes: parts that follow each other without a gap.

Each lap begins where the one before ended, so their sum is to be the whole, which the gateway times
apart: only so does a part that is missing, or counted twice, come to light. A request's own clock
is found through a context variable, so that what is timed need not hand it on; where nobody began
one (a recommender in a notebook), laps say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from time import perf_counter

ADMIT, FILTER, QUEUE, TOKENISE, ENCODE = "admit", "filter", "queue", "tokenise", "encode"
LOG, READ, SEARCH, RANK, EXPLAIN, ANSWER = "log", "read", "search", "rank", "explain", "answer"


class Stages:
    """The clock of one request; times are in seconds.

    Attributes:
        seconds: stage → how long it took, all its laps together.
    """

    __slots__ = ("_last", "seconds")

    def __init__(self) -> None:
        self._last = perf_counter()
        self.seconds: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        """What passed since the last lap was this stage."""
        now = perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now

    def split(self, rest: str, parts: Mapping[str, float]) -> None:
        """What passed since the last lap was `parts`, timed elsewhere, and `rest` around them."""
        before = self.seconds.get(rest, 0.0)
        self.lap(rest)
        passed = self.seconds[rest] - before
        share = min(1.0, passed / max(sum(parts.values()), 1e-9))  # another process's clock
        for stage, seconds in parts.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + share * seconds
            self.seconds[rest] -= share * seconds


_current: ContextVar[Stages | None] = ContextVar("stages", default=None)


def begin() -> Stages:
    """A clock for the request that this task answers."""
    stages = Stages()
    _current.set(stages)
    return stages


def lap(stage: str) -> None:
    """A lap of the current request's clock."""
    stages = _current.get()
    if stages is not None:
        stages.lap(stage)


def split(rest: str, parts: Mapping[str, float]) -> None:
    """A lap of several parts, timed elsewhere."""
    stages = _current.get()
    if stages is not None:
        stages.split(rest, parts)
