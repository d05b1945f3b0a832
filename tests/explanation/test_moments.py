"""Mean and variance of any score that is linear in the items' vectors."""

from __future__ import annotations

import numpy as np
import pytest

from crossrec.explanation.moments import MOMENT_ROWS, Moments


@pytest.fixture(params=[1, 2, 7])
def vectors(request: pytest.FixtureRequest) -> np.ndarray:
    """More of them than are read at once, of even and of odd width."""
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(request.param, request.param))
    return (rng.normal(size=(MOMENT_ROWS + 50, request.param)) @ mixed + 1).astype(np.float32)


def test_they_are_those_of_all_scores(vectors: np.ndarray) -> None:
    c = np.random.default_rng(1).normal(size=(5, vectors.shape[1])).astype(np.float32)
    mean, variance = Moments.of(vectors.__getitem__, len(vectors)).at(c)
    scores = c.astype(np.float64) @ vectors.T
    np.testing.assert_allclose(mean, scores.mean(axis=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(variance, scores.var(axis=1), rtol=1e-3, atol=1e-5)


def test_the_covariance_is_whole_and_symmetric(vectors: np.ndarray) -> None:
    covariance = Moments.of(vectors.__getitem__, len(vectors)).covariance
    width = vectors.shape[1]
    expected = np.cov(vectors.T.astype(np.float64), bias=True).reshape(width, width)
    np.testing.assert_allclose(covariance, expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(covariance, covariance.T)


def test_items_may_go_and_others_come(vectors: np.ndarray) -> None:
    before = Moments.of(vectors.__getitem__, len(vectors))
    come = -vectors[:20]
    changed = before.changed(len(vectors), vectors[:30], come)
    after = np.concatenate([vectors[30:], come])
    anew = Moments.of(after.__getitem__, len(after))
    np.testing.assert_allclose(changed.mean, anew.mean, atol=1e-5)
    np.testing.assert_allclose(changed.covariance, anew.covariance, rtol=1e-3, atol=1e-4)
