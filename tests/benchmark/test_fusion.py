"""The fusion of peers: what it makes of scores, and that its weights are found."""

from __future__ import annotations

import numpy as np
import pytest

from crossrec.benchmark.fusion import finite_z, fused, tune_weights
from crossrec.data.split import Split
from crossrec.evaluation.protocols import ScoreCases, judge_cases
from crossrec.models.query import Queries


def test_what_a_model_cannot_score_stands_at_its_lowest_score():
    z = finite_z(np.array([[3.0, 1.0, -np.inf, np.nan]], np.float32))
    assert z[0, 2] == z[0, 3] == z[0, 1]
    assert z.mean() == pytest.approx(0, abs=1e-6)
    assert not finite_z(np.full((1, 3), -np.inf, np.float32)).any()


def signals(split: Split) -> list[ScoreCases]:
    """One that knows the ring, one that knows the place in it, and noise."""
    n_items = split.sequences.n_items
    ids = np.arange(n_items)

    def ring(rows: np.ndarray, queries: Queries) -> np.ndarray:
        return (ids[None, :] // 10 == queries.items[:, -1:] // 10).astype(np.float32)

    def place(rows: np.ndarray, queries: Queries) -> np.ndarray:
        return (ids[None, :] % 10 == (queries.items[:, -1:] + 1) % 10).astype(np.float32)

    def noise(rows: np.ndarray, queries: Queries) -> np.ndarray:
        return np.random.default_rng(int(rows[0])).normal(size=(len(rows), n_items)).astype("f4")

    return [ring, place, noise]


def test_weights_make_two_half_answers_one(rings: Split):
    parts = signals(rings)
    weights, about = tune_weights(parts, rings)
    alone = [judge_cases(part, rings, "validation").mean("ndcg@10") for part in parts]
    together = judge_cases(fused(parts, weights), rings, "validation").mean("ndcg@10")
    assert together == pytest.approx(1.0)
    assert together > max(alone) + 0.2
    assert about["n_tuning_cases"] == len(rings.validation)
    assert abs(weights[2]) < min(weights[0], weights[1])
