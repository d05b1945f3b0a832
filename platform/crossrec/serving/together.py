"""Words of several requests in one call of the encoder: a call costs more than reading a text.

A call from one Serve application to another takes several milliseconds of both processes, so what
is asked for while a call is under way goes along with the next one; nobody waits for company.
Leaves to others: the call itself (deployments.py), batches over domains (encoder_service.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Timed = tuple[Vectors, dict[str, float]]
"""(n, E), and the seconds of the stages of the batch that they were encoded in."""
Call = Callable[[list[str], str], Awaitable[Timed]]
"""Texts and the release whose adapter reads them."""

MAX_CALL_TEXTS = 16
"""Texts that wait for a call to end, before another one is begun beside it: so many take the
encoder longer than a call costs, and calls under way are what it is scaled by."""


@dataclass(frozen=True, eq=False)
class _Asked:
    texts: list[str]
    done: asyncio.Future[Timed]


@dataclass
class _Queue:
    """Of one release: who waits for a call to end, and how many calls are under way."""

    waiting: list[_Asked] = field(default_factory=list)
    n_calls: int = 0

    def take(self) -> list[_Asked]:
        """Those who still wait; then nobody does."""
        taken = [one for one in self.waiting if not one.done.cancelled()]
        self.waiting.clear()
        return taken


class Together:
    """Gathers texts, of each release for itself; one object a replica, used on its event loop."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._queues: dict[str, _Queue] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # asyncio itself holds them weakly

    async def encode(self, texts: list[str], version: str) -> Timed:
        """Vectors of the texts and the seconds of their batch; raises what the call raises.

        Whoever is cancelled while they wait is left out; a call that nobody waits for any more is
        cancelled too.
        """
        asked = _Asked(texts, asyncio.get_running_loop().create_future())
        queue = self._queues.setdefault(version, _Queue())
        queue.waiting.append(asked)
        n_waiting = sum(len(one.texts) for one in queue.waiting)
        if not queue.n_calls or n_waiting >= MAX_CALL_TEXTS:
            queue.n_calls += 1
            calls = self._calls(queue, queue.take(), version)
            # A context of its own: Serve cancels whatever a request that is over has called.
            self._tasks.add(task := asyncio.create_task(calls, context=Context()))
            task.add_done_callback(self._tasks.discard)
        return await asked.done

    async def _calls(self, queue: _Queue, asked: list[_Asked], version: str) -> None:
        """A call, then others as long as somebody waits."""
        while asked:
            await self._called(asked, version)
            asked = queue.take()
        queue.n_calls -= 1
        if not queue.n_calls:
            del self._queues[version]

    async def _called(self, asked: list[_Asked], version: str) -> None:
        """Give everybody their rows of one call, or its error."""
        texts = [text for one in asked for text in one.texts]
        call = asyncio.ensure_future(self._call(texts, version))
        for one in asked:
            one.done.add_done_callback(lambda _: _give_up(call, asked))
        try:
            vectors, seconds = await call
        except (Exception, asyncio.CancelledError) as err:
            for one in asked:
                if not one.done.done():
                    one.done.set_exception(err)
            return
        start = 0
        for one in asked:
            if not one.done.done():
                one.done.set_result((vectors[start : start + len(one.texts)], seconds))
            start += len(one.texts)


def _give_up(call: asyncio.Future[Timed], asked: list[_Asked]) -> None:
    if all(one.done.cancelled() for one in asked):
        call.cancel()
