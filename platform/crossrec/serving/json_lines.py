"""Appends to files of one JSON object a line, that are set aside before they grow too long.

Leaves to others: what is worth a line (audit.py, logs.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def append(path: Path, moment: float, values: Mapping[str, Any], max_bytes: int) -> None:
    """One line, which begins with the time in UTC; a file that has grown longer than `max_bytes`
    becomes `….1`, in place of the former one of that name.

    Args:
        moment: seconds since 1970.

    Raises:
        OSError: it cannot be written.
    """
    at = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"at": at, **values}) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    # In one call to the system, at the end: lines of several processes do not mix.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line.encode())
        size = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    if size > max_bytes:
        os.replace(path, path.with_name(f"{path.name}.1"))
