"""LoRA through peft: what is adapted, seeds, saved folders, clear refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from crossrec.config import AdapterConfig
from crossrec.errors import EncoderError
from crossrec.models.adapters import adapted_modules, save_adapter
from crossrec.models.encoder import TextEncoder
from tests.models.lora import attach_adapter, load_adapter, peft_vectors, random_adapter


def trainable(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def test_only_the_targets_of_the_upper_layers_are_adapted(minilm: TextEncoder) -> None:
    config = AdapterConfig(n_layers=2, targets=["query", "value"])
    assert adapted_modules(minilm.model, config) == [
        f"encoder.layer.{layer}.attention.self.{target}"
        for layer in (4, 5)
        for target in ("query", "value")
    ]
    model = attach_adapter(minilm, config, seed=0)
    # 2 layers x 2 targets x (A and B of 8 x 384)
    assert sum(p.numel() for p in trainable(model).values()) == 2 * 2 * 2 * 8 * 384


def test_a_new_adapter_changes_no_vector_and_leaves_the_encoder_alone(tiny: TextEncoder) -> None:
    before = tiny.encode(["rain", "sushi"])
    names = [name for name, _ in tiny.model.named_parameters()]
    model = attach_adapter(tiny, AdapterConfig(), seed=0)
    base = [p for n, p in model.named_parameters() if "lora" not in n]
    assert [n for n, _ in tiny.model.named_parameters()] == names
    assert {id(p) for p in base} == {id(p) for p in tiny.model.parameters()}  # shared, not copied
    np.testing.assert_array_equal(tiny.encode(["rain", "sushi"]), before)


def test_equal_seeds_give_equal_adapters_and_disturb_no_other_randomness(
    tiny: TextEncoder,
) -> None:
    state = torch.get_rng_state()
    one, two, other = (trainable(attach_adapter(tiny, AdapterConfig(), s)) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_saved_adapters_come_back_and_folders_hold_nothing_else(
    tiny: TextEncoder, tmp_path: Path
) -> None:
    folder = random_adapter(tiny, tmp_path / "adapter", AdapterConfig(rank=3), seed=5)
    files = {path.name for path in folder.iterdir()}
    assert files == {"adapter_config.json", "adapter_model.safetensors", "encoder.json"}
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == (
        tiny.name
    )
    loaded = load_adapter(tiny, folder)
    save_adapter(loaded, tiny, tmp_path / "again")
    np.testing.assert_array_equal(
        peft_vectors(tiny, folder, ["rain"]), peft_vectors(tiny, tmp_path / "again", ["rain"])
    )
    assert np.abs(peft_vectors(tiny, folder, ["rain"]) - tiny.encode(["rain"])).max() > 1e-3


def test_a_misspelt_target_names_near_ones(tiny: TextEncoder) -> None:
    with pytest.raises(EncoderError, match=r"'querry'.*did you mean 'query'"):
        adapted_modules(tiny.model, AdapterConfig(targets=["querry"]))


def test_more_layers_than_there_are_is_refused(tiny: TextEncoder) -> None:
    with pytest.raises(EncoderError, match=r"n_layers is 4, but the encoder has 3 .*1 to 3"):
        adapted_modules(tiny.model, AdapterConfig(n_layers=4))
