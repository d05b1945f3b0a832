"""How often each arm of an experiment answered whom, beside the feedback on it.

Lies in the feedback log's database. Counts gather in memory and are written every FLUSH_S, so
that an answer waits for no disk: `kill -9` loses at most so much of them. Leaves to others: who is
in which arm (traffic.py), rates and lifts (experiments.py), connections (feedback_storage.py).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from crossrec.serving.feedback_log import log_address
from crossrec.serving.feedback_storage import Reader, migrate, storage_at
from crossrec.serving.feedback_writer import GroupWriter, Row

FLUSH_S = 1.0
NOBODY = ""
"""In the place of a user: answers to anonymous requests, together."""

_UPSERT = (
    "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (domain, experiment, arm, user_id)"
    " DO UPDATE SET n = answers.n + excluded.n, last_at = excluded.last_at"
)
_RESPONSES = (
    "SELECT a.arm, a.user_id, a.n, f.event, count(f.event) FROM answers a LEFT JOIN feedback f"
    " ON f.domain = a.domain AND f.user_id = a.user_id AND f.experiment = a.experiment"
    " AND f.arm = a.arm WHERE a.domain = ? AND a.experiment = ?"
    " GROUP BY a.arm, a.user_id, a.n, f.event ORDER BY a.arm, a.user_id"
)
_LATEST = (
    "SELECT experiment FROM answers WHERE domain = ? GROUP BY experiment"
    " ORDER BY max(last_at) DESC LIMIT 1"
)


@dataclass(frozen=True)
class Response:
    """What one user of an arm was answered and did."""

    arm: str
    user_id: str
    n_answers: int
    events: dict[str, int]
    """Kind of event → how many."""


class AnswerLog:
    """Counts answers of one domain, and reads what came of them; for several threads."""

    def __init__(self, domain: str, address: Path | str | None = None) -> None:
        """Open the log of feedback.

        Raises:
            ServiceError: it cannot be opened.
        """
        self._domain = domain
        storage = storage_at(log_address() if address is None else address)
        migrate(storage)
        self._writer = GroupWriter(storage, _UPSERT)
        self._reader = Reader(storage)
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def count(self, experiment: str, arm: str, user_id: str | None) -> bool:
        """One answer; True for the first since `flush`, which is then due in FLUSH_S."""
        with self._lock:
            first = not self._counts
            self._counts[experiment, arm, user_id or NOBODY] += 1
        return first

    def flush(self) -> Future[int] | None:
        """Have written what gathered; None where nothing did."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return None
        now = time.time()
        rows: list[Row] = [(self._domain, *key, n, now) for key, n in counts.items()]
        return self._writer.append(rows)

    def responses(self, experiment: str) -> list[Response]:
        """Every user of an experiment, by arm; that of nobody counts anonymous answers."""
        found: dict[tuple[str, str], Response] = {}
        for arm, user_id, n, event, n_events in self._reader.execute(
            _RESPONSES, (self._domain, experiment)
        ):
            one = found.setdefault((arm, user_id), Response(arm, user_id, n, {}))
            if event is not None:
                one.events[event] = n_events
        return list(found.values())

    def latest(self) -> str | None:
        """The experiment that answered last; None where there was none."""
        rows = self._reader.execute(_LATEST, (self._domain,))
        return str(rows[0][0]) if rows else None

    def close(self) -> None:
        """Write what gathered, then let go of the connections."""
        self.flush()
        self._writer.close()
        self._reader.close()
