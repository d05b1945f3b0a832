"""What glibc does with memory that is free: a domain's replica gives it back, the encoder keeps it.

Leaves to others: what all processes of a service begin with (environment.py).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os

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
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def keep_memory() -> None:
    """Keep what was freed for the next time; to be called before torch is loaded.

    The encoder needs the same megabytes for each batch. To ask the system for them anew, page by
    page, takes it a third of its time.
    """
    for name, kept in KERNELS.items():
        os.environ.setdefault(name, str(kept))
    with contextlib.suppress(AttributeError, OSError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, KEPT_BYTES // 2)
        libc.mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
