"""What each objective counts in an answer: declared, learned, or said by the request.

score = w_relevance · relevance + unit · Σ_o w_o · standing_o, where relevance is as the model gives
it and unit its spread among the best candidates (scale.py). So a weight of 1 lets the best and the
worst item of an objective differ by 2√3 times what typical candidates differ in relevance.
Leaves to others: the objectives (objectives.py), learning weights (learner.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from crossrec.domains.spec import LIST_WISE, MAX_WEIGHT, Objective
from crossrec.errors import RequestError
from crossrec.ranking.learner_policy import Drawn

Weights = dict[str, float]


class Weigh(Protocol):
    """Gives weights in place of the declared ones: where a learner comes in."""

    @property
    def active(self) -> bool:
        """Whether it gives any now; where not, ranking need not ask."""

    @property
    def objectives(self) -> Sequence[str]:
        """Those whose weights it gives."""

    def draw(self, context: Mapping[str, Any], who: str | None) -> Drawn | None:
        """Weights for one request; None: the declared ones hold.

        Args:
            context: field → what the request comes to, see models/context.py.
            who: user or request id; None: nobody is answered, so nothing is explored.
        """

    def again(
        self, context: Mapping[str, Any], who: str | None, request_id: str | None
    ) -> Drawn | None:
        """Weights of an answer that was given, as far as that is known; nothing is counted.

        Args:
            context: as for `draw`.
            who: to whom it was given; None: that is not known.
            request_id: of the answer; None: that is not known.
        """


Draw = Callable[[Mapping[str, Any]], Drawn | None]
"""Context of a request → the weights for it, as `Weigh.draw`."""


ONLY_RELEVANCE = {"relevance": 1.0}


def declared_weights(objectives: Iterable[Objective]) -> Weights:
    """Those of a domain's YAML that are not 0; relevance counts 1 where it is not declared."""
    found = ONLY_RELEVANCE | {one.name: one.weight for one in objectives}
    return {name: weight for name, weight in found.items() if weight}


def merged(*layers: Mapping[str, float]) -> Weights:
    """Weights of several layers, the later ones before the earlier; 0 takes an objective out.

    Raises:
        RequestError: a weight that is none, or nothing left to rank by.

    >>> merged({"relevance": 1.0, "price": 0.2}, {"price": 0, "novelty": 0.5})
    {'relevance': 1.0, 'novelty': 0.5}
    """
    found: Weights = {}
    for layer in layers:
        found |= layer
    for name, weight in found.items():
        least = 0.0 if name in LIST_WISE else -MAX_WEIGHT
        if not (math.isfinite(weight) and least <= weight <= MAX_WEIGHT):
            raise RequestError(
                f"objective '{name}' got the weight {weight:g}; expected {least:g} to"
                f" {MAX_WEIGHT:g}"
            )
    found = {name: weight for name, weight in found.items() if weight}
    if not found:
        raise RequestError("all objectives have the weight 0; expected one that counts")
    return found
