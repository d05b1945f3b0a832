"""The service's own log: what `crossrec` logs, as lines of JSON on disk as soon as it is said.

Serve (2.60) takes a replica's standard error for lines of its own log. A thousand of them wait in
memory, which go with the process, and a local service's folder goes when it stops. So each process
writes a file of its own below `<home>/logs`, and nothing of it to standard error. Leaves to others:
what is worth a line, Serve's own log, who was let do what (audit.py).
"""

from __future__ import annotations

import contextlib
import logging
import traceback
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

from crossrec.config import home
from crossrec.serving.json_lines import append

MAX_BYTES = 4 << 20
"""Of a file; one that has grown this long becomes `….1`, in place of the former one."""
KEPT_FILES = 50
"""The newest stay where a process begins to write, `….1` counted too: 200 MiB in all."""
MAX_TRACEBACK_CHARS = 20_000
"""Of its end, which says what was raised."""


class Asked(NamedTuple):
    """The request that is worked on."""

    request_id: str | None
    service: str | None = None
    """What was asked, as the audit log calls it."""


NOBODY = Asked(None)
ASKED: ContextVar[Asked] = ContextVar("asked", default=NOBODY)
"""Set by the gateway, and where a request goes on in another process; tasks and threads that are
made for it inherit it."""


class LogFile(logging.Handler):
    """Writes what is logged to a file, which is made when there is something to say.

    Lines hold no user, item or words of a request, as far as it is ours: an error that is not may
    quote what it failed on.

    Args:
        application: whose process this is.
        replica: which of its processes.
    """

    def __init__(self, application: str, replica: str) -> None:
        super().__init__()
        self._application = application
        self.path = log_file(application, replica)

    def emit(self, record: logging.LogRecord) -> None:
        """One line. A disk that is full must not stop the service."""
        try:
            if not self.path.exists():
                with contextlib.suppress(OSError):  # another process may be at it too
                    _prune(self.path.parent)
            append(self.path, record.created, self._values(record), MAX_BYTES)
        except Exception:
            self.handleError(record)

    def _values(self, record: logging.LogRecord) -> dict[str, Any]:
        asked = ASKED.get()
        values = {
            "level": record.levelname,
            "logger": record.name,
            "application": self._application,
            "service": asked.service,
            "request_id": asked.request_id,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told = "".join(traceback.format_exception(*record.exc_info))
            values["exception"] = told[-MAX_TRACEBACK_CHARS:]
        return values


def log_file(application: str, replica: str) -> Path:
    """Where that process writes, once it has something to say."""
    return home() / "logs" / f"{application}-{replica}.jsonl"


def keep_log(application: str, replica: str) -> None:
    """Have this process write what it logs to a file; nothing changes where it does already."""
    logger = logging.getLogger("crossrec")
    if not any(isinstance(handler, LogFile) for handler in logger.handlers):
        logger.addHandler(LogFile(application, replica))


def keep_replica_log() -> None:
    """The same for a replica of Ray Serve; outside of one nothing changes."""
    from ray import serve
    from ray.serve.exceptions import RayServeException

    with contextlib.suppress(RayServeException):
        context = serve.get_replica_context()
        keep_log(context.app_name, context.replica_tag)


def _prune(folder: Path) -> None:
    """Make room for one file more. Who wrote one of those that go makes it anew."""
    files = [(file.stat().st_mtime, file) for file in folder.glob("*.jsonl*")]
    for _, file in sorted(files)[: max(len(files) - KEPT_FILES + 1, 0)]:
        file.unlink(missing_ok=True)
