"""The plain training loop: torch, no Ray; over several processes when `torch.distributed`
runs (Ray Train starts it), with the same loss as one process on the same data.

Leaves to others: preparing (prepare.py), the model itself (network.py), closed-form signals
and the fusion (assemble.py), starting it on a cluster (worker.py, launch.py).
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed

from crossrec.config import Placement, RunConfig
from crossrec.data.batches import queries_for
from crossrec.data.split import Cases
from crossrec.errors import TrainingError
from crossrec.evaluation.metrics import ndcg, ranks
from crossrec.evaluation.protocols import candidates_only
from crossrec.models.sequence_signal import SequenceSignal
from crossrec.training.checkpoint import load_checkpoint, save_checkpoint
from crossrec.training.cold_gates import open_cold_gates
from crossrec.training.network import Network, State
from crossrec.training.optimiser import make_optimiser, sum_over_processes
from crossrec.training.prepare import Prepared
from crossrec.training.windows import Batch, make_batches, make_windows

Floats = NDArray[np.float32]

MAX_VALIDATION_CASES = 2000
VALIDATION_BATCH = 128
WARMUP_STEPS = 50
CLIP_NORM = 1.0


@dataclass(frozen=True)
class EpochReport:
    """What `on_epoch` is told, on every process."""

    metrics: dict[str, float]
    """epoch (from 1), loss (mean per target), validation_ndcg@10 (for the task `rate`:
    validation_rmse), best (higher is better), seconds, max_epochs."""
    save: Callable[[Path], None]
    """Writes a checkpoint that `resume` takes into a folder."""


@dataclass(frozen=True)
class Choice:
    """What validation chose between frozen and adapted (choosing.py)."""

    mode: Literal["frozen", "adapted"]
    why: str
    """One sentence with the figures."""


@dataclass
class Fitted:
    """A trained network with the weights of its best epoch."""

    network: Network
    history: list[dict[str, float]] = field(default_factory=list)
    choice: Choice | None = None
    """Of the mode, where the settings leave it to validation."""
    random: bool = False
    """Nobody taught the towers anything, here or elsewhere: they have nothing to say."""

    def sequence(self) -> SequenceSignal:
        """The trained signal in numpy."""
        return self.network.export()


def fit(
    prepared: Prepared,
    *,
    placement: Placement | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    resume: Path | None = None,
    start: State | None = None,
) -> Fitted:
    """Train until validation NDCG@10 has not risen for `patience` epochs, or `max_epochs`.

    In the mode `auto` frozen first, then adapted from there, as far as validation says so. Where
    there is nothing to learn from, the start comes back as it is.

    Args:
        on_epoch: called on every process after each epoch.
        resume: folder of a checkpoint of a run with the same config.
        start: weights to begin with in place of random ones (transfer.py); they count as an epoch
            of their own, so what comes back is never worse on validation.

    Raises:
        TrainingError: the loss is no longer a number, or the checkpoint does not fit.
    """
    placement = placement or Placement()
    if not prepared.split.train.any():
        return _untaught(prepared, placement, start)
    before = None if resume is None else load_checkpoint(resume, prepared.config.digest())
    if prepared.config.training.mode == "auto":
        from crossrec.training.choosing import fit_chosen

        return fit_chosen(prepared, placement, on_epoch=on_epoch, resume=before, start=start)
    trainer = Trainer(prepared, placement)
    if start is not None:
        trainer.begin_with(start)
    if before is not None:
        trainer.restore(before)
    trainer.run(on_epoch)
    return trainer.result()


def _untaught(prepared: Prepared, placement: Placement, start: State | None) -> Fitted:
    trainer = Trainer(prepared, placement)
    if start is not None:
        trainer.begin_with(start)
    trainer.network.eval()
    return Fitted(trainer.network, random=start is None)


class Trainer:
    """State of a run between two epochs; `fit` drives it."""

    def __init__(self, prepared: Prepared, placement: Placement) -> None:
        self.prepared = prepared
        self.config: RunConfig = prepared.config
        self.rank = distributed.get_rank() if distributed.is_initialized() else 0
        self.world = distributed.get_world_size() if distributed.is_initialized() else 1
        torch.manual_seed(self.config.training.seed)
        self.network = Network(prepared, placement)
        self.optimiser = make_optimiser([self.network], self.config)
        self.history: list[dict[str, float]] = []
        self.best = -math.inf
        self.best_state = self.network.trained_state()
        self.bad_epochs = 0
        self.steps = 0
        self.validation = _drawn(prepared.split.validation, self.config.training.seed)

    @property
    def finished(self) -> bool:
        """Early stopping, or the last epoch."""
        training = self.config.training
        return len(self.history) >= training.max_epochs or self.bad_epochs >= training.patience

    def run(
        self, on_epoch: Callable[[EpochReport], None] | None = None, epochs: int | None = None
    ) -> None:
        """Train until it is finished, or for so many epochs."""
        last = math.inf if epochs is None else len(self.history) + epochs
        while not self.finished and len(self.history) < last:
            metrics = self.epoch()
            if on_epoch is not None:
                on_epoch(EpochReport(metrics, self.save))

    def begin_with(self, start: State) -> None:
        """Take weights over from elsewhere, and judge them as they are.

        Ids begin at zero then: random ones would drown what was taken over.
        """
        with torch.no_grad():
            self.network.items.ids.weight.zero_()
        self.network.load_trained_state(start)
        self._keep_best(self.validate())

    def epoch(self) -> dict[str, float]:
        """One pass over all windows, then validation; returns its metrics."""
        started = time.perf_counter()
        number = len(self.history) + 1
        rng = np.random.default_rng((self.config.training.seed, number))
        torch.manual_seed(_process_seed(self.config.training.seed, number, self.rank))
        self.network.train()
        total, count = 0.0, 0
        for targets, real in self.batches(rng):
            loss, n_targets = self.step(targets, real, rng)
            total, count = total + loss, count + n_targets
        score = self.validate()
        self._keep_best(score)
        metrics = {
            "epoch": float(number),
            "max_epochs": float(self.config.training.max_epochs),
            "loss": total / max(count, 1),
            **self._named(score),
            "best": self.best,
            "seconds": time.perf_counter() - started,
        }
        self.history.append(metrics)
        return metrics

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        """All windows once, a batch at a time."""
        windows = make_windows(self.prepared.split, self.config.model.history_length, rng)
        return make_batches(windows, self.config.training.batch_size, rng)

    def step(
        self, targets: NDArray[np.int64], real: NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[float, int]:
        """One optimiser step over this process's share of a batch.

        Returns loss and number of targets of the whole batch, the same on every process.
        """
        self.steps += 1
        self._warm_up()
        wished = rng.random(targets.shape)  # drawn for the whole batch: equal on all processes
        seed = int(rng.integers(2**31))
        items = np.unique(self.prepared.split.sequences.items[targets[real]]).astype(np.int64)
        said = self._requests(targets[real])
        mine = slice(self.rank, None, self.world)
        count = int(real.sum())
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.network.loss(targets[mine], real[mine], wished[mine], items, seed, said)
        torch.autograd.backward(loss / count)
        self.network.texts.backward()
        total = loss.detach()
        if self.world > 1:
            total = sum_over_processes(self.network, total)
        if not math.isfinite(float(total)):
            raise TrainingError(
                f"the loss of '{self.prepared.domain.name}' is {float(total)} at step {self.steps};"
                " lower training.learning_rate"
            )
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP_NORM)
        self.optimiser.step()
        self.network.texts.remember()
        return float(total), count

    def _requests(self, rows: np.ndarray) -> NDArray[np.int64] | None:
        """Distinct wishes of those rows; None where they were made up."""
        return np.unique(self.prepared.wish_of_row[rows]) if self.prepared.requested else None

    def _warm_up(self) -> None:
        factor = min(1.0, self.steps / WARMUP_STEPS)
        for group in self.optimiser.param_groups:
            group["lr"] = group["full_lr"] * factor

    def validate(self) -> float:
        """Judge the sequence signal, cases shared over the processes; higher is better.

        Mean NDCG@10, or minus the root mean squared error of ratings.
        """
        asked = self.prepared.split.sequences.offsets[self.validation.users]
        self.network.texts.refresh(self._requests(asked + self.validation.cuts))
        self.network.eval()
        total = sum(float(values.sum()) for values in self._judged())
        if self.world > 1:
            shared = torch.tensor(total, dtype=torch.float64)
            distributed.all_reduce(shared)
            total = float(shared)
        mean = total / max(len(self.validation), 1)
        return -math.sqrt(mean) if self.prepared.task == "rate" else mean

    def each_case(self) -> NDArray[np.float64]:
        """(n,) what `validate` takes the mean of, with the best weights; equal on all processes."""
        self.network.load_trained_state(self.best_state)
        asked = self.prepared.split.sequences.offsets[self.validation.users]
        self.network.texts.refresh(self._requests(asked + self.validation.cuts))
        self.network.eval()
        found = torch.zeros(len(self.validation), dtype=torch.float64)
        mine = np.concatenate([np.empty(0), *self._judged()])
        found[self.rank :: self.world] = torch.from_numpy(mine)
        if self.world > 1:
            distributed.all_reduce(found)
        return found.numpy()

    def _judged(self) -> Iterator[NDArray[Any]]:
        """This process's share of the validation cases, a batch at a time."""
        signal = self.network.export()
        requests = self.network.texts.requests()
        cases = self.validation.take(slice(self.rank, None, self.world))
        for start in range(0, len(cases), VALIDATION_BATCH):
            batch = cases.take(slice(start, start + VALIDATION_BATCH))
            yield self._judge(signal, batch, requests)

    def _judge(self, signal: SequenceSignal, cases: Cases, requests: Floats | None) -> NDArray[Any]:
        """Of each case NDCG@10, or the squared error."""
        split = self.prepared.split
        queries = queries_for(
            split.sequences, cases, self.prepared.text.shape[1], requests=requests
        )
        scores, targets = signal.score(queries), split.targets(cases)
        if self.prepared.task == "rate":
            rows = split.sequences.offsets[cases.users] + cases.cuts
            predicted = scores[np.arange(len(cases)), targets]
            return np.asarray((predicted - split.sequences.ratings[rows]) ** 2)
        places = ranks(
            candidates_only(scores, split, targets, "validation"), targets, queries.items
        )
        return ndcg(places, 10)

    def _named(self, score: float) -> dict[str, float]:
        if self.prepared.task == "rate":
            return {"validation_rmse": -score}
        return {"validation_ndcg@10": score}

    def _keep_best(self, score: float) -> None:
        if score > self.best:
            self.best, self.bad_epochs = score, 0
            self.best_state = self.network.trained_state()
        else:
            self.bad_epochs += 1

    def save(self, folder: Path) -> None:
        """Write a checkpoint."""
        save_checkpoint(folder, self.state())

    def state(self) -> dict[str, Any]:
        """All of it between two epochs, for `restore`."""
        return {
            "digest": self.config.digest(),
            "network": self.network.trained_state(),
            "best_state": self.best_state,
            "optimiser": self.optimiser.state_dict(),
            "history": self.history,
            "best": self.best,
            "bad_epochs": self.bad_epochs,
            "steps": self.steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was asked for."""
        self.network.load_trained_state(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best_state = state["best_state"]
        self.history = state["history"]
        self.best, self.bad_epochs = state["best"], state["bad_epochs"]
        self.steps = state["steps"]
        self.network.texts.refresh()

    def result(self) -> Fitted:
        """The network with its best weights."""
        self.network.load_trained_state(self.best_state)
        self.network.texts.refresh()
        self.network.eval()
        open_cold_gates(self.network)
        return Fitted(self.network, copy.deepcopy(self.history))


def _drawn(cases: Cases, seed: int) -> Cases:
    if len(cases) <= MAX_VALIDATION_CASES:
        return cases
    rows = np.random.default_rng(seed).permutation(len(cases))[:MAX_VALIDATION_CASES]
    return cases.take(rows)


def _process_seed(seed: int, epoch: int, rank: int) -> int:
    """Dropout differs between processes and epochs, and is the same after a resume."""
    return (seed * 1_000_003 + epoch * 1009 + rank) % 2**31
