"""Keeps what users did: on disk before it is acknowledged, each event once, read back by user.

One SQLite file (WAL, synchronous=FULL) for all domains and processes of a machine. Leaves to
others: what may be stored and what it means (feedback.py).
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from crossrec.config import home
from crossrec.errors import ServiceError
from crossrec.serving.messages import FeedbackEvent

MAX_RECENT = 1000
BUSY_TIMEOUT_S = 10.0
"""How long a process waits for another one that writes."""

_MAX_BATCH = 256  # requests in one commit

_SCHEMA = """
CREATE TABLE IF NOT EXISTS feedback (
    domain TEXT NOT NULL, event_id TEXT NOT NULL, user_id TEXT NOT NULL, item_id TEXT NOT NULL,
    event TEXT NOT NULL, timestamp INTEGER NOT NULL, value REAL, request_id TEXT,
    received_at REAL NOT NULL,
    UNIQUE (domain, event_id)
);
CREATE INDEX IF NOT EXISTS feedback_by_user ON feedback (domain, user_id, timestamp);
"""

_INSERT = "INSERT OR IGNORE INTO feedback VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"

Row = tuple[str, str, str, str, str, int, float | None, str | None, float]


@dataclass(frozen=True)
class StoredEvent:
    """One event as it was acknowledged."""

    item_id: str
    event: str
    timestamp: int
    """Seconds since 1970 UTC."""
    value: float | None = None
    """A rating, where the event is one."""


@dataclass(frozen=True)
class _Job:
    rows: list[Row]
    done: Future[int]


class FeedbackLog:
    """Appends and reads feedback; safe to use from several threads and processes.

    Concurrent appends of a process share one commit: a single thread writes whatever has
    gathered while the disk was busy with the commit before (group commit).
    """

    def __init__(self, path: Path | None = None) -> None:
        """Open or make the file.

        Raises:
            ServiceError: it cannot be opened, or is no SQLite file.
        """
        self.path = path or home() / "feedback.db"
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._reader = self._connect()
            self._reader.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as err:
            raise ServiceError(f"the feedback log {self.path} cannot be opened: {err}") from err

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # in WAL mode: one fsync a commit
        return connection

    def append(self, domain: str, events: list[FeedbackEvent]) -> Future[int]:
        """Store events; the future gives how many were new once they are on disk.

        An event id that the domain has seen before changes nothing and is not counted.

        Raises:
            ServiceError: (from the future) they could not be stored, for example on a full disk;
                none of them was.
        """
        now = time.time()
        rows: list[Row] = [
            (
                *(domain, event.event_id, event.user_id, event.item_id, event.event),
                int(now) if event.timestamp is None else event.timestamp,
                *(event.value, event.request_id, now),
            )
            for event in events
        ]
        job = _Job(rows, Future())
        # Running: a caller that goes away can no longer cancel what is being written.
        job.done.set_running_or_notify_cancel()
        self._start_writer()
        self._jobs.put(job)
        return job.done

    def recent(self, domain: str, user_id: str, limit: int = MAX_RECENT) -> list[StoredEvent]:
        """The newest events of a user, oldest first; what any process acknowledged is there."""
        query = (
            "SELECT item_id, event, timestamp, value FROM feedback WHERE domain = ? AND user_id = ?"
            " ORDER BY timestamp DESC, rowid DESC LIMIT ?"
        )
        with self._lock:
            rows = self._reader.execute(query, (domain, user_id, limit)).fetchall()
        return [StoredEvent(*row) for row in reversed(rows)]

    def close(self) -> None:
        """Write what waits, then close the file."""
        with self._lock:
            if self._writer is not None:
                self._jobs.put(None)
                self._writer.join()
                self._writer = None
            self._reader.close()

    def _start_writer(self) -> None:
        with self._lock:
            if self._writer is None or not self._writer.is_alive():
                self._writer = threading.Thread(
                    target=self._write_batches, name="feedback-writer", daemon=True
                )
                self._writer.start()

    def _write_batches(self) -> None:
        with contextlib.closing(self._connect()) as connection:
            while (job := self._jobs.get()) is not None:
                jobs, closing = self._gather(job)
                self._commit(connection, jobs)
                if closing:
                    return

    def _gather(self, first: _Job) -> tuple[list[_Job], bool]:
        """All that waits; and whether the end was among it."""
        jobs = [first]
        while len(jobs) < _MAX_BATCH:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return jobs, True
            jobs.append(job)
        return jobs, False

    def _commit(self, connection: sqlite3.Connection, jobs: list[_Job]) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            added = [connection.executemany(_INSERT, job.rows).rowcount for job in jobs]
            connection.execute("COMMIT")
        except Exception as err:  # whatever it is, the thread lives on and the callers hear of it
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for job in jobs:
                job.done.set_exception(
                    ServiceError(f"feedback could not be stored ({err}); send it again later", 503)
                )
            return
        for job, count in zip(jobs, added, strict=True):
            job.done.set_result(count)
