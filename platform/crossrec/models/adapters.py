"""LoRA on the upper layers of an encoder, through peft: put in, save.

Leaves to others: training over cached lower layers (upper.py), reading and serving many adapters
at once without peft (adapter_files.py, mixed.py).
"""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from crossrec.config import AdapterConfig
from crossrec.errors import EncoderError, suggest
from crossrec.models.adapter_files import write_encoder_file
from crossrec.models.encoder import TextEncoder
from crossrec.models.layers import find_layers, first_upper


def adapted_modules(model: nn.Module, config: AdapterConfig) -> list[str]:
    """Full names of the linear layers that `config` adapts.

    Raises:
        EncoderError: fewer layers than `n_layers`, or a target that is in none of them.
    """
    path, layers = find_layers(model)
    first = first_upper(model, config.n_layers)
    linear = [
        f"{path}.{index}.{name}"
        for index in range(first, len(layers))
        for name, module in layers[index].named_modules()
        if isinstance(module, nn.Linear)
    ]
    for target in config.targets:
        if not any(_is_target(name, target) for name in linear):
            allowed = {name.rsplit(".", 1)[-1] for name in linear}
            raise EncoderError(
                f"adapter.targets has '{target}', which names no linear layer of the encoder: "
                f"{suggest(target, allowed)}"
            )
    return [name for name in linear if any(_is_target(name, t) for t in config.targets)]


def adapt(model: nn.Module, name: str, config: AdapterConfig, seed: int) -> PeftModel:
    """Put LoRA into `model` itself, its A drawn by `seed`; `name` is noted as the base.

    It changes nothing yet (B is 0), and only its weights require gradients.

    Raises:
        EncoderError: `config` does not fit the encoder.
    """
    lora = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=adapted_modules(model, config),
        task_type="FEATURE_EXTRACTION",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapted = get_peft_model(model, lora)
    adapted.peft_config["default"].base_model_name_or_path = name
    return adapted.eval()


def save_adapter(model: PeftModel, encoder: TextEncoder, folder: Path) -> None:
    """Write a PEFT folder that notes its encoder's fingerprint."""
    model.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # an empty form for the Hugging Face hub
    write_encoder_file(folder, encoder)


def _is_target(name: str, target: str) -> bool:
    return name == target or name.endswith("." + target)
