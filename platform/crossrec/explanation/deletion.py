"""The deletion test: a score falls fast if the reasons that are named first really carry it.

Leaves to others: which users are asked, rows and bars (tests/benchmarks/explanations.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossrec.explanation.contributions import explain
from crossrec.explanation.rescoring import Rescorer
from crossrec.explanation.things import Scorer, shortened, things, whole, without
from crossrec.models.query import Queries

Doubles = NDArray[np.float64]
N_RANDOM = 20
"""Random orders that the order of the explanation is compared with."""


@dataclass(frozen=True)
class Deletion:
    """Areas under the curves of one explained item, in units of its score."""

    ordered: float
    """Mean score, less that of the empty query, while things go in the order of their parts,
    largest first: from all of them to none, both ends included."""
    random: float
    """The same, mean of N_RANDOM random orders."""


def deletion(
    model: Scorer, rescorer: Rescorer, query: Queries, item: int, rng: np.random.Generator
) -> Deletion | None:
    """Take away history items and context fields one after another, and score again each time.

    Things are those of the explanation (older history goes as one). None where there are less
    than two, so that no order differs from another. Source: Samek et al. 2017, "Evaluating the
    visualization of what a deep neural network has learned" (there pixels, and no empty query).

    Args:
        query: one row, without a request in words.
        item: item_idx.
    """
    assert not query.request.any()

    def titles(items: list[int]) -> list[str]:
        return [""] * len(items)

    found = things(model, query, whole(query), titles, None)
    if len(found) < 2:
        return None
    [explanation] = explain(model, query, [item], titles, rescorer=rescorer)
    parts = explanation.parts[: len(found)]  # things come first, in their order
    ranked = np.argsort([-part.value for part in parts], kind="stable")
    orders = [ranked, *(rng.permutation(len(found)) for _ in range(N_RANDOM))]
    curves = _curves(rescorer, query, item, orders, model)
    return Deletion(float(curves[0].mean()), float(curves[1:].mean()))


def _curves(
    rescorer: Rescorer,
    query: Queries,
    item: int,
    orders: Sequence[NDArray[np.int64]],
    model: Scorer,
) -> Doubles:
    """(orders, 1 + things): the score while things go, less that of the empty query."""
    full = whole(query)
    found = things(model, query, full, lambda items: [""] * len(items), None)
    rows = [
        without(full, [found[i] for i in order[:n]])
        for order in orders
        for n in range(1 + len(order))
    ]
    parts = rescorer.parts(query, shortened(query, rows), rows, np.array([item]))
    scores = np.sum([part[:, 0] for part in parts.values()], axis=0, dtype=np.float64)
    curves = scores.reshape(len(orders), -1)
    return np.asarray(curves - curves[:, -1:])
