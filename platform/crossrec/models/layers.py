"""An encoder's layers apart: copies that share weights, and runs of only some of the layers.

Leaves to others: LoRA itself (adapters.py, mixed.py) and the cache of activations (upper.py).
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from crossrec.errors import EncoderError


def shared_copy(model: nn.Module) -> nn.Module:
    """A copy whose modules may be wrapped and replaced, over the same weights in memory."""
    memo = {id(t): t for t in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, memo)


def find_layers(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """Name and list of the encoder's layers.

    Raises:
        EncoderError: the encoder keeps no plain list of layers (one layer used many times).
    """
    n_layers = getattr(model.config, "num_hidden_layers", None)
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == n_layers:
            return name, module
    raise EncoderError(
        f"{type(model).__name__} has no list of {n_layers} layers, so LoRA on its upper layers is "
        "not possible; use training.mode=frozen or another encoder"
    )


def first_upper(model: nn.Module, n_upper: int) -> int:
    """Index of the lowest of the `n_upper` upper layers.

    Raises:
        EncoderError: the encoder has fewer layers.
    """
    n_layers = len(find_layers(model)[1])
    if n_upper > n_layers:
        raise EncoderError(
            f"adapter.n_layers is {n_upper}, but the encoder has {n_layers} layers; "
            f"choose 1 to {n_layers}"
        )
    return n_layers - n_upper


class Skip(nn.Module):
    """Stands where a layer was and hands its input on, in the form in which the layer would."""

    def __init__(self, layer: nn.Module, n_outputs: int | None) -> None:
        super().__init__()
        self.n_outputs = n_outputs
        """None: layers return a tensor; else a tuple this long, whose first is the tensor."""
        self._layer = (layer,)  # in a tuple, where nn.Module does not look for parameters

    def __getattr__(self, name: str) -> Any:
        """What the model asks its layers for (ModernBERT: `attention_type`)."""
        if name.startswith("_"):
            return super().__getattr__(name)
        return getattr(self._layer[0], name)

    def forward(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor | tuple[Any, ...]:
        """`hidden` as it came."""
        if self.n_outputs is None:
            return hidden
        return (hidden, *[None] * (self.n_outputs - 1))


def skip_layers(model: nn.Module, start: int, stop: int) -> nn.Module:
    """A copy over the same weights in which layers `start` to `stop` (not included) do nothing."""
    result = shared_copy(model)
    layers = find_layers(result)[1]
    n_outputs = _n_outputs(model)
    for index in range(start, stop):
        layers[index] = Skip(layers[index], n_outputs)
    return result


def _n_outputs(model: nn.Module) -> int | None:
    """How the layers hand on: None for a tensor, else the length of the tuple."""
    seen: list[int | None] = []

    def look(module: nn.Module, args: Any, output: Any) -> None:
        seen.append(len(output) if isinstance(output, tuple) else None)

    handle = find_layers(model)[1][0].register_forward_hook(look)
    device = next(model.parameters()).device
    ones = torch.ones(1, 2, dtype=torch.long, device=device)
    with torch.inference_mode():
        model(input_ids=ones, attention_mask=ones)
    handle.remove()
    return seen[0]
