"""What glibc does with memory that is free: a domain's replica gives it back, the encoder keeps it,
and so does a long search while it lasts.

Leaves to others: what all processes of a service begin with (environment.py).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import threading
from collections.abc import Iterator

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
KEPT_BYTES = 64 << 20
KERNELS = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": 64, "LRU_CACHE_CAPACITY": 32}
"""Of oneDNN, and of torch for it, that are kept: both make some for each shape of a batch and keep
1,024. After ten thousand requests in words that was a gigabyte; to make them anew costs no time
that could be measured."""


def give_back_memory() -> None:
    """Return to the system what loading needed and no longer does; glibc keeps it otherwise.

    A release that was replaced is held by cycles: what its sequence and its words signal remember
    hold the signals themselves. Its catalogue is closed with it, after the last request under way.
    """
    gc.collect()
    _trim()


def keep_memory() -> None:
    """Keep what was freed for the next time; to be called before torch is loaded.

    The encoder needs the same megabytes for each batch. To ask the system for them anew, page by
    page, takes it a third of its time.
    """
    for name, kept in KERNELS.items():
        os.environ.setdefault(name, str(kept))
    _set_thresholds(KEPT_BYTES // 2, KEPT_BYTES)


_searches, _lock = 0, threading.Lock()


@contextlib.contextmanager
def memory_kept() -> Iterator[None]:
    """Keep what is freed until the end of the block, then give it back: a search for
    counterfactuals needs the same megabytes again and again, and half of its time was pages asked
    for anew. Blocks of several threads may overlap. Does nothing where the environment says nothing
    about thresholds, for then glibc learns them itself.
    """
    global _searches
    names = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
    usual = [int(os.environ[name]) for name in names if name in os.environ]
    if len(usual) != len(names):
        yield
        return
    with _lock:
        _searches += 1
        _set_thresholds(KEPT_BYTES // 2, KEPT_BYTES)
    try:
        yield
    finally:
        with _lock:
            _searches -= 1
            if not _searches:
                _set_thresholds(*usual)
                _trim()


def _set_thresholds(mmap: int, trim: int) -> None:
    """Bytes from which an array has pages of its own, and that may lie free at the heap's end."""
    with contextlib.suppress(AttributeError, OSError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, mmap)
        libc.mallopt(_TRIM_THRESHOLD, trim)


def _trim() -> None:
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
