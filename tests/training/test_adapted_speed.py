"""The two loops whose speed is compared learn the same: loss and LoRA's gradient of a step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from crossrec.config import Placement
from crossrec.data.dataset import Dataset
from crossrec.models.encoder import TextEncoder
from crossrec.training.loop import Trainer
from crossrec.training.prepare import prepare
from tests.benchmarks import adapted_speed
from tests.benchmarks.adapted_speed import AllLayers, PeftTrainer, Tokens, with_all_texts
from tests.training.small import settings

FP32 = Placement(precision="fp32", use_gpu=False)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSREC_HOME", str(tmp_path))


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("n_layers", [1, 2])
def test_the_trainer_and_the_ordinary_loop_have_the_same_gradient_and_refresh(
    city: Dataset, tiny: TextEncoder, n_layers: int
) -> None:
    config = settings("training.mode=adapted", f"adapter.n_layers={n_layers}")
    prepared = prepare(city, with_all_texts(config), encoder=tiny)
    ours, peer = Trainer(prepared, FP32), PeftTrainer(prepared, FP32)
    generator, losses, lora = torch.Generator(), [], []
    for trainer in (ours, peer):
        lora.append([p for p in trainer.network.texts.parameters() if p.requires_grad])
        generator.manual_seed(0)
        with torch.no_grad():  # B is 0 in a new adapter, and A would have no gradient
            for parameter in lora[-1]:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 4)
        trainer.network.train()
        torch.manual_seed(0)
        rng = np.random.default_rng(0)
        losses.append(trainer.step(*next(trainer.batches(rng)), rng))
    assert len(peer.texts.occurring) > len(np.unique(peer.texts.occurring))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for mine, theirs in zip(*lora, strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        assert float(theirs.grad.norm()) > 1e-5
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-6)
        with torch.no_grad():
            theirs.copy_(mine)
    for trainer in (ours, peer):
        trainer.network.texts.refresh()
    np.testing.assert_allclose(
        ours.network.texts.vectors(), peer.network.texts.vectors(), atol=1e-5
    )


@pytest.mark.usefixtures("home")
def test_an_epoch_is_charged_with_its_share_of_the_cache(
    city: Dataset, tiny: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(city, settings("training.mode=adapted"), encoder=tiny)
    ours, peer = Trainer(prepared, FP32), PeftTrainer(prepared, FP32)
    monkeypatch.setattr(adapted_speed, "quality", lambda ours, peer: "the same quality")
    ours.history = [{"seconds": 1.0}, {"seconds": 3.0}]
    peer.history = [{"seconds": 12.0}, {"seconds": 12.0}]
    row = adapted_speed.row("adapted_speed", "all", ours, peer, cache_s=4.0)
    assert row["ratio"] == 3  # 12 s over 2 s and half of the cache's 4
    assert row["ci95"] == [2.4, 4.0]
    assert row["value"] == round(int(prepared.split.train.sum()) / 4, 1)
    assert "cached once in 4.0 s" in row["protocol"]


def test_a_step_of_the_peer_encodes_every_occurrence_and_its_refresh_each_text_once(
    tiny: TextEncoder,
) -> None:
    tokens = Tokens(tiny, ["a quiet place", "loud music", "a quiet place", ""], 16)
    rows = np.array([0, 1, 0, 2, 3])
    every, once = tokens.every(rows), tokens.batch(rows)
    assert [len(every.tokens), len(once.tokens)] == [5, 3]
    upper = AllLayers(tiny, settings().adapter, seed=0)
    with torch.no_grad():
        torch.testing.assert_close(upper(every), upper(once))
        assert not upper(every)[4].any()
