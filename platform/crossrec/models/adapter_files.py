"""A PEFT folder read and checked without peft, whose import costs 140 MiB and 2 s a process.

Leaves to others: making adapters (adapters.py) and running them (mixed.py).
Format: `adapter_config.json` and `adapter_model.safetensors` as peft 0.21 writes them, and
`encoder.json`, which names the encoder that the adapter belongs to.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from crossrec.errors import EncoderError
from crossrec.models.encoder import TextEncoder

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
ENCODER_FILE = "encoder.json"

_PREFIX = "base_model.model."
_PLAIN: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "use_dora": (False, None),
    "lora_bias": (False, None),
    "fan_in_fan_out": (False, None),
    "alpha_pattern": ({}, None),
    "modules_to_save": ([], None),
}
"""Keys of the PEFT config and the values that plain LoRA has."""


@dataclass(frozen=True)
class LowRank:
    """What an adapter adds to one linear layer: y += x Aᵀ Bᵀ."""

    a: Tensor  # (r, in) float32
    b: Tensor  # (out, r) float32, times the scale alpha / r


def write_encoder_file(folder: Path, encoder: TextEncoder) -> None:
    """Note in an adapter's folder which encoder it belongs to."""
    note = {"name": encoder.name, "fingerprint": encoder.fingerprint}
    (folder / ENCODER_FILE).write_text(json.dumps(note, indent=1), encoding="utf-8")


def check_encoder(folder: Path, encoder: TextEncoder) -> None:
    """Refuse an adapter that was trained on another encoder.

    Raises:
        EncoderError: a file is missing or unreadable, or the fingerprints differ.
    """
    for name in (CONFIG_FILE, WEIGHTS_FILE, ENCODER_FILE):
        if not (folder / name).is_file():
            raise EncoderError(
                f"adapter folder {folder} has no {name}; expected what save_adapter writes "
                f"({CONFIG_FILE}, {WEIGHTS_FILE}, {ENCODER_FILE}): train or publish it again"
            )
    note = _read_json(folder / ENCODER_FILE)
    if note.get("fingerprint") != encoder.fingerprint:
        raise EncoderError(
            f"adapter {folder} was trained on encoder '{note.get('name')}' "
            f"({str(note.get('fingerprint'))[:12]}), but '{encoder.name}' "
            f"({encoder.fingerprint[:12]}) is loaded; load that encoder or train the adapter again"
        )


def read_adapter(folder: Path, encoder: TextEncoder) -> dict[str, LowRank]:
    """Module name → what the adapter adds to it, in float32 on the CPU.

    Raises:
        EncoderError: a file is missing or damaged, the adapter belongs to another encoder, does
            not fit its layers, or is more than plain LoRA.
    """
    check_encoder(folder, encoder)
    config = _read_json(folder / CONFIG_FILE)
    for key, plain in _PLAIN.items():
        if key in config and config[key] not in plain:
            raise EncoderError(
                f"adapter {folder} has {key}={config[key]!r} in {CONFIG_FILE}; "
                f"only plain LoRA can be served ({key}={plain[0]!r})"
            )
    try:
        tensors = load_file(folder / WEIGHTS_FILE)
    except (SafetensorError, OSError) as err:
        raise EncoderError(
            f"{folder / WEIGHTS_FILE} is damaged ({err}); publish the release again"
        ) from err
    return _pairs(tensors, config, encoder, folder)


def _pairs(
    tensors: dict[str, Tensor], config: dict[str, Any], encoder: TextEncoder, folder: Path
) -> dict[str, LowRank]:
    """Match the A and B of each module and check them against the encoder's layer."""
    shapes = {
        name: tuple(module.weight.shape)
        for name, module in encoder.model.named_modules()
        if isinstance(module, nn.Linear)
    }
    result: dict[str, LowRank] = {}
    for key in [k for k in tensors if k.endswith(".lora_A.weight")]:
        module = key.removeprefix(_PREFIX).removesuffix(".lora_A.weight")
        a, b = tensors[key].float(), tensors.get(key.replace(".lora_A.", ".lora_B."))
        if b is None or len(a) != b.shape[1] or shapes.get(module) != (len(b), a.shape[1]):
            raise EncoderError(
                f"adapter {folder} does not fit encoder '{encoder.name}' at {module}: A is "
                f"{tuple(a.shape)}, B is {None if b is None else tuple(b.shape)}, "
                f"the layer is {shapes.get(module)}; train the adapter again"
            )
        divisor = math.sqrt(len(a)) if config.get("use_rslora") else len(a)
        result[module] = LowRank(a, b.float() * (float(config["lora_alpha"]) / divisor))
    if not result or len(tensors) != 2 * len(result):
        raise EncoderError(
            f"{folder / WEIGHTS_FILE} holds {len(tensors)} tensors, {len(result)} pairs of LoRA "
            "matrices among them; expected pairs and nothing else"
        )
    return result


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, OSError) as err:
        raise EncoderError(f"{path} is not readable JSON ({err}); publish it again") from err
