"""All signals of relevance, in the order of the fusion's weights; popularity is here itself.

Leaves to others: what a signal is (signal.py), fitting them (training/assemble.py), mixing them
(fusion.py). Sizes: B queries, N items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from crossrec.models.lexical import AskedSignal, LexicalSignal
from crossrec.models.neighbour_signals import CollaborativeSignal, NeighbourSignal, WordingSignal
from crossrec.models.query import Queries
from crossrec.models.rating_profile import RatingProfileSignal
from crossrec.models.sequence_signal import SequenceSignal
from crossrec.models.signal import Arrays, Floats, Signal, Stored
from crossrec.models.text_signals import RequestSignal, TextSignal


@dataclass(frozen=True)
class PopularitySignal:
    """log(1 + count), counts halving with age: the same for everybody."""

    name: ClassVar[str] = "popularity"
    values: Floats  # (N,)

    def score(self, queries: Queries) -> Floats:
        """The same row for each query."""
        return np.broadcast_to(self.values, (len(queries), len(self.values)))

    def arrays(self) -> Arrays:
        """The scores themselves."""
        return {"values": self.values}

    def settings(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    @classmethod
    def restore(cls, arrays: Stored, settings: dict[str, Any]) -> PopularitySignal:
        """From stored tensors."""
        return cls(arrays["values"])


SIGNALS: tuple[type[Signal], ...] = (
    SequenceSignal,
    CollaborativeSignal,
    NeighbourSignal,
    TextSignal,
    WordingSignal,
    RequestSignal,
    LexicalSignal,
    AskedSignal,
    PopularitySignal,
    RatingProfileSignal,
)
"""In the order of the fusion's weights."""
