"""Train an adapter at the price of the upper layers: what enters them is computed once.

A text's activations below the first adapted layer never change, so they are computed once,
kept in a memory-mapped file under `<home>/cache`, and only the adapted layers run in a step.
Leaves to others: the loop and its loss (training/).
Sizes: n texts asked for, M unique texts, T tokens, E dimensions of the encoder.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crossrec.config import AdapterConfig, home
from crossrec.errors import EncoderError
from crossrec.models.adapters import adapt, save_adapter
from crossrec.models.encoder import PROBES, TextEncoder, track, unique_texts
from crossrec.models.layers import find_layers, first_upper, skip_layers
from crossrec.models.passes import BATCH_TOKENS, length_batches, mean_pool, pad

GPU_BATCH_TOKENS = 8192
"""Of one part; a CPU falls out of its cache there (128 texts, 2 layers: .56 s, at 2,048 .43 s)."""
TOLERANCE = {"fp32": 1e-4, "bf16": 3e-2}
"""How far a vector from the cache may be from the encoder's own, by precision."""


@dataclass(frozen=True)
class UpperPart:
    """Texts of similar length, padded together."""

    hidden: Tensor  # (M, T, E) what enters the first upper layer
    ids: Tensor  # (M, T) int64
    mask: Tensor  # (M, T) int64


@dataclass(frozen=True)
class UpperBatch:
    """Input of `UpperEncoder`: each text once, in parts of similar length."""

    parts: list[UpperPart]
    places: Tensor  # (n,) row among the parts' rows one after the other; -1 is a blank text

    def __len__(self) -> int:
        return len(self.places)


class LayerCache:
    """Activations that enter the first upper layer, of every text of a catalogue, on disk."""

    def __init__(self, folder: Path, text_idx: NDArray[np.int64], device: torch.device) -> None:
        self.text_idx = text_idx
        """Index of a text in the list given to `build` → row of the cache."""
        self._device = device
        self._offsets = np.load(folder / "offsets.npy")
        self._ids = np.load(folder / "ids.npy")
        # "c": pages are read on demand and shared by the workers of a machine.
        self._hidden = np.load(folder / "hidden.npy", mmap_mode="c")

    @classmethod
    def build(
        cls,
        encoder: TextEncoder,
        texts: Sequence[str],
        n_upper: int,
        max_tokens: int = 64,
        progress: bool = False,
    ) -> LayerCache:
        """Compute the activations, or take those computed before for the same texts.

        Stored as the encoder computes: bf16 or fp32 (E x 2 or 4 bytes a token). Processes of one
        machine that ask at the same time wait for the first, then share its file.

        Raises:
            EncoderError: the encoder has fewer layers, or keeps no list of them.
        """
        first = first_upper(encoder.model, n_upper)
        unique, places = unique_texts(texts)
        folder = home() / "cache" / "layers" / _key(encoder, unique, first, max_tokens)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(folder.with_suffix(".lock")):
            if not (folder / "hidden.npy").is_file():
                _compute(encoder, unique, first, max_tokens, folder, progress)
        return cls(folder, places, encoder.device)

    def batch(
        self, indices: Sequence[int] | NDArray[Any], batch_tokens: int | None = None
    ) -> UpperBatch:
        """Activations of the texts at `indices` (into the list given to `build`; may repeat).

        Args:
            batch_tokens: most tokens of one part; None: what the device does best.
        """
        if batch_tokens is None:
            batch_tokens = BATCH_TOKENS if self._device.type == "cpu" else GPU_BATCH_TOKENS
        wanted = self.text_idx[np.asarray(indices, np.int64)]
        rows, inverse = np.unique(wanted, return_inverse=True)
        lengths = (self._offsets[rows + 1] - self._offsets[rows]).tolist()
        groups = length_batches(lengths, batch_tokens)
        places = np.full(len(rows), -1, np.int64)
        order = np.concatenate(groups) if groups else np.empty(0, np.int64)
        places[order] = np.arange(len(order))
        parts = [self._part(rows[group]) for group in groups]
        return UpperBatch(parts, torch.from_numpy(places[inverse]).to(self._device))

    def _part(self, rows: NDArray[np.int64]) -> UpperPart:
        starts, ends = self._offsets[rows], self._offsets[rows + 1]
        spans = [slice(a, b) for a, b in zip(starts, ends, strict=True)]
        ids, mask = pad([self._ids[span] for span in spans], self._device)
        shape = (*ids.shape, self._hidden.shape[1])
        hidden = np.zeros(shape, self._hidden.dtype)
        for row, span in enumerate(spans):
            hidden[row, : span.stop - span.start] = self._hidden[span]
        return UpperPart(_from_stored(hidden).to(self._device), ids, mask)


