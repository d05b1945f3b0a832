"""What is known when a ranking is asked for, as arrays: the one input of scoring.

Leaves to others: turning requests over HTTP into it (serving/), scoring it (domain_model.py).
Sizes: B queries, T steps of history, E dimensions of the encoder, D of the model, N items.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Queries:
    """A batch of B questions; histories are padded on the left with -1, newest last."""

    items: NDArray[np.int32]  # (B, T) item_idx, -1 where there is none
    times: NDArray[np.int64]  # (B, T) as in Sequences.times, 0 where there is none
    events: NDArray[np.int16]  # (B, T) index into the vocabulary's events, -1 unknown
    now: NDArray[np.int64]  # (B,) the moment of the request, same unit as `times`
    request: NDArray[np.float32]  # (B, E) encoded request, zeros where there is none; or (B, 0)
    context: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """Context field → (B,), for a place (B, 2); NaN where not given."""
    words: tuple[str, ...] | None = None
    """(B,) the request as it was said, empty where nothing was; None: nobody said anything.
    It goes with `request`, which is its meaning: some signals look at the words themselves."""

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: NDArray[np.int64]) -> Queries:
        """The queries at `rows`, in that order (rows may repeat)."""
        return Queries(
            self.items[rows],
            self.times[rows],
            self.events[rows],
            self.now[rows],
            self.request[rows],
            {name: values[rows] for name, values in self.context.items()},
            None if self.words is None else tuple(self.words[row] for row in rows),
        )
