"""Peers `sasrec_own`, `unisrec_text`, `unisrec_text_id`: plain torch, in our own environment.

SASRec (Kang & McAuley 2018) with 2 pre-norm layers, 2 heads, width 64, positions counted from the
end, length 50, full softmax over warm items; long histories cut into windows with a new phase
each epoch. With text: whitened frozen text -> linear (plus an id embedding) in place of ids,
cosine / 0.07, as UniSRec (Hou et al. 2022) without pre-training.

Leaves to others: the task's files (exchange.py), judging (crossrec.benchmark).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from exchange import Histories, Task, Trained, fit, take_part
from torch import Tensor, nn
from torch.nn import functional

from crossrec.models.losses import softmax_cross_entropy

DIM, LAYERS, HEADS, LENGTH, BATCH = 64, 2, 2, 50, 128
TEMPERATURE = 0.07
GRID: dict[str, list[Any]] = {"lr": [0.002, 0.001], "dropout": [0.2, 0.5]}


class Items(nn.Module):
    """(N, D) item vectors from ids, from whitened text, or from both."""

    def __init__(self, kind: str, warm: Tensor, text: np.ndarray | None) -> None:
        super().__init__()
        self.kind = kind
        self.warm: Tensor
        self.register_buffer("warm", warm.float())
        if kind != "ids":
            assert text is not None, "peers.yaml asks for text, so the task has it"
            self.text: Tensor
            self.register_buffer("text", torch.from_numpy(whitened(text)))
            self.project = nn.Linear(self.text.shape[1], DIM)
        if kind != "text":
            self.ids = nn.Embedding(len(warm), DIM)
            nn.init.normal_(self.ids.weight, std=DIM**-0.5)

    def forward(self) -> Tensor:
        if self.kind == "ids":
            return self.ids.weight
        if self.kind == "text":
            return self.project(self.text)
        # An id never trained would be noise: cold items have their text only.
        return self.project(self.text) + self.ids.weight * self.warm[:, None]


def whitened(text: np.ndarray) -> np.ndarray:
    """Text vectors with mean 0 and covariance 1 over the catalogue (PCA whitening)."""
    centred = (text - text.mean(axis=0)).astype(np.float64)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    kept = values > 1e-6 * values[-1]
    return (centred @ (vectors[:, kept] / np.sqrt(values[kept]))).astype(np.float32)


class Layer(nn.Module):
    """Pre-norm causal transformer layer."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.norm_attention, self.norm_mlp = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.qkv, self.out = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)
        self.mlp = nn.Sequential(nn.Linear(DIM, 4 * DIM), nn.GELU(), nn.Linear(4 * DIM, DIM))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        batch, steps, _ = x.shape
        heads = self.qkv(self.norm_attention(x)).view(batch, steps, 3, HEADS, DIM // HEADS)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        # On CPUs this is faster than the fused attention, whose backward in bf16 is slow
        # (torch 2.13: 29 ms against 4 for 128 windows of 50 steps).
        logits = (q @ k.transpose(-1, -2)).float() * (DIM // HEADS) ** -0.5
        future = torch.ones(steps, steps, dtype=torch.bool).triu(1)
        mixed = torch.softmax(logits.masked_fill(future, float("-inf")), dim=-1).to(v.dtype) @ v
        x = x + self.dropout(self.out(mixed.transpose(1, 2).reshape(batch, steps, DIM)))
        return x + self.dropout(self.mlp(self.norm_mlp(x)))


class Sasrec(nn.Module):
    """Sequences padded on the right: with a causal mask no real step sees the padding."""

    def __init__(self, kind: str, dropout: float, warm: Tensor, text: np.ndarray | None) -> None:
        super().__init__()
        self.items = Items(kind, warm, text)
        self.cosine = kind != "ids"
        self.positions = nn.Embedding(LENGTH, DIM)
        nn.init.normal_(self.positions.weight, std=0.02)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(Layer(dropout) for _ in range(LAYERS))
        self.norm = nn.LayerNorm(DIM)

    def states(self, items: Tensor, batch: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, D) after each step; `batch` (B, T) item numbers, `lengths` (B,) real steps."""
        from_end = lengths[:, None] - 1 - torch.arange(batch.shape[1])[None, :]
        x = items[batch] * DIM**0.5 if not self.cosine else items[batch]
        x = self.dropout(x + self.positions(from_end.clamp(min=0)))
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def readout(self, states: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """States and items whose product is the score."""
        if not self.cosine:
            return states, items
        users = functional.normalize(states, dim=-1) / TEMPERATURE
        return users, functional.normalize(items, dim=-1)


def windows(train: Histories, rng: np.random.Generator) -> list[np.ndarray]:
    """Sequences of at most LENGTH + 1 items: all but the last are read, all but the first told."""
    found = []
    for n in range(len(train)):
        items = train[n]
        start = 0
        if len(items) > LENGTH + 1:
            start = int(rng.integers(LENGTH))
            found.append(items[: start + 1])
        found += [items[s : s + LENGTH + 1] for s in range(start, len(items) - 1, LENGTH)]
    return [window for window in found if len(window) > 1]


def batches(found: list[np.ndarray], rng: np.random.Generator) -> Iterator[list[np.ndarray]]:
    """Windows of similar length together, in random order."""
    lengths = np.array([len(window) for window in found])
    order = np.argsort(lengths + rng.uniform(0, 4, len(found)), kind="stable")
    for start in rng.permutation(np.arange(0, len(order), BATCH)):
        yield [found[i] for i in order[start : start + BATCH]]


def padded(sequences: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    """(B, T) padded on the right with item 0, and lengths (B,)."""
    lengths = np.array([len(one) for one in sequences])
    table = np.zeros((len(sequences), max(1, lengths.max())), np.int64)
    for row, one in enumerate(sequences):
        table[row, : len(one)] = one
    return torch.from_numpy(table), torch.from_numpy(lengths)


class Run:
    """One training with one set of parameters."""

    def __init__(self, task: Task, params: dict[str, Any]) -> None:
        torch.manual_seed(task.seed)
        self.task = task
        self.rng = np.random.default_rng(task.seed)
        self.kind = task.settings["items"]
        warm = torch.from_numpy(task.warm)
        self.model = Sasrec(self.kind, params["dropout"], warm, task.text)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=params["lr"])
        self.warm = torch.from_numpy(np.flatnonzero(task.warm))
        self.place = torch.zeros(task.n_items, dtype=torch.int64)
        self.place[self.warm] = torch.arange(len(self.warm))
        self.bias = torch.zeros(len(self.warm))

    def epoch(self) -> None:
        """One pass over all windows."""
        self.model.train()
        for sequences in batches(windows(self.task.train, self.rng), self.rng):
            read, lengths = padded([one[:-1] for one in sequences])
            told, _ = padded([one[1:] for one in sequences])
            real = torch.arange(read.shape[1])[None, :] < lengths[:, None]
            items = self.model.items()
            with torch.autocast("cpu", torch.bfloat16):
                states = self.model.states(items, read, lengths)
            users, items = self.model.readout(states.float()[real], items[self.warm])
            target = self.place[told[real]]
            loss = softmax_cross_entropy(users, items, self.bias, target, bf16=True)
            self.optimiser.zero_grad(set_to_none=True)
            (loss / len(target)).backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
            self.optimiser.step()

    @torch.no_grad()
    def vectors(self, histories: Histories) -> tuple[np.ndarray, np.ndarray]:
        """Users (n, D) after the last step of each history, and items (N, D)."""
        self.model.eval()
        items = self.model.items()
        users = np.zeros((len(histories), DIM), np.float32)
        for start in range(0, len(histories), 512):
            rows = range(start, min(start + 512, len(histories)))
            read, lengths = padded([histories[n][-LENGTH:] for n in rows])
            states = self.model.states(items, read, lengths)
            last = states[torch.arange(len(rows)), lengths.clamp(min=1) - 1]
            users[start : start + 512] = self.model.readout(last, items)[0].numpy()
        return users, self.model.readout(states, items)[1].numpy()

    def weights(self) -> Mapping[str, Tensor]:
        """A copy of all weights."""
        return {name: value.clone() for name, value in self.model.state_dict().items()}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take weights that were kept."""
        self.model.load_state_dict(weights)


def training(task: Task) -> Callable[[dict[str, Any]], Trained]:
    """What trains on the task."""
    torch.set_num_threads(1)
    can = task.warm if task.settings["items"] == "ids" else np.ones(task.n_items, bool)
    return lambda params: fit(Run(task, params), task, can)


if __name__ == "__main__":
    take_part(GRID, training)
