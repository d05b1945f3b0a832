"""Peer `recbole_sasrec`: the SASRec of RecBole with its default settings and cross-entropy loss;
as there, every prefix of a training sequence is a row of its own.

RecBole's own loading and evaluation are not used: they would cut other splits. Leaves to others:
the task's files (exchange.py), judging (crossrec.benchmark).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from exchange import Histories, Task, Trained, fit, take_part
from recbole.model.sequential_recommender import SASRec

LENGTH, BATCH = 50, 2048
GRID: dict[str, list[Any]] = {"lr": [0.001, 0.003], "dropout": [0.5, 0.2]}
FIELDS = {
    "USER_ID_FIELD": "user",
    "ITEM_ID_FIELD": "item",
    "LIST_SUFFIX": "_list",
    "ITEM_LIST_LENGTH_FIELD": "length",
    "NEG_PREFIX": "neg_",
    "MAX_ITEM_LIST_LENGTH": LENGTH,
    "device": "cpu",
}
DEFAULTS = {
    "n_layers": 2,
    "n_heads": 2,
    "hidden_size": 64,
    "inner_size": 256,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "initializer_range": 0.02,
    "loss_type": "CE",
}
"""RecBole's `properties/model/SASRec.yaml`."""


class Catalogue:
    """What the model asks of a RecBole data set: how many items there are, with the padding."""

    def __init__(self, n_items: int) -> None:
        self.n_items = n_items

    def num(self, field: str) -> int:
        """Number of values of the field `item`."""
        assert field == "item", field
        return self.n_items + 1


class Run:
    """One training with one set of parameters; item i is i + 1 in the model, 0 is padding."""

    def __init__(self, task: Task, params: dict[str, Any]) -> None:
        torch.manual_seed(task.seed)
        self.task, self.rng = task, np.random.default_rng(task.seed)
        dropout = {f"{name}_dropout_prob": params["dropout"] for name in ("hidden", "attn")}
        self.model = SASRec(FIELDS | DEFAULTS | dropout, Catalogue(task.n_items))
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=params["lr"])
        lengths = np.diff(task.train.offsets)
        self.rows = np.delete(
            np.arange(len(task.train.items)), task.train.offsets[:-1][lengths > 0]
        )
        self.starts = np.repeat(task.train.offsets[:-1], lengths)

    def epoch(self) -> None:
        """One pass over all prefixes."""
        self.model.train()
        for rows in np.array_split(self.rng.permutation(self.rows), -(-len(self.rows) // BATCH)):
            lengths = np.minimum(rows - self.starts[rows], LENGTH)
            place = np.arange(LENGTH)[None, :]
            read = (rows - lengths)[:, None] + np.minimum(place, lengths[:, None] - 1)
            items = np.where(place < lengths[:, None], self.task.train.items[read] + 1, 0)
            batch = {"item_list": items, "length": lengths, "item": self.task.train.items[rows] + 1}
            tensors = {name: torch.from_numpy(value) for name, value in batch.items()}
            self.optimiser.zero_grad(set_to_none=True)
            self.model.calculate_loss(tensors).backward()
            self.optimiser.step()

    @torch.no_grad()
    def vectors(self, histories: Histories) -> tuple[np.ndarray, np.ndarray]:
        """Users (n, D) after the last step of each history, and items (N, D)."""
        self.model.eval()
        last = histories.last(LENGTH)
        lengths = (last >= 0).sum(axis=1)
        shifted = (np.arange(LENGTH)[None, :] + LENGTH - lengths[:, None]) % LENGTH
        read = torch.from_numpy(np.take_along_axis(last, shifted, axis=1) + 1)  # padded right
        counts = torch.from_numpy(np.maximum(lengths, 1))
        parts = zip(read.split(512), counts.split(512), strict=True)
        users = torch.cat([self.model(some, n) for some, n in parts])
        return users.numpy(), self.model.item_embedding.weight[1:].numpy()

    def weights(self) -> Mapping[str, Any]:
        """A copy of all weights."""
        return copy.deepcopy(self.model.state_dict())

    def load(self, weights: Mapping[str, Any]) -> None:
        """Take weights that were kept."""
        self.model.load_state_dict(weights)


def training(task: Task) -> Callable[[dict[str, Any]], Trained]:
    """What trains on the task."""
    torch.set_num_threads(1)
    return lambda params: fit(Run(task, params), task, task.warm)


if __name__ == "__main__":
    take_part(GRID, training)
