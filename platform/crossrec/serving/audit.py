"""A log of who was let do what: keys made and taken back, admin requests, refusals.

One JSON object a line, never with a user id, an item id, an address or what a request held.
Leaves to others: what is worth a line (gateway.py, auth.py).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crossrec.config import home
from crossrec.serving.json_lines import append

EVERY_S = 60.0
"""Between two lines of a kind that anybody can cause."""
MAX_BYTES = 16 << 20
"""A log that has grown this long becomes `….1`, in place of the former one of that name."""


class Sparse:
    """Counts what anybody can cause, so that nobody fills the log: one line in EVERY_S seconds of
    each kind, which says how many of it had none since the line before.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}
        self._silent: dict[str, int] = {}

    def count(self, kind: str) -> int | None:
        """One more; how many had no line since the last one, or None: neither has this one."""
        now = self._clock()
        if kind in self._last and now < self._last[kind] + EVERY_S:
            self._silent[kind] = self._silent.get(kind, 0) + 1
            return None
        self._last[kind] = now
        return self._silent.pop(kind, 0)


class AuditLog:
    """Appends to `<home>/audit.jsonl`; several processes may at once."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or home() / "audit.jsonl"

    def write(self, what: str, **facts: Any) -> None:
        """One line with the time (UTC). A disk that is full must not stop the service."""
        with contextlib.suppress(OSError):
            append(self.path, time.time(), {"what": what, **facts}, MAX_BYTES)
