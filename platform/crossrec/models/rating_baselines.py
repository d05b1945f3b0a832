"""The plain rating predictor that every rating of ours stands beside: biases alone.

Leaves to others: rankings (baselines.py), matrix factorisation (a peer, in its own environment).
Sizes: U users, N items, n ratings.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crossrec.data.split import Cases, Split

Doubles = NDArray[np.float64]

PULLS = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 40.0)
ROUNDS = 15


@dataclass(frozen=True)
class Biases:
    """r(u, i) = mean + b_u + b_i (Koren, Bell & Volinsky 2009, eq. 3), by least squares.

    Each bias is a mean of what is left, pulled to 0 by so many ratings.
    """

    mean: float
    users: Doubles  # (U,)
    items: Doubles  # (N,)

    @classmethod
    def fit(cls, split: Split, user_pull: float, item_pull: float) -> Biases:
        """From the training ratings, by turns over users and items."""
        sequences = split.sequences
        rows = np.flatnonzero(split.train)
        users = np.searchsorted(sequences.offsets, rows, side="right") - 1
        items, ratings = sequences.items[rows], sequences.ratings[rows].astype(np.float64)
        mean = float(ratings.mean())
        of_users, of_items = np.zeros(sequences.n_users), np.zeros(sequences.n_items)
        for _ in range(ROUNDS):
            left = ratings - mean - of_users[users]
            of_items = _pulled_means(items, left, sequences.n_items, item_pull)
            left = ratings - mean - of_items[items]
            of_users = _pulled_means(users, left, sequences.n_users, user_pull)
        return cls(mean, of_users, of_items)

    def predict(self, split: Split, cases: Cases) -> Doubles:
        """Rating of each case's target, (n,)."""
        return self.mean + self.users[cases.users] + self.items[split.targets(cases)]


def tune_biases(split: Split) -> Biases:
    """The pulls with the lowest RMSE on the validation cases, fitted on their ratings too.

    At test a history holds the validation rating, so these biases know it as well.
    """
    rows = split.sequences.target_rows(split.validation)
    given = split.sequences.ratings[rows]

    def error(pulls: tuple[float, float]) -> float:
        predicted = Biases.fit(split, *pulls).predict(split, split.validation)
        return float(((predicted - given) ** 2).mean())

    best = min(itertools.product(PULLS, PULLS), key=error)
    known = split.train.copy()
    known[rows] = True
    return Biases.fit(replace(split, train=known), *best)


def _pulled_means(
    groups: NDArray[np.integer], values: Doubles, n_groups: int, pull: float
) -> Doubles:
    counts = np.bincount(groups, minlength=n_groups)
    return np.asarray(np.bincount(groups, values, n_groups) / (counts + pull))
