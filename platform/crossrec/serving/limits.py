"""How often a key may ask: a token bucket a key, in the memory of each process that answers.

Leaves to others: which rate a key has (auth.py), the answer 429 (gateway.py).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from crossrec.errors import ServiceError

BURST_S = 1.0
"""Seconds of asking nothing that may be made up for at once."""


class RateError(ServiceError):
    """A key has asked too often; `retry_after_s`: whole seconds until it may again."""

    def __init__(self, requests_per_s: float, retry_after_s: int) -> None:
        super().__init__(
            f"this API key may ask {requests_per_s:g} times a second; try again in"
            f" {retry_after_s} s",
            429,
        )
        self.retry_after_s = retry_after_s


class RateLimits:
    """The buckets; each process counts for itself, for all domains that it answers for."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}
        """Key id → tokens left, and when they were counted."""

    def take(self, key_id: str, requests_per_s: float | None) -> None:
        """Count one request.

        Raises:
            RateError: (429) too many.
        """
        if requests_per_s is None:
            return
        now, most = self._clock(), max(1.0, BURST_S * requests_per_s)
        tokens, counted = self._buckets.get(key_id, (most, now))
        tokens = min(most, tokens + (now - counted) * requests_per_s)
        if tokens < 1:
            self._buckets[key_id] = (tokens, now)
            raise RateError(requests_per_s, math.ceil((1 - tokens) / requests_per_s))
        self._buckets[key_id] = (tokens - 1, now)
