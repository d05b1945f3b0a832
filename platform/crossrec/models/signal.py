"""What every signal of relevance is, and the types that they share.

Leaves to others: the signals (sequence_signal.py, neighbour_signals.py, text_signals.py,
lexical.py, rating_profile.py), all of them in order (signals.py), mixing them (fusion.py).
Sizes: B queries, N items.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from crossrec.models.query import Queries

Floats = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]
Stored = Mapping[str, NDArray[Any]]

FEW_ITEMS = 1 << 16
"""Up to so many items a row over all of them is no work."""


class Signal(Protocol):
    """One kind of evidence. `arrays` and `settings` are all that a release keeps of it."""

    name: ClassVar[str]

    def score(self, queries: Queries) -> Floats:
        """(B, N) float32, higher is better; rows of zeros where it has nothing to say."""

    def arrays(self) -> Arrays:
        """Tensors to store."""

    def settings(self) -> dict[str, Any]:
        """Plain values to store."""

    @classmethod
    def restore(cls, arrays: Stored, settings: dict[str, Any]) -> Signal:
        """Inverse of the two above."""
