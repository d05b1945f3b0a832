"""Cuts a data set again and again for cross-validation: by user, or by time.

Leaves to others: the usual protocols (split.py), training on each fold (training/folds.py).
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crossrec.data.split import Cases, Sequences, Split
from crossrec.errors import DataError

By = Literal["user", "time"]
FIRST_SHARE = 0.5
"""Of all rows that lie before the first validation window, by time."""


def make_folds(split: Split, n_folds: int, by: By, *, clock: bool = True) -> list[Split]:
    """`n_folds` splits of the sequences of `split`; its own cut is not used.

    - `user`: users fall into folds by a hash of their id. The last step of each user of fold f is
      a test case, the last step of each user of fold f + 1 a validation case; training is the rows
      of all other users. So nobody who is tested was seen in training; the history of a case is
      what the user did before.
    - `time`: rolling origin (Tashman 2000, sec. 3.2). Half of all rows lie before the first
      window; the rest is cut into n_folds + 1 windows of equally many rows. Fold f trains on what
      lies before window f, validates on each user's first step in window f, and tests on the first
      in window f + 1; users without training rows give no case, as in `temporal`.

    Args:
        split: sequences, pools and right answers.
        n_folds: at least 2.
        clock: whether times are clock time.

    Raises:
        DataError: too few folds or users, no clock time, or a fold without training or cases.
    """
    if n_folds < 2:
        raise DataError(f"got {n_folds} folds; expected at least 2")
    if by == "time" and not clock:
        raise DataError("these data have no clock time; expected folds by user")
    parts = _by_user if by == "user" else _by_time
    folds = []
    for fold in range(n_folds):
        train, validation, test = parts(split.sequences, fold, n_folds)
        if not train.any() or not len(validation) or not len(test):
            raise DataError(
                f"fold {fold + 1} of {n_folds} by {by} has {int(train.sum())} training rows,"
                f" {len(validation)} validation and {len(test)} test cases; expected some of each:"
                " take fewer folds"
            )
        warm = np.zeros(split.sequences.n_items, np.bool_)
        warm[split.sequences.items[train]] = True
        name = f"{by}_fold_{fold + 1}_of_{n_folds}"
        folds.append(
            replace(split, protocol=name, train=train, validation=validation, test=test, warm=warm)
        )
    return folds


_Parts = tuple[NDArray[np.bool_], Cases, Cases]


def _by_user(sequences: Sequences, fold: int, n_folds: int) -> _Parts:
    of_user = np.array([fold_of(user, n_folds) for user in sequences.user_ids])
    test, validation = of_user == fold, of_user == (fold + 1) % n_folds
    lengths = np.diff(sequences.offsets)
    train = np.repeat(~(test | validation), lengths)
    least = 1 if sequences.requests is not None else 2  # without words a case needs a history
    asked = lengths >= least

    def last(users: NDArray[np.bool_]) -> Cases:
        chosen = np.flatnonzero(users & asked)
        return Cases(chosen, lengths[chosen] - 1)

    return train, last(validation), last(test)


def fold_of(user_id: str, n_folds: int) -> int:
    """The fold of a user, the same in every process and for every order of users.

    >>> fold_of("196", 5) == fold_of("196", 5) < 5
    True
    """
    digest = hashlib.blake2b(user_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest) % n_folds


def _by_time(sequences: Sequences, fold: int, n_folds: int) -> _Parts:
    ordered = np.sort(sequences.times)
    share = (1 - FIRST_SHARE) / (n_folds + 1)
    edges = [
        ordered[min(int((FIRST_SHARE + share * (fold + step)) * len(ordered)), len(ordered) - 1)]
        for step in range(3)
    ]
    train = sequences.times < edges[0]
    known = _per_user(sequences, train)
    until = [_per_user(sequences, sequences.times < edge) for edge in edges[1:]]
    if fold == n_folds - 1:
        until[1] = np.diff(sequences.offsets)  # the last window has no end
    validation = np.flatnonzero((known >= 1) & (until[0] > known))
    test = np.flatnonzero((known >= 1) & (until[1] > until[0]))
    return train, Cases(validation, known[validation]), Cases(test, until[0][test])


def _per_user(sequences: Sequences, rows: NDArray[np.bool_]) -> NDArray[np.int64]:
    counts = np.concatenate([[0], np.cumsum(rows)])
    return np.asarray(np.diff(counts[sequences.offsets]), np.int64)
