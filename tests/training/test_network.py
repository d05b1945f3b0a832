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


def losses(city: Dataset, tiny: TextEncoder, power: float) -> tuple[Network, list[float]]:
    """Of the first targets of ten users, each alone, with the same weights."""
    prepared = prepare_city(city, tiny, f"training.rarity_weight={power}")
    torch.manual_seed(0)
    network = Network(prepared, Placement(precision="fp32")).eval()
    rows = prepared.split.sequences.offsets[:10]
    one = np.ones((1, 1), bool)
    items = np.empty(0, np.int64)
    return network, [
        float(network.loss(np.array([[row]]), one, np.ones((1, 1)), items, 0).detach())
        for row in rows
    ]


def test_a_rare_target_counts_more_by_the_power_of_its_count(
    city: Dataset, tiny: TextEncoder
) -> None:
    network, plain = losses(city, tiny, 0.0)
    _, weighted = losses(city, tiny, 0.5)
    split = network.prepared.split
    counts = np.bincount(split.sequences.items[split.train], minlength=split.sequences.n_items)
    targets = split.sequences.items[split.sequences.offsets[:10]]
    of_counts = np.sqrt(counts[targets] / counts[targets[0]])
    ratio = np.array(weighted) / np.array(plain)
    assert ratio * of_counts == pytest.approx(np.full(10, ratio[0]), rel=1e-4)
    assert len(set(counts[targets])) > 1
