"""Adapters through peft: with random weights that are not zero, and as the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from peft import PeftModel

from crossrec.config import AdapterConfig
from crossrec.models.adapters import adapt, save_adapter
from crossrec.models.encoder import TextEncoder, Vectors
from crossrec.models.layers import shared_copy
from crossrec.models.passes import mean_pool, pad


def attach_adapter(encoder: TextEncoder, config: AdapterConfig, seed: int) -> PeftModel:
    """A copy of the encoder, which shares its weights, with a new adapter."""
    return adapt(shared_copy(encoder.model), encoder.name, config, seed)


def load_adapter(encoder: TextEncoder, folder: Path) -> PeftModel:
    """The same with a saved adapter."""
    return PeftModel.from_pretrained(shared_copy(encoder.model), str(folder)).eval()


def random_adapter(
    encoder: TextEncoder, folder: Path, config: AdapterConfig, seed: int, size: float = 0.1
) -> Path:
    """Save an adapter whose B is drawn too, so that it changes every vector."""
    model = attach_adapter(encoder, config, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * size)
    save_adapter(model, encoder, folder)
    return folder


def peft_vectors(encoder: TextEncoder, folder: Path | None, texts: list[str]) -> Vectors:
    """What peft itself gives for each text alone: the reference."""
    if folder is None:
        return np.concatenate([encoder.encode([text]) for text in texts])
    model = load_adapter(encoder, folder)
    vectors = []
    for tokens in encoder.tokenize(texts, 64):
        ids, mask = pad([tokens])
        with torch.inference_mode():
            output = model(input_ids=ids, attention_mask=mask)
        vectors.append(mean_pool(output.last_hidden_state, mask).numpy())
    return np.concatenate(vectors)
