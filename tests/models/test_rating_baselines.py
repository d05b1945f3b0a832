"""Biases against least squares solved as a whole."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from crossrec.models.rating_baselines import PULLS, Biases, tune_biases
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


def test_tuned_biases_have_the_best_pulls_and_know_the_validation_ratings() -> None:
    split = rated()
    rows = split.sequences.target_rows(split.validation)
    given = split.sequences.ratings[rows]

    def error(pulls: tuple[float, float]) -> float:
        predicted = Biases.fit(split, *pulls).predict(split, split.validation)
        return float(((predicted - given) ** 2).mean())

    best = min(itertools.product(PULLS, PULLS), key=error)
    known = split.train.copy()
    known[rows] = True
    expected = Biases.fit(replace(split, train=known), *best)
    found = tune_biases(split)
    assert found.mean == expected.mean != Biases.fit(split, *best).mean
    np.testing.assert_array_equal(found.users, expected.users)
    np.testing.assert_array_equal(found.items, expected.items)
