"""A process with all below it: what a service started is what a service ends.

Leaves to others: ending in good order (launch.py asks first, and ends what is left).
"""

from __future__ import annotations

import contextlib

import psutil

GRACE_S = 3.0


def tree_of(pid: int) -> list[psutil.Process]:
    """The process and its descendants; each remembers its start time, so that a number that
    was given to another process since is not mistaken for it.
    """
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end_tree(processes: list[psutil.Process]) -> None:
    """End those that still run: asked first, then killed."""
    left = [process for process in processes if process.is_running()]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, left = psutil.wait_procs(left, GRACE_S)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, GRACE_S)


def resident_bytes(pid: int) -> int:
    """Resident memory (RSS) of the process and its descendants, shared pages counted each time."""
    total = 0
    for process in tree_of(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += int(process.memory_info().rss)
    return total
