"""A worker's own rules: an error of one is heard by all, and a missing folder is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist
import torch.multiprocessing as processes

from crossrec.config import Placement, RunConfig
from crossrec.errors import DataError, TrainingError
from crossrec.training.worker import WorkerJob, _prepare, raise_together
from tests.ports import free_port


def _rank(rank: int, port: int, answers: Any) -> None:
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    raise_together(None)  # nobody failed: nothing happens
    try:
        raise_together(DataError("no data here") if rank == 1 else None)
    except DataError as err:
        answers.put((rank, str(err)))
    dist.destroy_process_group()


def test_the_failure_of_one_worker_is_raised_in_all():
    answers = processes.get_context("spawn").SimpleQueue()
    processes.spawn(_rank, args=(free_port(), answers), nprocs=2)
    assert {answers.get(), answers.get()} == {(0, "no data here"), (1, "no data here")}


def test_a_machine_that_does_not_see_the_runs_folder_is_named(tmp_path: Path):
    job = WorkerJob("movies", "r", RunConfig(), Placement(), home=None, folder=str(tmp_path))
    message = f"machine .* does not see the run's folder {tmp_path}; expected storage that all"
    with pytest.raises(TrainingError, match=message):
        _prepare(job)
