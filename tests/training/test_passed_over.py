"""Items shown and not taken: drawn beside the target, and pushed below it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse

from crossrec.config import Placement
from crossrec.data.batches import queries_for
from crossrec.data.dataset import Dataset
from crossrec.data.split import Cases
from crossrec.errors import ConfigError
from crossrec.models.encoder import TextEncoder
from crossrec.models.losses import choice_cross_entropy
from crossrec.training.loop import Fitted, fit
from crossrec.training.passed_over import DRAWN, drawn_beside
from crossrec.training.prepare import Prepared
from tests.training.small import prepare_city

FP32 = Placement(precision="fp32")
SHOWN = 6


def counts(rows: list[dict[int, int]], n_items: int = 9) -> sparse.csr_array:
    table = np.zeros((len(rows), n_items), np.float32)
    for row, of_row in enumerate(rows):
        for item, count in of_row.items():
            table[row, item] = count
    return sparse.csr_array(table)


def test_draws_are_of_the_row_without_cold_items_and_the_target() -> None:
    known = np.ones(9, bool)
    known[7] = False
    shown = counts([{1: 1}, {}, {3: 1, 4: 1, 7: 1}, {8: 1}])
    rows, targets = np.array([2, 1, 3, 0]), np.array([3, 0, 8, 2])
    places, beside = drawn_beside(shown, rows, targets, known, 0)
    assert places.tolist() == [0, 3]  # of row 3 only the target itself was shown
    assert beside.tolist() == [[4, -1, -1, -1], [1, -1, -1, -1]]


def test_of_many_items_some_are_drawn_and_more_often_those_shown_more_often() -> None:
    shown = counts([{item: 1 + 19 * (item == 8) for item in range(1, 9)}])
    row = np.array([0])
    draws = [drawn_beside(shown, row, row, np.ones(9, bool), seed)[1] for seed in range(200)]
    assert {draw.shape for draw in draws} == {(1, DRAWN)}
    often = np.bincount(np.concatenate(draws).ravel(), minlength=9)
    assert often[0] == 0
    assert often[8] > 3 * often[1:8].max()


def test_the_loss_is_that_of_a_choice_among_the_offered() -> None:
    users, bias = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0, 9.0]])
    vectors = torch.tensor([[[2.0, 5.0], [0.0, 3.0], [4.0, 4.0]]])
    offered = torch.tensor([[True, True, False]])
    loss = choice_cross_entropy(users, vectors, bias, offered, torch.tensor([3.0]))
    assert float(loss) == pytest.approx(3 * np.log(1 + np.exp(1 - 2)), rel=1e-6)


@pytest.fixture(scope="module")
def watched(city: Dataset, tiny: TextEncoder) -> Prepared:
    """The city, where six of the popular places were shown for each choice and passed over."""
    prepared = prepare_city(city, tiny)
    split, rng = prepared.split, np.random.default_rng(0)
    visits = np.bincount(split.sequences.items, minlength=split.sequences.n_items)
    popular = np.argsort(-visits)[:12]
    rows = [dict.fromkeys(rng.permutation(popular)[:SHOWN].tolist(), 1) for _ in split.train]
    shown = counts(rows, split.sequences.n_items)
    return replace(prepared, split=replace(split, passed_over=shown))


def _with_weight(prepared: Prepared, weight: float) -> Prepared:
    training = prepared.config.training.model_copy(update={"passed_over_weight": weight})
    return replace(prepared, config=prepared.config.model_copy(update={"training": training}))


def _above_target(prepared: Prepared, fitted: Fitted) -> float:
    """Share of the items passed over that are scored above what was chosen, on training rows."""
    split = prepared.split
    assert split.passed_over is not None
    rows = np.flatnonzero(split.train)
    users = np.searchsorted(split.sequences.offsets, rows, side="right") - 1
    cases = Cases(users, rows - split.sequences.offsets[users])
    scores = fitted.sequence().score(queries_for(split.sequences, cases, prepared.text.shape[1]))
    chosen = scores[np.arange(len(rows)), split.targets(cases)]
    shown = split.passed_over[rows].toarray() * (scores != chosen[:, None])
    return float(((scores > chosen[:, None]) * shown).sum() / shown.sum())


def test_training_pushes_items_passed_over_below_the_chosen_ones(watched: Prepared) -> None:
    shares = [
        _above_target(of, fit(of, placement=FP32))
        for of in (_with_weight(watched, weight) for weight in (0.0, 1.0))
    ]
    assert shares[1] < 0.8 * shares[0]


def test_without_weight_the_weights_are_those_of_a_training_that_knows_none(
    watched: Prepared,
) -> None:
    ignorant = replace(watched, split=replace(watched.split, passed_over=None))
    states = [
        fit(of, placement=FP32).network.trained_state()
        for of in (_with_weight(watched, 0.0), ignorant)
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_ratings_know_no_choice_among_offers(city: Dataset, tiny: TextEncoder) -> None:
    with pytest.raises(ConfigError, match=r"training\.passed_over_weight=1\.0 does nothing"):
        prepare_city(city, tiny, "task=rate", "training.passed_over_weight=1")


def test_a_source_that_records_none_is_named(
    city: Dataset, tiny: TextEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    prepare_city(city, tiny, "training.passed_over_weight=1")
    assert "does nothing for 'restaurants_sim'" in caplog.text
