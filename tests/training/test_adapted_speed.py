"""The two loops whose speed is compared learn the same: loss and LoRA's gradient of a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossrec.config import AdapterConfig
from crossrec.models.encoder import TextEncoder
from tests.benchmarks.adapted_speed import Batch, two_sides

TEXTS = ["a quiet place", "music, loud music", "fish", "tea and books by the river", "an old bar"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSREC_HOME", str(tmp_path))


@pytest.mark.parametrize("n_layers", [1, 2])
def test_adapted_training_and_the_ordinary_loop_have_the_same_gradient(
    home, tiny: TextEncoder, n_layers: int
) -> None:
    config = AdapterConfig(rank=2, n_layers=n_layers)
    ours, peer = two_sides(tiny, TEXTS, config, tokens=32, length=4)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # B is 0 in a new adapter, and A would have no gradient
        for mine, theirs in zip(ours.lora, peer.lora, strict=True):
            assert mine.shape == theirs.shape
            mine.copy_(torch.randn(mine.shape, generator=generator) / 4)
            theirs.copy_(mine)
    real = np.array([[False, True, True, True], [True, True, True, True]])
    batch = Batch(np.array([0, 3, 1, 2, 0, 4, 0]), real)
    assert ours.gradients(batch) == pytest.approx(peer.gradients(batch), rel=1e-5)
    for mine, theirs in zip(ours.lora, peer.lora, strict=True):
        assert theirs.grad is not None
        assert float(theirs.grad.norm()) > 1e-5
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-6)
