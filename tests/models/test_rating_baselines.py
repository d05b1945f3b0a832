"""Biases against least squares solved as a whole."""

from __future__ import annotations

import numpy as np
import pytest

from crossrec.data.split import Cases
from crossrec.models.rating_baselines import Biases, tune_biases
from tests.training.test_rating_fit import rated


def test_biases_are_the_ridge_solution() -> None:
    split = rated()
    sequences = split.sequences
    rows = np.flatnonzero(split.train)
    users = np.searchsorted(sequences.offsets, rows, side="right") - 1
    ratings = sequences.ratings[rows].astype(float)
    design = np.zeros((len(rows), sequences.n_users + sequences.n_items))
    design[np.arange(len(rows)), users] = 1
    design[np.arange(len(rows)), sequences.n_users + sequences.items[rows]] = 1
    pulls = np.repeat([4.0, 2.0], [sequences.n_users, sequences.n_items])
    exact = np.linalg.solve(
        design.T @ design + np.diag(pulls), design.T @ (ratings - ratings.mean())
    )
    found = Biases.fit(split, 4.0, 2.0)
    assert found.mean == pytest.approx(ratings.mean())
    np.testing.assert_allclose(np.r_[found.users, found.items], exact, atol=1e-3)


def test_tuning_takes_the_pulls_that_validation_likes_best() -> None:
    split = rated()

    def error(one: Biases) -> float:
        cases: Cases = split.validation
        given = split.sequences.ratings[split.sequences.target_rows(cases)]
        return float(((one.predict(split, cases) - given) ** 2).mean())

    best = error(tune_biases(split))
    assert best <= min(error(Biases.fit(split, pull, pull)) for pull in (1.0, 5.0, 40.0))
