"""Learns what objectives are worth from what people choose out of the lists they are shown.

A Bayesian conditional logit: the mathematics alone, on arrays. Leaves to others: what may count
as a choice and how much one person may count (learner_caps.py), weights out of parameters
(learner_policy.py), the log, state and processes (serving/learning*.py).
Sizes: k items of a list, D objectives beside relevance, C context features, P parameters.

An item at position p of a list is chosen with a probability proportional to
exp(κ·r + Σ_o (β_o + Β_o·x)·z_o - η·log p): r its relevance in units of the spread among the best
candidates (scale.py), z_o where it stands in objective o, x the request's context. Ranking by
r + Σ_o w_o·z_o with w_o = (β_o + Β_o·x) / κ puts what is likely to be chosen first, whatever κ > 0.

- Conditional on the list (McFadden 1974), so whether people choose at all, and how good the list
  is as a whole, cancel. A Thompson-sampled multinomial logit is that of Oh & Iyengar (NeurIPS
  2019); the Gaussian posterior by Laplace's approximation that of Chapelle & Li (NeurIPS 2011,
  algorithm 3), here with the full precision matrix.
- Position bias: a position is looked at with probability p^-η, the model of Joachims,
  Swaminathan & Schnabel (WSDM 2017, section 6). Where choices are rare, what is chosen is then
  what was looked at and attracts, exactly the conditional logit with -η·log p as a term. η is
  learned along: explored weights change the order of lists, which tells both apart (as in
  Agarwal et al., WSDM 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Wide = NDArray[np.float64]

RELEVANCE, POSITION = "relevance", "position"
"""Names of the parameters κ and η; β_o is called as its objective, Β_oc `objective|feature`."""
PRIOR_RELEVANCE = (1.0, 0.5)
"""Mean and deviation of κ: relevance is trained as a logit, so one unit is about one."""
PRIOR_POSITION = (0.5, 0.5)
"""Of η: 0 all positions are looked at alike, 1 the tenth a tenth as often as the first."""
FEATURE_SHARE = 0.5
"""Deviation of what a context feature changes, as a share of that of the objective's own."""
MAX_FEATURE = 4.0
"""Relevance of an item beside the list's mean is cut here, so that no single list says all."""
_MAX_STEPS = 30
_ENOUGH = 1e-8


@dataclass(frozen=True)
class Choice:
    """One item taken out of a list that was shown."""

    relevance: Wide  # (k,) in units of the spread among the best candidates
    standings: Wide  # (k, D) as scale.standing gives them
    taken: int
    """Row of the item that was taken."""
    left: NDArray[np.bool_]
    """(k,) what could be taken: all but what was taken out of the same list before."""
    context: Wide = field(default_factory=lambda: np.zeros(0))  # (C,)
    weight: float = 1.0
    """What it counts."""

    def design(self) -> Wide:
        """(k, P): what each parameter is multiplied with."""
        k = len(self.relevance)
        centred = np.clip(self.relevance - self.relevance.mean(), -MAX_FEATURE, MAX_FEATURE)
        crossed = (self.standings[:, :, None] * self.context).reshape(k, -1)  # (k, D·C)
        position = -np.log(np.arange(1, k + 1))
        return np.column_stack([centred, self.standings, crossed, position])


def parameter_names(objectives: Sequence[str], features: Sequence[str]) -> list[str]:
    """What each of the P parameters is called, in the order of `Choice.design`.

    >>> parameter_names(["price"], ["rain"])
    ['relevance', 'price', 'price|rain', 'position']
    """
    crossed = [f"{objective}|{feature}" for objective in objectives for feature in features]
    return [RELEVANCE, *objectives, *crossed, POSITION]


