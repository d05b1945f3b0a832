"""One changer of a domain's data, or of its releases, at a time, whatever the process.

Standard library only: a served domain takes such a lock too. Leaves to others: what is changed
(rebuild.py, importing.py, releases/forgetting.py).
"""

from __future__ import annotations

import fcntl
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
