"""Cuts a data set into training, validation and test as the evaluation protocol says.

Leaves to others: what a model reads from it (batches.py), how it is judged (evaluation/).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sequences:
    """All interactions as one array per column, grouped by user, oldest first (CSR).

    User u's rows are `offsets[u]:offsets[u + 1]`; users are sorted by `user_id` as strings.
    """

    user_ids: list[str]
    item_ids: list[str]
    """Catalogue: `item_idx` i stands for `item_ids[i]`; file order of the items table."""
    offsets: NDArray[np.int64]  # (n_users + 1,)
    items: NDArray[np.int32]  # (N,) item_idx
    times: NDArray[np.int64]  # (N,) seconds, or an order index: Domain.time_kind
    events: NDArray[np.int16]  # (N,) index into event_names
    event_names: list[str]
    ratings: NDArray[np.float32]  # (N,) NaN where the source has none
    context: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """Context field → (N,) or, for a place, (N, 2); category fields hold the index into
    `context_values`; NaN where missing."""
    context_values: dict[str, list[str]] = field(default_factory=dict)

    @property
    def n_users(self) -> int:
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        return len(self.item_ids)

    def rows(self, user_idx: int) -> slice:
        """The rows of one user."""
        return slice(int(self.offsets[user_idx]), int(self.offsets[user_idx + 1]))


@dataclass(frozen=True)
class Cases:
    """Questions put to a model: user's first `cut` interactions → the item at `cut`."""

    users: NDArray[np.int64]  # (n,) user_idx
    cuts: NDArray[np.int64]  # (n,) history = first `cut` rows of that user
    """The target is row `offsets[user] + cut`."""

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class Split:
    """Sequences with the rows a model may be fitted on, and the cases it is judged on."""

    protocol: str
    sequences: Sequences
    train: NDArray[np.bool_]  # (N,) rows of the training part
    validation: Cases
    test: Cases
    warm: NDArray[np.bool_]  # (n_items,) has an interaction in the training part

    def targets(self, cases: Cases) -> NDArray[np.int32]:
        """item_idx of each case's target, (n,)."""
        return self.sequences.items[self.sequences.offsets[cases.users] + cases.cuts]
