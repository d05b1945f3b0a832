"""Peer `sasrec_rectools`: `SASRecModel` of RecTools with softmax loss, 2 blocks, 2 heads, 64
factors, length 50; long histories are cut into chunks, since it reads only the end of each.

Leaves to others: the task's files (exchange.py), judging (crossrec.benchmark).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from exchange import MAX_EPOCHS, EarlyStopping, Histories, Task, Trained, take_part
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

LENGTH, BATCH = 50, 128
GRID: dict[str, list[Any]] = {"lr": [0.003, 0.001], "dropout_rate": [0.2, 0.5]}
UNKNOWN = -1e6
"""Score of an item that RecTools left out: one that only sequences of one step have."""


def chunks(train: Histories) -> Dataset:
    """Each training sequence as users of at most LENGTH + 1 steps that overlap by one."""
    parts = [
        train[n][s : s + LENGTH + 1]
        for n in range(len(train))
        for s in range(0, max(1, len(train[n]) - 1), LENGTH)
    ]
    items = np.concatenate(parts)
    users = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    when = pd.to_datetime(np.arange(len(items)), unit="s")
    frame = pd.DataFrame({Columns.User: users, Columns.Item: items, Columns.Datetime: when})
    frame[Columns.Weight] = 1.0
    return Dataset.construct(frame)


class Stopper(Callback):
    """Looks at validation after each epoch.

    RecTools copies the trainer with its callbacks: the state is the run's, which is not copied.
    """

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if AT_WORK[-1].look(pl_module):
            trainer.should_stop = True


AT_WORK: list[Run] = []
"""The run at work: RecTools wants a trainer function that it can import by name."""


def trainer() -> Trainer:
    """For the run at work."""
    run = AT_WORK[-1]
    return Trainer(
        max_epochs=run.task.epochs or MAX_EPOCHS,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Stopper()],
    )


class Run:
    """One training with one set of parameters."""

    def __init__(self, task: Task, dataset: Dataset, params: dict[str, Any]) -> None:
        self.task, self.dataset, self.params = task, dataset, params
        self.stop = EarlyStopping(task)

    def fit(self) -> Trained:
        """Train until validation says stop, or for the task's number of epochs."""
        seed_everything(self.task.seed)
        AT_WORK.append(self)
        self.model = SASRecModel(
            n_blocks=2,
            n_heads=2,
            n_factors=64,
            session_max_len=LENGTH,
            loss="softmax",
            batch_size=BATCH,
            get_trainer_func=trainer,
            **self.params,
        )
        self.model.fit(self.dataset)
        self.network = self.model.torch_model
        if self.task.epochs is None:
            self.network.load_state_dict(self.stop.weights)
        return self.stop.trained(self.vectors)

    def look(self, module: LightningModule) -> bool:
        """Whether to stop after this epoch."""
        self.network = module.torch_model
        users, items = self.vectors(self.stop.cases)
        can = items[:, -1] > UNKNOWN
        done = self.stop.look((users, items), can, lambda: copy.deepcopy(self.network.state_dict()))
        module.train()
        return done

    @torch.no_grad()
    def vectors(self, histories: Histories) -> tuple[np.ndarray, np.ndarray]:
        """Users (n, 65) and items (N, 65); the last place is 1 and the item's offset."""
        self.network.eval()
        known = self.model.data_preparator.item_id_map
        external = np.arange(self.task.n_items)
        place = np.zeros(self.task.n_items, np.int64)  # 0: padding
        there = np.isin(external, known.external_ids.astype(str)[1:].astype(np.int64))
        place[there] = known.convert_to_internal(external[there])
        vectors = self.network.item_model.get_all_embeddings()
        last = histories.last(LENGTH)
        read = torch.from_numpy(np.where(last >= 0, place[last], 0))
        states = [
            self.network.encode_sessions({"x": some}, vectors)[:, -1] for some in read.split(256)
        ]
        users = torch.cat(states).numpy()
        offset = np.where(there, 0.0, UNKNOWN)
        items = np.hstack([vectors.numpy()[place] * there[:, None], offset[:, None]])
        return np.hstack([users, np.ones((len(users), 1))]), items


def training(task: Task) -> Callable[[dict[str, Any]], Trained]:
    """What trains on the task."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    dataset = chunks(task.train)
    return lambda params: Run(task, dataset, params).fit()


if __name__ == "__main__":
    take_part(GRID, training)
