"""Group commit: one thread writes whatever has gathered while the disk was busy; and deletions.

Leaves to others: what is written (feedback_log.py), connections (feedback_storage.py).
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

from crossrec.errors import ServiceError
from crossrec.serving.feedback_storage import Connection, Storage

Row = tuple[str | int | float | None, ...]

_MAX_BATCH = 256  # requests in one commit

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Job:
    rows: list[Row]
    done: Future[int]


class GroupWriter:
    """Appends rows; concurrent appends of a process share one commit.

    Args:
        storage: where to.
        statement: an INSERT that takes rows that are there already, too.
    """

    def __init__(self, storage: Storage, statement: str) -> None:
        self._storage = storage
        self._statement = statement
        self._connection: Connection | None = None
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def append(self, rows: list[Row]) -> Future[int]:
        """Write rows; the future gives how many were new once they are on disk.

        Raises:
            ServiceError: (from the future) none of them could be written.
        """
        job = _Job(rows, Future())
        # Running: a caller that goes away can no longer cancel what is being written.
        job.done.set_running_or_notify_cancel()
        self._start()
        self._jobs.put(job)
        return job.done

    def close(self) -> None:
        """Write what waits, then end."""
        with self._lock:
            if self._thread is not None:
                self._jobs.put(None)
                self._thread.join()
                self._thread = None

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._write_batches, name="feedback-writer", daemon=True
                )
                self._thread.start()

    def _write_batches(self) -> None:
        closing = False
        while not closing and (job := self._jobs.get()) is not None:
            jobs, closing = self._gather(job)
            # A batch that no database takes must not spoil the others of its commit.
            if not self._commit(jobs, last=len(jobs) == 1):
                for one in jobs if len(jobs) > 1 else ():
                    self._commit([one], last=True)
        self._drop()

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

    def _commit(self, jobs: list[_Job], last: bool) -> bool:
        """Write jobs in one transaction; False where nothing was written, which the callers hear
        of if this was the last attempt.
        """
        try:
            self._connection = self._connection or self._storage.connect()
            with self._connection.transaction():
                added = [self._connection.change(self._statement, job.rows) for job in jobs]
        except Exception as err:  # whatever it is, the thread lives on and the callers hear of it
            # its first line alone: others of a database may quote a row
            reason = str(err).partition("\n")[0]
            log.warning("feedback was not stored in %s: %s", self._storage.name, reason)
            self._drop()
            for job in jobs if last else ():
                job.done.set_exception(not_stored(err))
            return False
        for job, count in zip(jobs, added, strict=True):
            job.done.set_result(count)
        return True

    def _drop(self) -> None:
        """A connection that failed is not used again: its server may have gone away."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except self._storage.errors:
                return


@contextmanager
def changing(storage: Storage, *tables: str) -> Iterator[Connection]:
    """A transaction on a connection of its own; what it deleted from `tables` is overwritten after.

    Raises:
        ServiceError: nothing was changed.
    """
    try:
        with closing(storage.connect()) as connection:
            with connection.transaction():
                yield connection
            with suppress(*storage.errors):  # somebody reads old pages: the next time
                connection.scrub(tables)
    except storage.errors as err:
        raise not_stored(err) from err


def not_stored(error: Exception) -> ServiceError:
    """What is said of a change that was not made; the database's own words stay in the log."""
    text = f"feedback could not be stored ({type(error).__name__}); send it again later"
    return ServiceError(text, 503)
