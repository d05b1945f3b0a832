"""The loss of a batch: what weighs how much."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossrec.config import Placement
from crossrec.data.dataset import Dataset
from crossrec.models.encoder import TextEncoder
from crossrec.training.network import Network
from tests.training.small import prepare_city


def network_of(city: Dataset, tiny: TextEncoder, setting: str) -> Network:
    prepared = prepare_city(city, tiny, setting)
    torch.manual_seed(0)
    return Network(prepared, Placement(precision="fp32")).eval()


def losses(network: Network) -> list[float]:
    """Of the first targets of ten users, each alone."""
    rows = network.prepared.split.sequences.offsets[:10]
    one = np.ones((1, 1), bool)
    items = np.empty(0, np.int64)
    return [
        float(network.loss(np.array([[row]]), one, np.ones((1, 1)), items, 0).detach())
        for row in rows
    ]


def test_a_rare_target_counts_more_by_the_power_of_its_count(
    city: Dataset, tiny: TextEncoder
) -> None:
    network = network_of(city, tiny, "training.rarity_weight=0")
    plain = losses(network)
    weighted = losses(network_of(city, tiny, "training.rarity_weight=0.5"))
    split = network.prepared.split
    counts = np.bincount(split.sequences.items[split.train], minlength=split.sequences.n_items)
    targets = split.sequences.items[split.sequences.offsets[:10]]
    of_counts = np.sqrt(counts[targets] / counts[targets[0]])
    ratio = np.array(weighted) / np.array(plain)
    assert ratio * of_counts == pytest.approx(np.full(10, ratio[0]), rel=1e-4)
    assert len(set(counts[targets])) > 1


def test_the_popularity_that_is_corrected_for_is_in_the_loss_and_not_in_the_score(
    city: Dataset, tiny: TextEncoder
) -> None:
    plain = network_of(city, tiny, "training.popularity_correction=0")
    corrected = network_of(city, tiny, "training.popularity_correction=0.5")
    np.testing.assert_array_equal(plain.export().bias, corrected.export().bias)
    split = plain.prepared.split
    counts = np.bincount(split.sequences.items[split.train], minlength=split.sequences.n_items)
    with torch.no_grad():
        plain.bias += 0.5 * torch.log(torch.from_numpy(counts).clamp(min=1))
    assert losses(corrected) == pytest.approx(losses(plain), rel=1e-5)
