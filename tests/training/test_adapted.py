"""Texts that train along: items and what people said get gradients, and move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from crossrec.config import Placement
from crossrec.data.dataset import Dataset
from crossrec.models.encoder import TextEncoder
from crossrec.training.adapted import AdaptedTexts
from crossrec.training.loop import fit
from crossrec.training.network import Network
from crossrec.training.prepare import Prepared, prepare
from tests.training.small import settings
from tests.training.test_assemble import requests_dataset

FP32 = Placement(precision="fp32")
NO_ITEMS = np.empty(0, np.int64)


@pytest.fixture
def asked(city: Dataset, tiny: TextEncoder, tmp_path: Path) -> Prepared:
    dataset = requests_dataset(tmp_path / "asked", city)
    return prepare(
        dataset, settings("training.mode=adapted", "training.max_epochs=2"), encoder=tiny
    )


def step(network: Network, requests: np.ndarray | None) -> tuple[float, float]:
    """Loss of the first three training rows, and the length of LoRA's gradient."""
    rows = np.flatnonzero(network.prepared.split.train)[:3, None]
    real = np.ones(rows.shape, bool)
    loss = network.loss(rows, real, np.full(rows.shape, 0.5), NO_ITEMS, 0, requests)
    loss.backward()
    network.texts.backward()
    grads = [p.grad for n, p in network.named_parameters() if "lora" in n and p.grad is not None]
    return float(loss.detach()), float(sum(g.norm() for g in grads))


def test_what_people_said_carries_gradients_into_lora(asked: Prepared) -> None:
    torch.manual_seed(0)
    network = Network(asked, FP32)
    network.train()
    rows = np.flatnonzero(asked.split.train)[:3]
    _, with_requests = step(network, asked.wish_of_row[rows])
    network.zero_grad(set_to_none=True)
    network.texts.remember()
    _, without = step(network, None)
    assert with_requests > 1e-6
    assert without == 0  # no item was drawn either


def test_a_step_knows_the_requests_it_encoded_by_their_own_vectors(asked: Prepared) -> None:
    texts = AdaptedTexts(asked, torch.device("cpu"))
    texts.train()
    rows = np.flatnonzero(asked.split.train)[:4].reshape(2, 2)
    wanted = np.array([[True, True], [True, False]])
    frozen = super(AdaptedTexts, texts).wishes(rows, wanted)
    drawn = asked.wish_of_row[rows[0]]
    texts.table(NO_ITEMS, torch.Generator(), drawn)
    # a fresh adapter changes nothing, so the vectors encoded anew are the frozen ones
    fresh = texts.wishes(rows, wanted)
    torch.testing.assert_close(fresh, frozen, atol=1e-3, rtol=0)
    assert fresh[0].requires_grad
    assert not fresh[1, 1].any()  # not wanted
    with torch.no_grad():
        texts._fresh += 1.0
    moved = texts.wishes(rows, wanted).detach() - frozen
    assert float(moved[0].mean()) == pytest.approx(1, abs=1e-3)
    assert moved[1].abs().max() < 1e-3  # another request than those drawn
    texts.remember()
    kept = super(AdaptedTexts, texts).wishes(rows, wanted) - frozen
    assert float(kept[0].mean()) == pytest.approx(1, abs=1e-3)
    assert kept[1].abs().max() < 1e-3


def test_at_the_end_all_requests_are_those_of_the_best_adapter(asked: Prepared) -> None:
    fitted = fit(asked, placement=FP32)
    texts = fitted.network.texts
    before = texts.wish_vectors().copy()
    assert np.abs(before - asked.wish_vectors).max() > 1e-4
    texts.refresh()
    np.testing.assert_array_equal(texts.wish_vectors(), before)
