"""Finds what a command has left running, by the home it was given."""

from __future__ import annotations

import os
from pathlib import Path

import psutil


def processes_of_home(home: Path) -> list[str]:
    """Command lines of all other processes whose `$CROSSREC_HOME` is `home`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("CROSSREC_HOME") == str(home):
                found.append(" ".join(process.cmdline())[:120])
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