@dataclass(frozen=True)
class Belief:
    """What is believed of the parameters: a normal distribution."""

    names: tuple[str, ...]
    mean: Wide  # (P,)
    precision: Wide  # (P, P)

    @classmethod
    def prior(
        cls,
        objectives: Sequence[str],
        features: Sequence[str],
        declared: Sequence[float],
        deviation: float,
    ) -> Belief:
        """Before anything is learned: the domain's own weights, within about `deviation`.

        Args:
            objectives: names of the D objectives.
            features: names of the C context features.
            declared: (D,) their weights beside relevance of weight 1.
            deviation: of β.
        """
        n_crossed = len(objectives) * len(features)
        means = [PRIOR_RELEVANCE[0], *declared, *[0.0] * n_crossed, PRIOR_POSITION[0]]
        deviations = [
            PRIOR_RELEVANCE[1],
            *[deviation] * len(objectives),
            *[deviation * FEATURE_SHARE] * n_crossed,
            PRIOR_POSITION[1],
        ]
        names = tuple(parameter_names(objectives, features))
        return cls(names, np.array(means), np.diag(np.array(deviations) ** -2.0))

    def updated(self, choices: Sequence[Choice], prior: Belief, half_life: float) -> Belief:
        """After some choices: Laplace's approximation around the most likely parameters.

        What was known before fades towards the prior, to a half after choices of the weight
        `half_life` in sum, so that weights follow a change of taste.

        Args:
            choices: new ones; each once.
            prior: with the same names.
        """
        if not choices:
            return self
        kept = 0.5 ** (sum(one.weight for one in choices) / half_life)
        precision = kept * self.precision + (1 - kept) * prior.precision
        pulled = kept * self.precision @ self.mean + (1 - kept) * prior.precision @ prior.mean
        before = Belief(self.names, np.linalg.solve(precision, pulled), precision)
        designs = [one.design() for one in choices]
        mean = _most_likely(before, choices, designs)
        _, _, curvature = _likelihood(mean, choices, designs)
        return Belief(self.names, mean, precision + curvature)

    def draws(self, noise: Wide) -> Wide:
        """(n, P) draws out of standard normal `noise` (n, P); the same noise, the same place in
        the distribution, so that draws move as slowly as the belief does.
        """
        lower = np.linalg.cholesky(self.precision)
        return np.asarray(self.mean + np.linalg.solve(lower.T, noise.T).T)

    def renamed(self, prior: Belief) -> Belief:
        """The belief on other parameters: what both know is kept, with how it hangs together;
        what is new is as in the prior.
        """
        kept = [name for name in prior.names if name in self.names]
        mine = [self.names.index(name) for name in kept]
        theirs = [prior.names.index(name) for name in kept]
        mean = prior.mean.copy()
        mean[theirs] = self.mean[mine]
        covariance = np.linalg.inv(prior.precision)
        covariance[np.ix_(theirs, theirs)] = np.linalg.inv(self.precision)[np.ix_(mine, mine)]
        return Belief(prior.names, mean, np.linalg.inv(covariance))

    def as_json(self) -> dict[str, Any]:
        """Plain values, exact."""
        mean, precision = self.mean.tolist(), self.precision.tolist()
        return {"names": list(self.names), "mean": mean, "precision": precision}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Belief:
        """What `as_json` gave."""
        names = tuple(values["names"])
        return cls(names, np.array(values["mean"]), np.array(values["precision"]))


def _likelihood(
    at: Wide, choices: Sequence[Choice], designs: Sequence[Wide]
) -> tuple[float, Wide, Wide]:
    """Log likelihood, its gradient (P,) and its negative second derivatives (P, P)."""
    value, gradient, curvature = 0.0, np.zeros(len(at)), np.zeros((len(at), len(at)))
    for one, design in zip(choices, designs, strict=True):
        utilities = np.where(one.left, design @ at, -np.inf)
        highest = utilities.max()
        exponents = np.exp(utilities - highest)
        shares = exponents / exponents.sum()
        mean = shares @ design
        value += one.weight * float(utilities[one.taken] - highest - np.log(exponents.sum()))
        gradient += one.weight * (design[one.taken] - mean)
        curvature += one.weight * ((design * shares[:, None]).T @ design - np.outer(mean, mean))
    return value, gradient, curvature


def _most_likely(before: Belief, choices: Sequence[Choice], designs: Sequence[Wide]) -> Wide:
    """The highest posterior density: Newton's steps, halved while they lead down. It is concave,
    so there is one.
    """

    def height(at: Wide) -> float:
        gap = at - before.mean
        return _likelihood(at, choices, designs)[0] - 0.5 * float(gap @ before.precision @ gap)

    at, reached = before.mean, height(before.mean)
    for _ in range(_MAX_STEPS):
        _, gradient, curvature = _likelihood(at, choices, designs)
        slope = gradient - before.precision @ (at - before.mean)
        step = np.linalg.solve(before.precision + curvature, slope)
        while (found := height(at + step)) < reached and np.abs(step).max() > _ENOUGH:
            step = step / 2
        if found <= reached + _ENOUGH:
            return at if found < reached else np.asarray(at + step)
        at, reached = at + step, found
    return np.asarray(at)
