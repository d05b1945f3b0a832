"""Scores that histories had lately: who asks again, in other words or at another moment, has the
same history, and most of what an answer costs is reading that.

Leaves to others: which scores hang on nothing but the history (domain_model.py).
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

Rows = dict[str, NDArray[np.float32]]
"""Signal → (N,)."""

MAX_BYTES = 2 << 20
"""Some 80 histories of four signals where there are 1,700 items."""
MAX_ONCE = 1024
"""Histories asked for once that are told from new ones, about 100 bytes each."""


class Remembered:
    """The histories asked for last, as many as there is room for; for several threads.

    A history comes in when it is asked for a second time: those that nobody asks for again (whoever
    goes through all users, to learn what scores are usual) would only push out the others. Each
    step is one call of a dict, so that threads need no lock: at worst two read one history.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._rows: OrderedDict[bytes, Rows] = OrderedDict()
        self._once: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: bytes) -> Rows:
        """What is remembered of a history, not to be changed; empty where nothing is."""
        found = self._rows.pop(key, None)
        if found is None:
            return {}
        self._rows[key] = found
        return found

    def put(self, key: bytes, rows: Rows) -> None:
        """Remember a history that was put before, and forget those that were not asked for the
        longest.
        """
        size = sum(row.nbytes for row in rows.values())
        if not 0 < size <= self._max_bytes or self._is_new(hash(key)):
            return
        self._rows[key] = {name: row.copy() for name, row in rows.items()}  # not views of more
        while len(self._rows) * size > self._max_bytes:  # all rows of a release are of one size
            self._rows.popitem(last=False)

    def _is_new(self, key: int) -> bool:
        """Whether this was not asked for before, or too long ago; from now on it was."""
        if self._once.pop(key, self) is None:
            return False
        self._once[key] = None
        while len(self._once) > MAX_ONCE:
            self._once.popitem(last=False)
        return True
