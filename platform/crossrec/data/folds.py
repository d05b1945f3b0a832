"""Cuts a data set again and again for cross-validation: by user, or by time.

Leaves to others: the usual protocols (split.py), training on each fold (training/folds.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crossrec.data.draws import drawn
from crossrec.data.split import Cases, Sequences, Split
from crossrec.errors import DataError

By = Literal["user", "time"]
FIRST_SHARE = 0.5
"""Of all rows that lie before the first validation window, by time."""
PROFILES = "profiles"
"""The protocol of data/profiles.py, where one user is many rows with the same words."""


def make_folds(split: Split, n_folds: int, by: By, *, clock: bool = True) -> list[Split]:
    """`n_folds` splits of the sequences of `split`; its own cut is not used.

    - `user`: users fall into folds by a hash of their id. The last step of each user of fold f is
      a test case, the last step of each user of fold f + 1 a validation case; training is the rows
      of all other users. So nobody who is tested was seen in training; the history of a case is
      what the user did before. Of requests a case is the last one that a user said, equal texts
      fall into one fold, and only rows that `split` trains on or asks about are used: items that
      somebody turned down are not.
    - `time`: rolling origin (Tashman 2000, sec. 3.2). Half of all rows lie before the first
      window; the rest is cut into n_folds + 1 windows of equally many rows. Fold f trains on what
      lies before window f, validates on each user's first step in window f, and tests on the first
      in window f + 1; users without training rows give no case, as in `temporal`.

    Args:
        split: sequences, pools and right answers.
        n_folds: at least 2; by user at least 3, for one is tested and one validates.
        clock: whether times are clock time.

    Raises:
        DataError: too few folds or users, no clock time, users described in words (their rows
            are each other's answers), or a fold without training or cases.
    """
    least = 3 if by == "user" else 2
    if n_folds < least:
        raise DataError(
            f"got {n_folds} folds; expected at least {least} by {by}: each needs a part to test on,"
            " one to validate on, and something to train on"
        )
    if split.protocol == PROFILES:
        raise DataError(
            f"protocol={PROFILES} divides users into parts by itself; expected training.seed=0 to"
            " 4 one after the other, each of which tests other users"
        )
    if by == "time" and not (clock and split.sequences.requests is None):
        raise DataError("these data have no clock time; expected folds by user")
    parts = _by_user if by == "user" else _by_time
    folds = []
    for fold in range(n_folds):
        train, validation, test = parts(split, fold, n_folds)
        if not train.any() or not len(validation) or not len(test):
            raise DataError(
                f"fold {fold + 1} of {n_folds} by {by} has {int(train.sum())} training rows,"
                f" {len(validation)} validation and {len(test)} test cases; expected some of each:"
                " take fewer folds"
            )
        warm = np.zeros(split.sequences.n_items, np.bool_)
        warm[split.sequences.items[train]] = True
        name = f"{by}_fold_{fold + 1}_of_{n_folds}"
        cut = replace(split, protocol=name, train=train, validation=validation, test=test)
        folds.append(replace(cut, warm=warm, late=None))
    return folds


_Parts = tuple[NDArray[np.bool_], Cases, Cases]


def _by_user(split: Split, fold: int, n_folds: int) -> _Parts:
    sequences = split.sequences
    of_user = np.array([fold_of(key, n_folds) for key in _kept_together(sequences)])
    test, validation = of_user == fold, of_user == (fold + 1) % n_folds
    usable, asks = _usable(split)
    train = usable & np.repeat(~(test | validation), np.diff(sequences.offsets))
    rows = np.flatnonzero(asks)
    users = np.searchsorted(sequences.offsets, rows, side="right") - 1
    last = np.append(users[1:] != users[:-1], True)[: len(rows)]
    users, cuts = users[last], (rows - sequences.offsets[users])[last]

    def of(chosen: NDArray[np.bool_]) -> Cases:
        return Cases(users[chosen[users]], cuts[chosen[users]])

    return train, of(validation), of(test)


def _kept_together(sequences: Sequences) -> list[str]:
    """What decides the fold of each user: its id; of single requests the text."""
    said = sequences.requests
    return sequences.user_ids if said is None or len(said) != sequences.n_users else said


def _usable(split: Split) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(N,) rows that may be trained on, and those that may be asked about."""
    sequences = split.sequences
    if sequences.requests is None:
        everything = np.ones(len(sequences.items), np.bool_)
        later = everything.copy()
        later[sequences.offsets[:-1]] = False  # without words a case needs a history
        return everything, later
    usable = split.train.copy()
    for cases in (split.validation, split.test):
        usable[sequences.target_rows(cases)] = True
    return usable, usable & np.array([bool(text) for text in sequences.requests])


def fold_of(user_id: str, n_folds: int) -> int:
    """The fold of a user, the same in every process and for every order of users.

    >>> fold_of("196", 5) == fold_of("196", 5) < 5
    True
    """
    return drawn(user_id) % n_folds


def _by_time(split: Split, fold: int, n_folds: int) -> _Parts:
    sequences = split.sequences
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
