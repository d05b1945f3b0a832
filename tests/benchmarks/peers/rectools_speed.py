"""Seconds of each training epoch of RecTools' SASRec, for tests/benchmarks/user_model_speed.py.

Reads a task as peers do (exchange.py), with `settings`: width, batch, epochs, threads and
precision (Lightning's word for it); writes `seconds.json`: a list, one an epoch, and how many steps
(targets) an epoch had.
"""

from __future__ import annotations

import json
import time
import warnings
from typing import Any

import torch
from exchange import folders, read_task
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from rectools.models import SASRecModel
from rectools_sasrec import LENGTH, chunks

SETTINGS: dict[str, Any] = {}
"""Of the task, where `trainer` finds them: RecTools calls it without arguments."""


class Clock(Callback):
    """Times epochs; RecTools copies it with the trainer, so the times are kept outside."""

    seconds: list[float] = []  # noqa: RUF012 - shared by the copies on purpose

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        Clock.seconds.append(time.perf_counter() - self.started)


def trainer() -> Trainer:
    """Of as many epochs, and in the precision, as the task says."""
    return Trainer(
        max_epochs=SETTINGS["epochs"],
        precision=SETTINGS["precision"],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Clock()],
    )


def main() -> None:
    """Train, time, write."""
    warnings.filterwarnings("ignore")
    source, target = folders()
    task = read_task(source)
    settings = task.settings
    SETTINGS.update(settings)
    torch.set_num_threads(settings["threads"])
    seed_everything(task.seed)
    model = SASRecModel(
        n_blocks=2,
        n_heads=2,
        n_factors=settings["width"],
        session_max_len=LENGTH,
        dropout_rate=0.2,
        lr=0.002,
        loss="softmax",
        batch_size=settings["batch"],
        get_trainer_func=trainer,
    )
    dataset = chunks(task.train)
    model.fit(dataset)
    counts = dataset.interactions.df.groupby("user_id").size()
    about = {"seconds": Clock.seconds, "targets": int((counts - 1).clip(lower=0).sum())}
    (target / "seconds.json").write_text(json.dumps(about), encoding="utf-8")


if __name__ == "__main__":
    main()
