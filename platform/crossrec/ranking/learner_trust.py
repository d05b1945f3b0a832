"""How much a choice says, by whether it, and its user's choices so far, look like people's choices.

Two mixtures, each of what is believed and of blind chance (q, even over what was left in the list):

- of users: a share of them, RANDOM_USERS, takes anything. The odds that somebody is one of them
  grow with each choice by q / p, p what is believed of it (Bayes; reliability of who answers as in
  Dawid & Skene 1979). They never fall below where they began, as in Page's cumulative sums (1954):
  nobody earns the right to be believed later on.
- of choices: a share of everybody's, SLIPS, is a slip; a likelihood of (1 - ε)·p + ε·q lets go of
  what nobody would take.

A choice weighs the product of the two probabilities that it was meant, as believed before it (one
step of expectation and maximisation, online). Whoever takes what is worst time after time counts
about as one choice, an honest user of another taste a little less than before. Leaves to others:
how many choices count at all (learner_caps.py), what is believed (learner.py).
"""

from __future__ import annotations

import math
from collections import OrderedDict

import numpy as np

from crossrec.ranking.learner import Belief, Choice

RANDOM_USERS = 0.2
SLIPS = 0.1
MAX_USERS = 50_000
"""Users whose choices are remembered; of more the one heard of longest ago is forgotten."""
_MOST = 50.0
"""Of log odds: so many choices that make sense again do not change what is thought of somebody."""


class Trust:
    """Remembers by user how their choices fitted; in memory alone."""

    def __init__(self) -> None:
        self._against: OrderedDict[str, float] = OrderedDict()
        """User → log of how much likelier their choices are by chance than as believed, >= 0."""

    def weigh(self, user: str, choice: Choice, belief: Belief) -> float:
        """Between 0 and 1: what a choice of this user counts; remembers that they made it.

        Args:
            user: key of who made it.
            choice: what was taken.
            belief: before this choice.
        """
        meant = _probability(choice, belief)
        chance = 1 / int(choice.left.sum())
        against = self._against.pop(user, 0.0) + math.log(chance) - math.log(max(meant, 1e-300))
        self._against[user] = against = min(max(against, 0.0), _MOST)
        if len(self._against) > MAX_USERS:
            self._against.popitem(last=False)
        odds = RANDOM_USERS / (1 - RANDOM_USERS) * math.exp(against)
        likely = (1 - SLIPS) * meant
        return likely / (likely + SLIPS * chance) / (1 + odds)


def _probability(choice: Choice, belief: Belief) -> float:
    """Of what was taken, by the mean of what is believed."""
    utilities = np.where(choice.left, choice.design() @ belief.mean, -np.inf)
    exponents = np.exp(utilities - utilities.max())
    return float(exponents[choice.taken] / exponents.sum())
