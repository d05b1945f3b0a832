"""How a peer's script reads its task and writes its answer; numpy only, so that it runs in any
environment. README.md beside this file describes the files.

Leaves to others: our side of the exchange (crossrec.benchmark.exchange).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

MAX_EPOCHS = 200
MAX_STOPPING_CASES = 4000
"""Validation cases looked at after each epoch, drawn once; judging is over all, on our side."""


@dataclass(frozen=True)
class Histories:
    """Item numbers of many sequences as one array: sequence n is `items[offsets[n]:offsets[n+1]]`,
    oldest first.
    """

    offsets: np.ndarray  # (n + 1,)
    items: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, n: int) -> np.ndarray:
        return self.items[self.offsets[n] : self.offsets[n + 1]]

    def take(self, rows: np.ndarray) -> Histories:
        """Those sequences, in that order."""
        parts = [self[int(row)] for row in rows]
        offsets = np.cumsum([0, *(len(part) for part in parts)])
        return Histories(offsets, np.concatenate(parts) if parts else self.items[:0])

    def last(self, length: int) -> np.ndarray:
        """(n, length) the newest items, padded on the left with -1."""
        column = np.arange(-length, 0)[None, :] + self.offsets[1:, None]
        real = column >= self.offsets[:-1, None]
        return np.where(real, self.items[np.where(real, column, 0)], -1)

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Number of the sequence and item of every step."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets)), self.items


@dataclass(frozen=True)
class Task:
    """What a peer is given: never the targets of the test cases."""

    n_items: int
    seed: int
    settings: dict[str, Any]
    """From peers.yaml."""
    params: dict[str, Any] | None
    """Hyperparameters found for an earlier seed or split; None: search on validation."""
    epochs: int | None
    """Epochs to train, where validation is too thin to stop by; None: stop on validation."""
    train: Histories
    validation: Histories
    validation_targets: np.ndarray
    test: Histories
    warm: np.ndarray  # (N,) bool: occurs in training
    text: np.ndarray | None  # (N, E) unit vectors of the item texts


def read_task(folder: Path) -> Task:
    """The task in a folder written by `crossrec benchmark quality`."""
    about = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    with np.load(folder / "data.npz") as data:
        parts = {
            part: Histories(data[f"{part}_offsets"], data[f"{part}_items"].astype(np.int64))
            for part in ("train", "validation", "test")
        }
        return Task(
            n_items=about["n_items"],
            seed=about["seed"],
            settings=about["settings"],
            params=about["params"],
            epochs=about["epochs"],
            validation_targets=data["validation_targets"].astype(np.int64),
            warm=data["warm"],
            text=data.get("text"),
            **parts,
        )


def write_answer(
    folder: Path, validation: np.ndarray, test: np.ndarray, items: np.ndarray | None, **about: Any
) -> None:
    """Write scores of the validation and test cases, and what was found.

    Args:
        validation, test: (n, D) user vectors where there are `items`, else (n, N) scores.
        items: (N, D); the score is the product. None: the scores are given as they are.
        about: params, epochs, fit_seconds, tune_seconds, converged (None: not applicable).
    """
    for name, array in (("validation", validation), ("test", test), ("items", items)):
        if array is not None:
            np.save(folder / f"{name}.npy", np.asarray(array, np.float32))
    (folder / "result.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


def ndcg_at_10(
    users: np.ndarray, items: np.ndarray, histories: Histories, targets: np.ndarray, can: np.ndarray
) -> float:
    """Mean NDCG@10, to stop and to tune by: `can` (N,) says which items the model can score."""
    total = 0.0
    for start in range(0, len(users), 512):
        rows = np.arange(start, min(start + 512, len(users)))
        scores = users[rows] @ items.T
        own = scores[np.arange(len(rows)), targets[rows]].copy()
        scores[:, ~can] = -np.inf
        case, seen = histories.take(rows).pairs()
        scores[case, seen] = -np.inf
        scores[np.arange(len(rows)), targets[rows]] = own
        rank = (scores >= own[:, None]).sum(axis=1)
        gain = np.where(rank <= 10, 1 / np.log2(rank + 1), 0.0)
        total += float((gain * can[targets[rows]]).sum())
    return total / max(len(users), 1)


@dataclass(frozen=True)
class Trained:
    """A model as one set of parameters made it."""

    value: float
    """Validation NDCG@10."""
    vectors: Callable[[Histories], tuple[np.ndarray, np.ndarray]]
    """Histories → users (n, D) and items (N, D); the score is the product."""
    epochs: int | None = None
    converged: bool | None = None
    """Whether training ended by itself; None: not applicable."""


class EarlyStopping:
    """Says after each epoch whether to stop, and keeps the weights of the best: for as many epochs
    as the task says, else until `patience` epochs brought nothing better on validation.
    """

    def __init__(self, task: Task) -> None:
        order = np.random.default_rng(0).permutation(len(task.validation))
        chosen = np.sort(order[:MAX_STOPPING_CASES])
        self.cases, self.targets = task.validation.take(chosen), task.validation_targets[chosen]
        self.epochs, self.patience = task.epochs, patience(self.cases)
        self.best, self.best_epoch, self.epoch = -1.0, 0, 0
        self.weights: Any = None
        self.started = time.perf_counter()

    def look(
        self, vectors: tuple[np.ndarray, np.ndarray], can: np.ndarray, weights: Callable[[], Any]
    ) -> bool:
        """Whether to stop.

        Args:
            vectors: of `cases` after this epoch.
            can: (N,) which items the model can score.
            weights: gives a copy of them; called where this epoch is the best.
        """
        value = ndcg_at_10(*vectors, self.cases, self.targets, can)
        self.epoch += 1
        if value > self.best:
            self.best, self.best_epoch, self.weights = value, self.epoch, weights()
        taken = time.perf_counter() - self.started
        print(f"  epoch {self.epoch}: {value:.4f} ({taken:.0f} s)", file=sys.stderr, flush=True)
        if self.epochs is not None:
            return self.epoch >= self.epochs
        return self.epoch >= MAX_EPOCHS or self.epoch - self.best_epoch >= self.patience

    def trained(self, vectors: Callable[[Histories], tuple[np.ndarray, np.ndarray]]) -> Trained:
        """What came of it, as `vectors` of the weights that were kept."""
        if self.epochs is not None:
            return Trained(self.best, vectors, self.epoch)
        return Trained(self.best, vectors, self.best_epoch, self.epoch < MAX_EPOCHS)


def patience(cases: Histories) -> int:
    """Epochs without a better figure before training stops.

    With few validation cases the figure goes up and down by chance: on `movies` (943 cases) five
    epochs ended at .105 what reached .122 later.
    """
    return 10 if len(cases) < 2000 else 5


class Run(Protocol):
    """A training that `fit` takes epoch by epoch."""

    def epoch(self) -> None:
        """One pass over the training data."""

    def vectors(self, histories: Histories) -> tuple[np.ndarray, np.ndarray]:
        """Users (n, D) after the last step of each history, and items (N, D)."""

    def weights(self) -> Mapping[str, Any]:
        """A copy of all weights."""

    def load(self, weights: Mapping[str, Any]) -> None:
        """Take weights that were kept."""


def fit(run: Run, task: Task, can: np.ndarray) -> Trained:
    """Train epoch by epoch; where validation says when to stop, its best epoch is kept.

    Args:
        can: (N,) which items the model can score.
    """
    stop, done = EarlyStopping(task), False
    while not done:
        run.epoch()
        done = stop.look(run.vectors(stop.cases), can, run.weights)
    if task.epochs is None:
        run.load(stop.weights)
    return stop.trained(run.vectors)


def coordinate_search(
    values: dict[str, list[Any]], run: Callable[[dict[str, Any]], float]
) -> dict[str, Any]:
    """The best parameters, one parameter after the other, each at the best values so far.

    Args:
        values: parameter → values to try; the first are the start.
        run: parameters → validation NDCG@10.
    """
    best = {name: options[0] for name, options in values.items()}
    best_value = run(best)
    for name, options in values.items():
        for option in options[1:]:
            params = best | {name: option}
            value = run(params)
            if value > best_value:
                best, best_value = params, value
    return best


def take_part(
    grid: dict[str, list[Any]], prepare: Callable[[Task], Callable[[dict[str, Any]], Trained]]
) -> None:
    """All that a peer's script does: read the task, search unless it has parameters, and answer
    with the best model.

    Args:
        grid: parameter → values to try.
        prepare: task → what trains on it with given parameters.
    """
    source, target = folders()
    task = read_task(source)
    train = prepare(task)
    started = time.perf_counter()
    best: Trained | None = None
    fit_seconds = 0.0

    def run(params: dict[str, Any]) -> float:
        nonlocal best, fit_seconds
        began = time.perf_counter()
        trained = train(params)
        if best is None or trained.value > best.value:
            best, fit_seconds = trained, time.perf_counter() - began
        return trained.value

    params = task.params or coordinate_search(grid, run)
    if task.params:
        run(params)
    assert best is not None, "one set of parameters was tried at least"
    validation, items = best.vectors(task.validation)
    write_answer(
        target,
        validation,
        best.vectors(task.test)[0],
        items,
        params=params,
        epochs=best.epochs,
        fit_seconds=fit_seconds,
        tune_seconds=time.perf_counter() - started,
        converged=best.converged,
    )


def folders() -> tuple[Path, Path]:
    """The two arguments of every script: folder of the task, folder of the answer."""
    if len(sys.argv) != 3:
        raise SystemExit(f"usage: {Path(sys.argv[0]).name} TASK_FOLDER ANSWER_FOLDER")
    return Path(sys.argv[1]), Path(sys.argv[2])
