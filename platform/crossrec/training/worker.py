"""What runs on each worker of Ray Train: hands the plain loop its data, and its epochs to Ray.

Leaves to others: the loop and its all-reduce (loop.py), starting workers (launch.py).
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from crossrec.config import Placement, RunConfig
from crossrec.data.split import expect_cases
from crossrec.errors import CrossrecError, TrainingError
from crossrec.training.runs import RUN_FILE

if TYPE_CHECKING:  # torch is imported on the workers only
    from crossrec.training.loop import EpochReport
    from crossrec.training.pipeline import Ready

TELL_EVERY_S = 1.0

T = TypeVar("T")


@dataclass(frozen=True)
class WorkerJob:
    """What each worker is told; plain values only, for it travels to other machines."""

    domain: str
    run: str
    config: RunConfig
    placement: Placement
    home: str | None
    """`$CROSSREC_HOME` for the worker; None: whatever the worker's machine has."""
    folder: str = ""
    """Folder of the run, on storage that all machines share; holds `run.json`."""
    publish: bool = True
    trial: bool = False
    """A trial of a search: its epochs are all that is wanted, no checkpoints and no model."""
    board: Any = None
    """Handle of the driver's progress board; None: nobody watches."""


def train_worker(job: WorkerJob) -> dict[str, Any]:
    """One worker's share of one training; Ray Train runs it on every rank.

    An error that trying again cannot cure is returned, not raised: Ray Train would start the
    workers again and again for it. A killed worker is what the retries are for.

    Returns:
        On rank 0 `{"result": TrainResult}` as plain values (None from a trial),
        or `{"error": message, "kind": class name}`.
    """
    if job.home:
        os.environ["CROSSREC_HOME"] = job.home
    try:
        return {"result": _train(job)}
    except CrossrecError as err:
        return {"error": str(err), "kind": type(err).__name__}


def _train(job: WorkerJob) -> dict[str, Any] | None:
    import ray.train

    from crossrec.training import pipeline
    from crossrec.training.loop import fit

    _use_device(job.placement)
    rank = ray.train.get_context().get_world_rank()
    tell(job.board, job.domain, stage="preparing", rank=rank, pid=os.getpid())
    started = time.monotonic()
    made = in_turn(lambda: _prepare(job), job.placement.threads_per_worker)
    if job.trial:
        expect_cases(made.prepared.split, job.domain)
    with _checkpoint_folder() as folder:
        fitted = fit(
            made.prepared,
            placement=job.placement,
            on_epoch=lambda epoch: _report(epoch, save=rank == 0 and not job.trial),
            resume=Path(folder) if folder else None,
        )
    if rank != 0 or job.trial:
        return None
    return pipeline.finish(
        made,
        fitted,
        job.run,
        started,
        publish=job.publish,
        report=lambda stage: tell(job.board, job.domain, stage=stage),
    ).as_dict()


def _use_device(placement: Placement) -> None:
    import ray.train.torch
    import torch

    torch.set_num_threads(placement.threads_per_worker)
    if placement.use_gpu:
        # All workers of a machine see all its GPUs (Ray Train 2.60): each takes its own.
        torch.cuda.set_device(ray.train.torch.get_device())


def _prepare(job: WorkerJob) -> Ready:
    from crossrec.training import pipeline

    if not (Path(job.folder) / RUN_FILE).is_file():
        raise TrainingError(
            f"machine {platform.node()} does not see the run's folder {job.folder}; expected"
            " storage that all machines share: set CROSSREC_HOME to a folder on it"
        )
    on_cluster = job.placement.address is not None
    return pipeline.ready(
        job.domain, job.config, on_cluster=on_cluster, progress=_tell_encoding(job)
    )


def _tell_encoding(job: WorkerJob) -> Callable[[int, int], None]:
    """Tells the board how far encoding is, now and then."""
    told_at = [time.monotonic()]

    def tell_now_and_then(done: int, total: int) -> None:
        if time.monotonic() - told_at[0] > TELL_EVERY_S:
            told_at[0] = time.monotonic()
            text = f"encoding texts {done}/{total}"
            tell(job.board, job.domain, stage=text, completed=done, total=total)

    return tell_now_and_then


def in_turn(step: Callable[[], T], threads: int = 1) -> T:
    """Run `step` on rank 0 alone, then on the others, which find what it left in the cache.

    While rank 0 works it may use the threads of all workers of its machine.

    Raises:
        CrossrecError: the first failure of any rank, raised on every rank: a rank that went on
            alone would wait for ever in its first all-reduce.
    """
    import ray.train
    import torch

    context = ray.train.get_context()
    rank = context.get_world_rank()
    outcome: list[T] = []
    for turn in ("first", "others"):
        failure: CrossrecError | None = None
        if (rank == 0) == (turn == "first"):
            torch.set_num_threads(threads * (context.get_local_world_size() if rank == 0 else 1))
            try:
                outcome.append(step())
            except CrossrecError as err:
                failure = err
            torch.set_num_threads(threads)
        raise_together(failure)
    return outcome[0]


def raise_together(failure: CrossrecError | None) -> None:
    """Raise on every rank the first failure of any; all ranks must call it, None is no failure."""
    import torch.distributed as dist

    failures: list[CrossrecError | None] = [failure]
    if dist.is_initialized():
        failures *= dist.get_world_size()
        dist.all_gather_object(failures, failure)
    for found in failures:
        if found is not None:
            raise found


def _report(epoch: EpochReport, save: bool) -> None:
    """Hand an epoch to Ray Train: figures from all ranks, the checkpoint from one."""
    import ray.train

    if not save:
        ray.train.report(dict(epoch.metrics))
        return
    with tempfile.TemporaryDirectory(prefix="crossrec-") as folder:
        epoch.save(Path(folder))
        checkpoint = ray.train.Checkpoint.from_directory(folder)
        ray.train.report(dict(epoch.metrics), checkpoint=checkpoint)


def _checkpoint_folder() -> AbstractContextManager[str | None]:
    import ray.train

    checkpoint = ray.train.get_checkpoint()
    return checkpoint.as_directory() if checkpoint else nullcontext()


def tell(board: Any, domain: str, **event: Any) -> None:
    """Post an event on the driver's board, without waiting for it."""
    if board is not None:
        board.post.remote({"domain": domain, **event})
