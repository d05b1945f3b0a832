"""What a learner does for a request: weights out of parameters, within bounds, sometimes explored.

Leaves to others: learning the parameters (learner.py), where they are kept (serving/).
Sizes: M arms, D objectives, C context features, P parameters.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrec.domains.spec import MAX_WEIGHT, ContextField
from crossrec.ranking.learner import Belief

Wide = NDArray[np.float64]

N_ARMS = 8
"""The mean of what is believed, and draws of it."""
LEAST_RELEVANCE = 0.2
"""Weights are parameters over that of relevance, which is taken as this at least."""
MAX_FEATURES = 12
"""Context features a learner reads; each is a parameter for every objective."""


@dataclass(frozen=True)
class Feature:
    """One number that a context field gives to the learner, within -1 and 1 or about so."""

    field: str
    kind: str
    """value: 1 where the category is that one; sine and cosine, of a cycle."""
    code: float = 0.0
    """Number of the value, or 2π over the period."""
    label: str = ""

    @property
    def name(self) -> str:
        """`weather=rain`, `hour:sine`."""
        return f"{self.field}={self.label}" if self.kind == "value" else f"{self.field}:{self.kind}"

    def read(self, context: Mapping[str, Any]) -> float:
        """Of a request's context (field → (1,), NaN unknown, see models/context.py)."""
        given = context.get(self.field)
        value = math.nan if given is None else float(np.ravel(given)[0])
        if math.isnan(value):
            return 0.0
        if self.kind == "value":
            return float(value == self.code)
        return math.sin(value * self.code) if self.kind == "sine" else math.cos(value * self.code)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return vars(self)


def features_of(fields: Sequence[ContextField], values: Mapping[str, list[str]]) -> list[Feature]:
    """What a learner reads of a domain's context: cycles, and categories of few values.

    Fields come in the domain's order; one that would bring more than MAX_FEATURES in all is left
    out whole. What restricts candidates says where somebody looks, not what they want, and is no
    feature.

    Args:
        fields: of the domain.
        values: category field → its known values, in the order of their numbers.
    """
    found: list[Feature] = []
    for one in fields:
        new: list[Feature] = []
        if one.kind == "category" and not one.restricts:
            known = enumerate(values.get(one.name, []))
            new = [Feature(one.name, "value", float(code), label) for code, label in known]
        elif one.kind == "cycle" and one.period:
            turn = 2 * math.pi / one.period
            new = [Feature(one.name, kind, turn) for kind in ("sine", "cosine")]
        if len(found) + len(new) <= MAX_FEATURES:
            found += new
    return found


@dataclass(frozen=True)
class Frame:
    """What a domain lets a learner learn: fixed by its YAML and its release."""

    objectives: tuple[str, ...]
    declared: tuple[float, ...]
    """(D,) weights of the YAML; an objective it gives no weight has 0."""
    relevance: float
    """Weight of relevance, which is never learned: it is what others are measured by."""
    within: float
    """Learned weights differ from the declared ones by at most this."""
    features: tuple[Feature, ...] = ()

    def prior(self) -> Belief:
        """Before anything is learned: half of what the bounds allow is a deviation."""
        names = [feature.name for feature in self.features]
        declared = [weight / self.relevance for weight in self.declared]
        return Belief.prior(self.objectives, names, declared, self.within / self.relevance / 2)

    def context(self, given: Mapping[str, Any]) -> Wide:
        """(C,) features of a request."""
        return np.array([feature.read(given) for feature in self.features])

    def weights(self, parameters: Wide, context: Wide) -> dict[str, float]:
        """Objective → weight, within the bounds.

        Args:
            parameters: (P,).
            context: (C,).
        """
        found = self.weights_of_arms(parameters[None], context)[0]
        return dict(zip(self.objectives, found.tolist(), strict=True))

    def weights_of_arms(self, parameters: Wide, context: Wide) -> Wide:
        """(M, D) weights, within the bounds, of parameters (M, P)."""
        n, n_features = len(self.objectives), len(self.features)
        own = parameters[:, 1 : 1 + n]
        crossed = parameters[:, 1 + n : 1 + n + n * n_features]
        crossed = crossed.reshape(len(parameters), n, n_features)
        relevance = np.maximum(parameters[:, :1], LEAST_RELEVANCE)
        low, high = self.bounds()
        return np.clip(self.relevance * (own + crossed @ context) / relevance, low, high)

    def bounds(self) -> tuple[Wide, Wide]:
        """(D,) lowest and highest weights."""
        declared = np.array(self.declared)
        low = np.maximum(declared - self.within, -MAX_WEIGHT)
        return low, np.minimum(declared + self.within, MAX_WEIGHT)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return vars(self) | {"features": [one.as_json() for one in self.features]}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Frame:
        """What `as_json` gave, also after it was written and read."""
        features = tuple(Feature(**one) for one in values["features"])
        objectives, declared = tuple(values["objectives"]), tuple(values["declared"])
        return cls(objectives, declared, values["relevance"], values["within"], features)


@dataclass(frozen=True)
class Drawn:
    """Weights for one request, and how they came to be used."""

    weights: dict[str, float]
    version: int
    arm: int
    propensity: float
    """Probability with which this arm was to be used for this request."""

    @property
    def explored(self) -> bool:
        """Whether a draw was used in the place of the mean."""
        return self.arm > 0

    @property
    def share(self) -> float:
        """Probability with which any one of the other arms was to be used; it may be another by
        the time that the answer is noted.
        """
        return self.propensity if self.explored else (1 - self.propensity) / (N_ARMS - 1)


class Exploration:
    """Who is shown explored weights: by a hash, at most a share of this process's requests.

    The same somebody stays with the same arm for an hour, so that lists do not flicker, and all
    replicas agree. Where many of those asked for fall on explored arms, the bound on the share
    comes first.

    Args:
        share: of requests, at most.
        salt: makes the hash that of one learner.
    """

    def __init__(self, share: float, salt: str) -> None:
        self.share, self.salt = share, salt
        self._n_requests = 0
        self._n_explored = 0

    def arm(self, who: str, hour: int) -> tuple[int, float]:
        """Which arm to use, and the probability with which it was to be used.

        Args:
            who: user id, or request id where nobody is known.
            hour: number of the hour.
        """
        self._n_requests += 1
        if self._n_explored + 1 > self.share * self._n_requests:
            return 0, 1.0  # known before the hash is looked at: the mean was sure
        arm, propensity = self.arm_by_hash(who, hour)
        self._n_explored += arm > 0
        return arm, propensity

    def arm_by_hash(self, who: str, hour: int) -> tuple[int, float]:
        """The same where the bound on the share leaves it be; nothing is counted."""
        text = f"{self.salt}|{hour}|{who}".encode(errors="replace")
        drawn = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") / 2**64
        if drawn >= self.share:
            return 0, 1 - self.share
        return 1 + int(drawn / self.share * (N_ARMS - 1)), self.share / (N_ARMS - 1)


def arms_of(belief: Belief, salt: str) -> Wide:
    """(M, P): the mean of the belief first, then draws of it; the same salt, the same noise."""
    seed = int.from_bytes(hashlib.blake2b(salt.encode(), digest_size=8).digest(), "big")
    noise = np.random.default_rng(seed).standard_normal((N_ARMS - 1, len(belief.mean)))
    return np.concatenate([belief.mean[None], belief.draws(noise)])
