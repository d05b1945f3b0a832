"""Ratings as events: what the task `rate` puts in place of a step's event, and reads again.

Leaves to others: which rows those are (split.py), predicting them (models/rating_profile.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from crossrec.data.split import Sequences
from crossrec.errors import DataError

PREFIX = "rating "
RATING = "rating"
"""The event of feedback that holds a rating as its value, whatever a release was trained for."""


def ratings_as_events(sequences: Sequences, *, all_rated: bool = True) -> Sequences:
    """The rating of each step in place of its event, so that a history says what was liked.

    Args:
        all_rated: whether each row must have one; else a row without has no event (-1).

    Raises:
        DataError: a row has no rating and must have one.
    """
    missing = np.isnan(sequences.ratings)
    if all_rated and missing.any():
        raise DataError(
            f"{int(missing.sum())} of {len(missing)} rows have no rating; expected one in each"
            " for the task 'rate'"
        )
    levels, index = np.unique(sequences.ratings[~missing], return_inverse=True)
    events = np.full(len(missing), -1, np.int16)
    events[~missing] = index
    return replace(sequences, events=events, event_names=[f"{PREFIX}{level:g}" for level in levels])


def rating_levels(event_names: Sequence[str]) -> NDArray[np.float32] | None:
    """The rating that each event stands for, rising; None where the events are no ratings.

    >>> rating_levels(["rating 0.5", "rating 4"]).tolist()
    [0.5, 4.0]
    >>> rating_levels(["watch"]) is None
    True
    """
    if not event_names or not all(name.startswith(PREFIX) for name in event_names):
        return None
    return np.array([float(name.removeprefix(PREFIX)) for name in event_names], np.float32)
