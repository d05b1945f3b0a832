"""Whether the reasons of a whole release hold: the deletion test over users of its test cases.

Leaves to others: the test on one explained item (deletion.py), keeping it (evaluation/saved.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from crossrec.data.batches import queries_for
from crossrec.data.split import Split
from crossrec.evaluation.metrics import candidates
from crossrec.explanation.deletion import deletion
from crossrec.explanation.rescoring import Rescorer
from crossrec.models.domain_model import DomainModel

N_DRAWS = 1000


def deletion_test(
    model: DomainModel, split: Split, n_users: int, request_dim: int
) -> dict[str, Any] | None:
    """Area under the score curve in the explanations' order, over that of random orders.

    The first item of each list; users, drawn by a fixed seed, of whom less than two things are
    known have no order and are left out; None where that is everybody.

    Args:
        request_dim: width of the (empty) request vectors that the model is given.

    Returns:
        ratio (smaller is better, 1: no better than random), ci95 (over users), n.
    """
    rng, cases = np.random.default_rng(0), split.test
    rescorer, areas = Rescorer(model), []
    for row in np.sort(rng.choice(len(cases), min(n_users, len(cases)), replace=False)):
        query = queries_for(split.sequences, cases.take(np.array([row])), request_dim)
        scores = candidates(model.score(query), query.items)[0]
        found = deletion(model, rescorer, query, int(np.nanargmax(scores)), rng)
        if found is not None:
            areas.append((found.ordered, found.random))
    if not areas:
        return None
    pairs = np.array(areas)
    draws = rng.integers(len(pairs), size=(N_DRAWS, len(pairs)))
    ratios = pairs[draws, 0].sum(axis=1) / pairs[draws, 1].sum(axis=1)
    ordered, random = pairs.mean(axis=0)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return {"ratio": float(ordered / random), "ci95": [float(low), float(high)], "n": len(pairs)}
