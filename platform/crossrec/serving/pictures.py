"""Maps of items and profiles of data: made once by a process of their own, then read from a cache.

They need libraries that a replica has no room for. Leaves to others: making one (drawing.py).
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from crossrec.config import home
from crossrec.errors import ServiceError

COMMAND = [sys.executable, "-m", "crossrec.serving.drawing"]
FORMAT = 1
"""Raised by one when a picture holds something else than before."""

log = logging.getLogger(__name__)


class Pictures:
    """Gives a picture that is there, and has one made that is not: one at a time."""

    def __init__(self, root: Path | None = None) -> None:
        self._root = root or home() / "cache" / "pictures"
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._making: Path | None = None
        self._failed: dict[Path, str] = {}

    def get(self, kind: str, domain: str, edition: str) -> dict[str, Any] | None:
        """The picture, or None while it is being made; ask again.

        Args:
            kind: `map` or `data`.
            edition: of what it is a picture; another one is another picture.

        Raises:
            ServiceError: it could not be made; the next call tries again.
        """
        path = self._root / f"{kind}-{domain}-{edition}-{FORMAT}.json"
        with self._lock:
            self._collect()
            if path.is_file():
                found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
                return found
            if reason := self._failed.pop(path, None):
                raise ServiceError(f"the {kind} of '{domain}' could not be made: {reason}")
            if self._process is None:
                self._start(path, kind, domain, edition)
        return None

    def _start(self, path: Path, kind: str, domain: str, edition: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        arguments = [kind, domain, edition, str(path)]
        self._making = path
        self._process = subprocess.Popen(
            [*COMMAND, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )  # fmt: skip

    def _collect(self) -> None:
        """Take note of a process that ended."""
        if self._process is None or self._process.poll() is None:
            return
        _, errors = self._process.communicate()
        if self._process.returncode and self._making is not None:
            last = errors.decode(errors="replace").strip().splitlines()[-1:] or ["it was ended"]
            log.error("making %s failed: %s", self._making.name, last[0])
            self._failed[self._making] = last[0]
        self._process = self._making = None
