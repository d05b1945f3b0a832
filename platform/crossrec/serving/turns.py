"""Requests begin one by one, so that those that wait are there to be counted.

Scoring keeps the event loop to itself. Where many requests began in the same pass of the loop, all
of them were answered before anything else could run: whoever looked at how many are under way
(the limit of the gateway, Serve's autoscaling) came before or after and saw nobody. Leaves to
others: how many may wait (gateway.py).
"""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """One begins in each pass of the loop, in the order they came; alone nobody waits at all."""

    def __init__(self) -> None:
        self.under_way = 0
        """Requests that have come and are not answered; counted by whoever lets them in."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False
        """Whether somebody has begun in this pass, or still waits."""

    async def take(self) -> None:
        """Wait for a pass of the loop in which nobody else begins."""
        loop = asyncio.get_running_loop()
        if not self._taken:
            self._taken = True
            loop.call_soon(self._next)
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # else who waited has gone
                turn.set_result(None)
                asyncio.get_running_loop().call_soon(self._next)
                return
        self._taken = False
