"""What users who had the same items chose, in counts only: nobody of them can be told.

Leaves to others: reading histories (releases/catalogue.py), words (text.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_GROUP = 20
"""Users of a group that is told of, at least."""
MIN_CHOSE = 5
"""Users of it who chose the item, at least."""
MAX_USERS = 50_000
"""Users that are looked at."""


@dataclass(frozen=True)
class Group:
    """Users with items in common."""

    n: int
    common: int
    """Items in common, at least."""
    chose: int
    """Those of them who had the item."""


def similar_users(
    histories: Iterable[tuple[str, NDArray[np.int32]]],
    history: NDArray[np.int32],
    item: int,
    user_id: str | None = None,
    hides: Callable[[str], bool] = lambda user_id: False,
) -> Group | None:
    """The users with most items in common who are MIN_GROUP at least; None: the group, or the part
    of it that chose the item, is too small to be told of.

    Args:
        histories: user id and item_idx of what each user had, MAX_USERS of them at most.
        history: item_idx of what this user had.
        item: item_idx.
        user_id: of this user, who is none of the others.
        hides: whether a user counts no more; asked only of those who would be in the group.
    """
    own, users, common, chose = set(history.tolist()), [], [], []
    for other, items in histories:
        if other != user_id:
            theirs = set(items.tolist())
            users.append(other)
            common.append(len(own & theirs))
            chose.append(item in theirs)
    counts, had = np.array(common, np.int64), np.array(chose, np.bool_)
    looked_at: set[int] = set()
    while (counts > 0).sum() >= MIN_GROUP:
        least = int(np.sort(counts)[-MIN_GROUP])
        group = counts >= least
        new = set(np.flatnonzero(group).tolist()) - looked_at
        looked_at |= new
        hidden = [number for number in new if hides(users[number])]
        if not hidden:
            n_chose = int(had[group].sum())
            return Group(int(group.sum()), least, n_chose) if n_chose >= MIN_CHOSE else None
        counts[hidden] = 0  # the group is another one without them
    return None
