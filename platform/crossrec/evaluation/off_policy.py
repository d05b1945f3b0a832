"""What a policy would have earned, judged on the log of another one that wrote its propensities.

Leaves to others: where logs come from (logged.py: recorded exposures; serving/learning_judge.py:
our own answers). Sizes: n rounds, A actions, B bootstrap samples.

Notation: reward r_i of the action a_i that was shown with probability p_i; π(a | x_i) the policy
judged; w_i = π(a_i | x_i) / p_i; q(x_i, a) a model of rewards, fitted on other rounds.

- Direct method: mean of Σ_a π(a | x_i) q(x_i, a). As good as the model.
- Inverse propensity (Horvitz & Thompson 1952): mean of w_i r_i. Unbiased, varies with the weights.
- Self-normalised (Swaminathan & Joachims, NeurIPS 2015): Σ w_i r_i / Σ w_i. Nearly unbiased.
- Doubly robust (Dudík, Langford & Li, ICML 2011): mean of Σ_a π(a | x_i) q(x_i, a)
  + w_i (r_i - q(x_i, a_i)). Unbiased with right propensities whatever the model, and steadier.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossrec.errors import DataError

Wide = NDArray[np.float64]
Ints = NDArray[np.int64]

N_SAMPLES = 2000
CONFIDENCE = 0.95
_CHUNK = 50
"""Bootstrap samples drawn at a time, so that memory stays flat."""


@dataclass(frozen=True)
class Rounds:
    """A log, with what the policy to be judged would have done."""

    reward: Wide  # (n,)
    propensity: Wide
    """(n,) of the logged action, under the policy that logged it; above 0."""
    chance: Wide
    """(n,) π of the logged action, under the policy that is judged."""
    model_logged: Wide
    """(n,) q of the logged action."""
    model_policy: Wide
    """(n,) Σ_a π(a) q(a)."""
    cluster: Ints | None = None
    """(n,) rounds of one number stand or fall together in the bootstrap (positions of one
    answer, answers to one user); None: each stands for itself."""

    def __post_init__(self) -> None:
        """Check that it can be judged.

        Raises:
            DataError: no rounds, a propensity that is none, or arrays of several lengths.
        """
        if not len(self.reward):
            raise DataError("there are no logged rounds to judge a policy on")
        arrays = (self.propensity, self.chance, self.model_logged, self.model_policy)
        if any(len(one) != len(self.reward) for one in arrays):
            raise DataError("rewards, propensities and chances are not of the same rounds")
        if not ((self.propensity > 0) & (self.propensity <= 1)).all():
            raise DataError("a propensity is not within 0 and 1; a log has to say how likely it"
                            " was to show what it showed")  # fmt: skip
        if not (np.isfinite(self.chance).all() and (self.chance >= 0).all()):
            raise DataError("a policy gives a chance below 0, or none")

    @property
    def ratio(self) -> Wide:
        """(n,) w: how much likelier the judged policy is to show what was shown."""
        return self.chance / self.propensity


@dataclass(frozen=True)
class Estimate:
    """What a policy would have earned a round."""

    name: str
    value: float
    low: float
    """Of the interval."""
    high: float


@dataclass(frozen=True)
class Judgement:
    """All estimates of one policy."""

    estimates: list[Estimate]
    n: int
    effective_n: float
    """(Σ w)² / Σ w² (Kish 1965): as many rounds of the policy's own would tell as much."""
    coverage: float
    """Mean of w: 1 where the log could show all that the policy would; well below it where it
    could not, and then none of the figures but the direct method's holds."""


def direct(rounds: Rounds, weight: Wide) -> float:
    """Direct method; `weight` (n,) counts the rounds.

    >>> one = np.ones(2)
    >>> rounds = Rounds(np.array([1.0, 0.0]), one / 2, one, one / 4, one / 4)
    >>> direct(rounds, one), inverse_propensity(rounds, one), self_normalised(rounds, one)
    (0.25, 1.0, 0.5)
    """
    return float(weight @ rounds.model_policy / weight.sum())


def inverse_propensity(rounds: Rounds, weight: Wide) -> float:
    """Inverse propensity weighting."""
    return float(weight @ (rounds.ratio * rounds.reward) / weight.sum())


def self_normalised(rounds: Rounds, weight: Wide) -> float:
    """Self-normalised inverse propensity; 0 where the policy shows nothing that was logged."""
    total = float(weight @ rounds.ratio)
    return float(weight @ (rounds.ratio * rounds.reward)) / total if total else 0.0


def doubly_robust(rounds: Rounds, weight: Wide) -> float:
    """Doubly robust."""
    rest = rounds.ratio * (rounds.reward - rounds.model_logged)
    return float(weight @ (rounds.model_policy + rest) / weight.sum())


ESTIMATORS: dict[str, Callable[[Rounds, Wide], float]] = {
    "direct": direct,
    "inverse propensity": inverse_propensity,
    "self-normalised": self_normalised,
    "doubly robust": doubly_robust,
}


def judge(rounds: Rounds, seed: int = 0, n_samples: int = N_SAMPLES) -> Judgement:
    """All estimates, with percentile intervals of 95 % from a bootstrap of clusters.

    Rewards are rare and weights are skew, so intervals come from resampling and not from a
    normal curve (Efron & Tibshirani 1993, chapter 13); the same samples for all estimators.
    """
    ones = np.ones(len(rounds.reward))
    samples: dict[str, list[float]] = {name: [] for name in ESTIMATORS}
    rng = np.random.default_rng(seed)
    cluster = np.arange(len(ones)) if rounds.cluster is None else _numbered(rounds.cluster)
    n_clusters = int(cluster.max()) + 1
    for start in range(0, n_samples, _CHUNK):
        size = (min(_CHUNK, n_samples - start), n_clusters)
        for drawn in rng.integers(n_clusters, size=size):
            weight = np.bincount(drawn, minlength=n_clusters)[cluster].astype(np.float64)
            for name, estimator in ESTIMATORS.items():
                samples[name].append(estimator(rounds, weight))
    tail = (1 - CONFIDENCE) / 2
    estimates = []
    for name, estimator in ESTIMATORS.items():
        low, high = np.quantile(samples[name], [tail, 1 - tail])
        estimates.append(Estimate(name, estimator(rounds, ones), float(low), float(high)))
    ratio = rounds.ratio
    squares = float((ratio**2).sum())
    effective = float(ratio.sum()) ** 2 / squares if squares else 0.0
    return Judgement(estimates, len(ones), effective, float(ratio.mean()))


def _numbered(cluster: Ints) -> Ints:
    return np.asarray(np.unique(cluster, return_inverse=True)[1], np.int64)