class UpperEncoder(nn.Module):
    """The encoder's upper layers with a new adapter; vectors as `TextEncoder.encode` gives them.

    Only LoRA's weights are parameters of this module (so of its optimiser, its state and its
    all-reduce); the encoder's own are shared and frozen, and its own dropout stays off.

    Raises:
        EncoderError: the config does not fit the encoder, or its upper layers cannot be run
            apart (found out here by comparing with the whole encoder on a few texts).
    """

    def __init__(self, encoder: TextEncoder, config: AdapterConfig, seed: int) -> None:
        super().__init__()
        first = first_upper(encoder.model, config.n_layers)
        model: Any = skip_layers(encoder.model, 0, first)
        if encoder.device.type == "cpu" and encoder.precision == "bf16":
            # torch 2.13: fused attention's bf16 backward takes half of a step on a CPU; plain
            # matrix products make a step of 64 texts 1.6 times as fast (541 → 335 ms, 1 thread)
            model.set_attn_implementation("eager")
        find_layers(model)[1][first].register_forward_pre_hook(self._enter)
        self._unregistered: tuple[Any, TextEncoder] = (
            adapt(model, encoder.name, config, seed).to(encoder.device),
            encoder,
        )  # in a tuple, where nn.Module does not look for parameters
        self._hidden: Tensor | None = None
        self.lora = nn.ParameterDict(
            {n.replace(".", "/"): p for n, p in self._peft.named_parameters() if p.requires_grad}
        )
        self._check(first, config)

    @property
    def _peft(self) -> Any:
        return self._unregistered[0]

    def forward(self, batch: UpperBatch) -> Tensor:
        """Vectors of unit length with gradients to LoRA: (n, E) float32, zeros for a blank text."""
        encoder = self._unregistered[1]
        vectors = [self._run(part) for part in batch.parts]
        vectors.append(torch.zeros(1, encoder.dim, device=encoder.device))  # place -1
        return torch.cat(vectors)[batch.places]

    def train(self, mode: bool = True) -> UpperEncoder:
        """Dropout of the adapter on or off."""
        super().train(mode)
        for name, module in self._peft.named_modules():
            if "lora_dropout" in name:
                module.train(mode)
        return self

    def save(self, folder: Path) -> None:
        """Write the adapter as a PEFT folder."""
        save_adapter(self._peft, self._unregistered[1], folder)

    def _run(self, part: UpperPart) -> Tensor:
        encoder = self._unregistered[1]
        self._hidden = part.hidden
        fast = encoder.precision == "bf16"
        with torch.autocast(encoder.device.type, torch.bfloat16, enabled=fast):
            output = self._peft(input_ids=part.ids, attention_mask=part.mask)
        return mean_pool(output.last_hidden_state, part.mask)

    def _enter(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Put the cached activations where the first upper layer reads its input."""
        return (self._hidden, *args[1:])

    def _check(self, first: int, config: AdapterConfig) -> None:
        encoder = self._unregistered[1]
        tokens = encoder.tokenize(PROBES, 64)
        _, part = next(_activations(encoder, tokens, first, [np.arange(len(tokens))]))
        with torch.inference_mode():
            apart = self._run(part).cpu().numpy()
        gap = float(np.abs(apart - encoder.encode(PROBES)).max())
        if not gap <= TOLERANCE[encoder.precision]:
            raise EncoderError(
                f"the upper {config.n_layers} layers of encoder '{encoder.name}' give other "
                f"vectors alone than in the whole (differ by {gap:.2g}): they read more than the "
                "layer below; use training.mode=frozen or another encoder"
            )


def _activations(
    encoder: TextEncoder,
    tokens: list[list[int]],
    first: int,
    batches: Iterable[NDArray[np.int64]],
) -> Iterator[tuple[NDArray[np.int64], UpperPart]]:
    """What enters layer `first`, batch by batch, with the batch's rows of `tokens`."""
    model = skip_layers(encoder.model, first, len(find_layers(encoder.model)[1]))
    kept: list[Tensor] = []
    find_layers(model)[1][first].register_forward_pre_hook(lambda _, args: kept.append(args[0]))
    for rows in batches:
        ids, mask = pad([tokens[i] for i in rows], encoder.device)
        kept.clear()
        with torch.inference_mode():
            model(input_ids=ids, attention_mask=mask)
        yield rows, UpperPart(kept[0], ids, mask)


def _compute(
    encoder: TextEncoder,
    texts: list[str],
    first: int,
    max_tokens: int,
    folder: Path,
    progress: bool,
) -> None:
    """Fill `folder`; `hidden.npy` gets its name last, so that it is there whole or not at all."""
    folder.mkdir(exist_ok=True)
    tokens = [
        ids if text.strip() else []
        for ids, text in zip(encoder.tokenize(texts, max_tokens), texts, strict=True)
    ]
    lengths = [len(ids) for ids in tokens]
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    np.save(folder / "offsets.npy", offsets)
    np.save(folder / "ids.npy", np.array([i for ids in tokens for i in ids], np.int32))
    dtype = np.uint16 if encoder.precision == "bf16" else np.float32
    partial = folder / "hidden.part"
    shape = (max(1, int(offsets[-1])), encoder.dim)  # a file of nothing cannot be mapped
    out = np.lib.format.open_memmap(partial, mode="w+", dtype=dtype, shape=shape)
    batches = length_batches(lengths, BATCH_TOKENS)
    tracked = track(batches, "encode lower layers", len(texts), progress)
    for rows, part in _activations(encoder, tokens, first, tracked):
        for row, values in zip(rows, _to_stored(part.hidden), strict=True):
            out[offsets[row] : offsets[row + 1]] = values[: lengths[row]]
    out.flush()
    os.replace(partial, folder / "hidden.npy")


def _to_stored(hidden: Tensor) -> NDArray[Any]:
    """Bits of bf16 as uint16, because numpy has no bf16."""
    hidden = hidden.cpu()
    return (hidden.view(torch.uint16) if hidden.dtype == torch.bfloat16 else hidden).numpy()


def _from_stored(values: NDArray[Any]) -> Tensor:
    tensor = torch.from_numpy(values)
    return tensor.view(torch.bfloat16) if values.dtype == np.uint16 else tensor


def _key(encoder: TextEncoder, texts: list[str], first: int, max_tokens: int) -> str:
    """Folder name: equal for equal encoder, texts, cut, layer and precision."""
    made_of = [encoder.fingerprint, encoder.precision, first, max_tokens, texts]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:32]


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Held by one process of this machine at a time; it ends with the process."""
    with open(lock, "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
