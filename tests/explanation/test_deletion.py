"""The deletion test on models whose reasons are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crossrec.explanation.deletion import deletion
from crossrec.explanation.rescoring import Rescorer
from tests.explanation.whole_model import query, whole_model


def test_named_reasons_carry_the_score_more_than_random_ones() -> None:
    rng = np.random.default_rng(0)
    ordered, random = [], []
    for _ in range(12):
        model, one = whole_model(rng), query(rng, 15, asked=False)
        best = int(model.score(one)[0].argmax())
        found = deletion(model, Rescorer(model), one, best, rng)
        assert found is not None
        ordered.append(found.ordered)
        random.append(found.random)
    assert np.sum(ordered) < 0.7 * np.sum(random)


def test_one_reason_alone_cannot_be_ordered() -> None:
    rng = np.random.default_rng(0)
    model, one = whole_model(rng), query(rng, 1, asked=False)
    one = replace(one, context={})
    assert deletion(model, Rescorer(model), one, 3, rng) is None
