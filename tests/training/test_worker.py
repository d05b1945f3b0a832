"""Several processes: the same loss as one, and an error of one that every other hears of."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as processes

from crossrec.config import Placement, RunConfig
from crossrec.errors import DataError, TrainingError
from crossrec.training.loop import fit
from crossrec.training.pipeline import ready
from crossrec.training.worker import WorkerJob, _prepare, raise_together
from tests.integration.towns import make_home, small

# Dropout draws differ between processes; all else must not.
CONFIG = small("model.dropout=0", "training.max_epochs=3", "training.batch_size=16")
PLACEMENT = Placement(precision="fp32")

Answers = list[tuple[list[tuple[float, float]], str]]
"""Of each process: loss and quality of each epoch, and the error it got in the end."""


def _fit() -> list[tuple[float, float]]:
    torch.set_num_threads(1)
    history = fit(ready("tiny_city", CONFIG).prepared, placement=PLACEMENT).history
    return [(epoch["loss"], epoch["validation_ndcg@10"]) for epoch in history]


def _rank(rank: int, port: int, home: str, answers: Any) -> None:
    os.environ["CROSSREC_HOME"] = home
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    figures = _fit()
    raise_together(None)  # nobody failed: nothing happens
    try:
        raise_together(DataError("no data here") if rank == 1 else None)
    except DataError as err:
        answers.put((figures, str(err)))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSREC_HOME", str(folder))
        return make_home(folder)


@pytest.fixture(scope="module")
def answers(home: Path) -> Answers:
    """What two processes found that trained together."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = int(one.getsockname()[1])
    queue = processes.get_context("spawn").SimpleQueue()
    processes.spawn(_rank, args=(port, str(home), queue), nprocs=2)
    return [queue.get(), queue.get()]


def test_two_processes_have_the_same_loss_and_quality_as_one(
    home: Path,
    answers: list[tuple[list[tuple[float, float]], str]],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("CROSSREC_HOME", str(home))
    alone = _fit()
    (first, _), (second, _) = answers
    assert first == second
    for one, two in zip(alone, first, strict=True):
        assert two == pytest.approx(one, rel=1e-3)


def test_the_failure_of_one_process_is_raised_in_all(answers: Answers):
    assert [message for _, message in answers] == ["no data here", "no data here"]


def test_a_machine_that_does_not_see_the_runs_folder_is_named(tmp_path: Path):
    job = WorkerJob("movies", "r", RunConfig(), Placement(), home=None, folder=str(tmp_path))
    message = f"machine .* does not see the run's folder {tmp_path}; expected storage that all"
    with pytest.raises(TrainingError, match=message):
        _prepare(job)
