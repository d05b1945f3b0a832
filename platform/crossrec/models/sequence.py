"""The user tower outside training: numpy only, so that a served replica needs no torch.

Reads the weights that towers.py trains; `tests/models/test_sequence.py` holds both equal.
Sizes: B queries, T steps, D model width, E text width, C context width, N items, H heads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
PARTS = ("short", "long", "request", "context")


class SequenceTower:
    """u for a batch of queries, from the weights of a trained `towers.UserTower`."""

    def __init__(self, weights: Mapping[str, Floats], n_heads: int) -> None:
        self.weights = dict(weights)
        self.n_heads = n_heads
        self.n_blocks = len({name.split(".")[1] for name in weights if name.startswith("blocks.")})
        self.dim = weights["norm.weight"].shape[0]
        names = [f"project.{part}.weight" for part in PARTS]
        # All parts are projected by one product, (parts · D, D); the single ones are views on it,
        # so that a replica holds one copy.
        self._projections = np.concatenate([weights[name].T for name in names])
        for name, block in zip(names, np.split(self._projections, len(PARTS)), strict=True):
            self.weights[name] = block.T

    def user_vectors(
        self,
        vectors: Floats,
        events: NDArray[np.int64],
        gaps: NDArray[np.int64],
        present: NDArray[np.bool_],
        request: Floats,
        context: Floats,
    ) -> Floats:
        """User vectors at the last step.

        Args:
            vectors: (B, T, D) unit item vectors, padded on the left.
            events, gaps: (B, T) indices as in towers.UserTower.forward.
            present: (B, T) False for padding.
            request: (B, E) zeros where there is none; or (B, 0).
            context: (B, C).

        Returns:
            (B, D) unit vectors, float32; all zero where no part is present.
        """
        short, long = self.read(vectors, events, gaps, present)
        return self.mix(short, long, present[:, -1], request, context)

    def read(
        self,
        vectors: Floats,
        events: NDArray[np.int64],
        gaps: NDArray[np.int64],
        present: NDArray[np.bool_],
    ) -> tuple[Floats, Floats]:
        """Short and long interest, both (B, D): all that a history says, whatever is asked."""
        w = self.weights
        items = vectors * w["scale"]
        x = items + w["events.weight"][events] + w["gaps.weight"][gaps]
        hidden = _hidden(present)
        for number in range(self.n_blocks):
            x = self._block(f"blocks.{number}.", x, hidden)
        state = _layer_norm(x, w["norm.weight"], w["norm.bias"])
        # A copy: who remembers the last state would else keep those of all steps.
        return state[:, -1].copy(), self._pool(items, state, present)

    def mix(
        self,
        short: Floats,
        long: Floats,
        known: NDArray[np.bool_],
        request: Floats,
        context: Floats,
    ) -> Floats:
        """User vectors from what `read` gave and what is asked now.

        Args:
            short, long: (B, D).
            known: (B,) False where there is no history.
            request, context: as in `user_vectors`.
        """
        has = np.empty((len(known), len(PARTS)), np.float32)
        has[:, 0] = has[:, 1] = known
        has[:, 2] = (request != 0).any(axis=1)
        has[:, 3] = context.shape[1] > 0
        return self._mix([short, long, self._request(request), self._context(context)], has)

    def _linear(self, name: str, x: Floats) -> Floats:
        y = x @ self.weights[name + "weight"].T
        bias = self.weights.get(name + "bias")
        return y if bias is None else y + bias

    def _block(self, name: str, x: Floats, hidden: Floats) -> Floats:
        w = self.weights
        batch, steps, dim = x.shape
        normed = _layer_norm(x, w[name + "norm_attention.weight"], w[name + "norm_attention.bias"])
        qkv = self._linear(name + "qkv.", normed).reshape(batch, steps, 3, self.n_heads, -1)
        q, k, v = qkv.transpose(2, 0, 3, 1, 4)  # each (B, H, T, D/H)
        bias = w[name + "distance"][:, _distances(steps)]
        logits = q @ k.transpose(0, 1, 3, 2) / np.float32(math.sqrt(dim // self.n_heads)) + bias
        mixed = _softmax(logits + hidden) @ v
        x = x + self._linear(name + "out.", mixed.transpose(0, 2, 1, 3).reshape(x.shape))
        normed = _layer_norm(x, w[name + "norm_mlp.weight"], w[name + "norm_mlp.bias"])
        return x + self._linear(name + "down.", _gelu(self._linear(name + "up.", normed)))

    def _pool(self, items: Floats, state: Floats, present: NDArray[np.bool_]) -> Floats:
        steps = items.shape[1]
        decay = np.logaddexp(0, self.weights["decay"]).astype(np.float32)
        logits = self._linear("pool.", state)[..., 0] - decay * np.arange(steps - 1, -1, -1)
        logits = np.where(present, logits, -np.inf)
        logits[:, -1] = np.where(present[:, -1], logits[:, -1], 0.0)  # rows of pure padding
        weights = _softmax(logits.astype(np.float32))
        return (weights[:, None, :] @ items)[:, 0]

    def _request(self, request: Floats) -> Floats:
        if not request.shape[1]:  # a batch without any request may come without the width
            return np.zeros((len(request), self.dim), np.float32)
        return self._linear("request.", request)

    def _context(self, context: Floats) -> Floats:
        if not context.shape[1]:
            return np.zeros((len(context), self.dim), np.float32)
        return self._linear("context.2.", _gelu(self._linear("context.0.", context)))

    def _mix(self, parts: list[Floats], has: Floats) -> Floats:
        known = np.stack(parts, axis=1) * has[:, :, None]  # (B, parts, D)
        gates = _sigmoid(
            self._linear("gate.", np.concatenate([known.reshape(len(has), -1), has], axis=1))
        )
        known *= (gates * has)[:, :, None]
        mixed = known.reshape(len(has), -1) @ self._projections
        norm = np.maximum(np.sqrt(np.vecdot(mixed, mixed)), 1e-12)
        return np.asarray(mixed / norm[:, None], np.float32)


def item_vectors(weights: Mapping[str, Floats], text: Floats) -> Floats:
    """Vectors (N, D) of the catalogue, as towers.ItemTower gives them outside training."""
    mixed = text @ weights["text.weight"].T
    if len(weights["ids.weight"]):
        gate = _sigmoid(weights["gate"][0] + weights["gate"][1] * np.log1p(weights["counts"]))
        mixed += (gate * (weights["counts"] > 0))[:, None] * weights["ids.weight"]
    for name in (n for n in weights if n.startswith("modalities.") and n.endswith(".weight")):
        of = name.removesuffix("weight")
        a, b = weights[f"{of}gate"]
        open_ = _sigmoid(a + b * np.log1p(weights["counts"]))
        open_ *= np.where(weights["counts"] > 0, np.float32(1), weights[f"{of}cold"])
        mixed += open_[:, None] * (weights[f"{of}features"] @ weights[name].T)
    norm = np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-12)
    return np.asarray(mixed / norm, np.float32)


def _hidden(present: NDArray[np.bool_]) -> Floats:
    steps = present.shape[1]
    causal = np.tri(steps, dtype=bool)
    visible = causal & (present[:, None, :] | np.eye(steps, dtype=bool))
    hidden = np.where(visible, np.float32(0), np.float32(-np.inf))
    return np.asarray(hidden[:, None], np.float32)  # (B, 1, T, T)


def _distances(steps: int) -> NDArray[np.int64]:
    position = np.arange(steps)
    return np.asarray(np.maximum(position[:, None] - position[None, :], 0), np.int64)


def _softmax(x: Floats) -> Floats:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True), np.float32)


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.maximum(x, np.float32(-80)))), np.float32)


def _gelu(x: Floats) -> Floats:
    """Exact GELU, x Phi(x), with erf from Abramowitz & Stegun 7.1.26 (|error| < 1.5e-7)."""
    z = np.abs(x) * np.float32(1 / math.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    erf = np.sign(x) * (1 - series * np.exp(-z * z))
    return np.asarray(0.5 * x * (1 + erf), np.float32)


def _layer_norm(x: Floats, weight: Floats, bias: Floats) -> Floats:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + 1e-5) * weight + bias, np.float32)
