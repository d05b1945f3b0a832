"""One changer of a domain's data, of its releases, or of a new SQLite file's way of writing, at a
time, whatever the process.

Standard library only: a served domain takes such a lock too. Leaves to others: what is changed
(rebuild.py, importing.py, releases/forgetting.py).
"""

from __future__ import annotations

import fcntl
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crossrec.errors import ServiceError

WAIT_S = 120.0
_PAUSE_S = 0.02


class _Held(threading.local):
    """Locks of this thread: a block may call what takes the same lock again."""

    def __init__(self) -> None:
        self.paths: set[str] = set()


_held = _Held()


@contextmanager
def only_one(folder: Path, domain: str, wait_s: float | None = None) -> Iterator[None]:
    """Held by one thread of one process of this machine; it ends with the process.

    The file lies beside the domain's folder and stays, for removing it would let two in.

    Args:
        folder: of all domains' data, or of all releases.
        domain: the one that is changed.
        wait_s: how long to wait for another one, in seconds; None: WAIT_S.

    Raises:
        ServiceError: (503) another one did not end in that time; nothing was done.
    """
    path = folder / f".{domain}.lock"
    if str(path) in _held.paths:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        _wait(stream.fileno(), path, WAIT_S if wait_s is None else wait_s)
        _held.paths.add(str(path))
        try:
            yield
        finally:
            _held.paths.discard(str(path))


def write_ahead(database: sqlite3.Connection, wait_s: float) -> None:
    """Have a file written ahead (WAL), which it then is for everybody.

    While another connection turns it so, or is the last to leave it, SQLite says at once that it is
    locked, whatever the connection's timeout.

    Args:
        wait_s: how long to try, in seconds.

    Raises:
        sqlite3.OperationalError: it was locked all the time.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as err:
            if err.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)


def _wait(descriptor: int, path: Path, wait_s: float) -> None:
    ends = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < ends:
                time.sleep(_PAUSE_S)
                continue
            raise ServiceError(
                f"another process has been changing what {path} guards for {wait_s:g} s; nothing"
                " was changed: ask again when it has ended", 503
            ) from None  # fmt: skip
        return
