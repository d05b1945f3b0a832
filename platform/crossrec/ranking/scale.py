"""Puts what objectives measure on one scale, so that their weights can be compared.

Leaves to others: what they measure (objectives.py), how it is added up (weights.py).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Wide = NDArray[np.float64]

SPAN = 2 * math.sqrt(3)
"""From the worst to the best standing: the width of an even distribution with deviation 1."""
IN_CONTENTION = 100
"""Candidates whose spread of relevance is what a weight of 1 is worth."""


def standing(values: Wide) -> Floats:
    """Where each item stands in the catalogue: (N,) from -√3 (lowest) to √3 (highest).

    Ranks, evenly spread with mean 0 and deviation 1; equal values share the mean of their ranks.
    Ranks instead of z-scores, because prices and counts have long tails: one item at 500 EUR would
    make all others look alike. NaN, of which nothing is known, stands in the middle: 0.

    >>> [round(float(z), 2) for z in standing(np.array([5.0, 500.0, 1.0, np.nan]))]
    [0.0, 1.15, -1.15, 0.0]
    """
    known = ~np.isnan(values)
    result = np.zeros(len(values), np.float32)
    if known.any():
        _, place, counts = np.unique(values[known], return_inverse=True, return_counts=True)
        middles = np.cumsum(counts) - counts / 2  # of the places that equal values take
        result[known] = (middles[place] / known.sum() - 0.5) * SPAN
    return result


def spread(relevance: Wide) -> float:
    """What a weight of 1 is worth: the deviation of relevance among the best candidates.

    Of the `IN_CONTENTION` best, because the rest of a catalogue is no matter of choice: its spread
    would make the same weight harsh in large catalogues and gentle in small ones. 1 where all
    candidates are equal.

    Args:
        relevance: (N,), -inf for what is no candidate.
    """
    best = relevance[relevance > -np.inf]
    if len(best) > IN_CONTENTION:
        best = np.partition(best, -IN_CONTENTION)[-IN_CONTENTION:]
    deviation = float(best.std()) if len(best) else 0.0
    return deviation if deviation > 1e-7 else 1.0
