"""A process with all below it: what a service started is what a service ends.

Leaves to others: ending in good order (launch.py asks first, and ends what is left).
"""

from __future__ import annotations

import contextlib
import time

import psutil

GRACE_S = 3.0
_LOOK_S = 0.05


def tree_of(pid: int) -> list[psutil.Process]:
    """The process and its descendants; each remembers its start time, so that a number that
    was given to another process since is not mistaken for it.
    """
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def has_ended(pid: int, timeout_s: float) -> bool:
    """Whether a process ends within that time; its exit code stays to be fetched.

    In place of `Popen.wait` and `poll` where Ctrl-C may come in between: raised at the wrong
    moment it leaves their lock taken (CPython 3.11), and the next wait lasts for ever.
    """
    until = time.monotonic() + timeout_s
    while True:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(min(_LOOK_S, timeout_s))


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
