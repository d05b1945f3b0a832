"""Trains domains on Ray, each over a group of workers, and brings back releases and figures.

Leaves to others: connecting (cluster.py), what a worker does (worker.py), bars (board.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
import ray.train

from crossrec.config import Placement, RunConfig
from crossrec.data.dataset import Dataset
from crossrec.errors import CrossrecError, TrainingError, error_class
from crossrec.training.board import Bars, Board, Event
from crossrec.training.cluster import groups_at_once, ray_session, uses_gpu, worker_resources
from crossrec.training.runs import TrainResult, claim_run, new_run_name, run_facts, run_folder
from crossrec.training.worker import WorkerJob, tell, train_worker

MAX_WORKER_FAILURES = 3
"""Times that a group starts again from its last checkpoint after a worker died."""
COLLECTIVE_TIMEOUT_S = 6 * 3600
"""Others wait this long while rank 0 encodes a catalogue; a dead worker is noticed by Ray."""
_POLL_S = 0.25

Outcome = dict[str, Any]
"""`{"result": TrainResult as values}` or `{"error": message, "kind": class name}`."""


def train_on_ray(
    configs: Mapping[str, RunConfig],
    placement: Placement,
    *,
    run_name: str | None = None,
    publish: bool = True,
    show: bool = False,
    on_event: Callable[[Event], None] | None = None,
) -> list[TrainResult]:
    """Train each domain over `placement.workers` workers, as many side by side as fit.

    All that touches data runs in the cluster: workers read `$CROSSREC_HOME` as the driver has it
    set, or as their own machine has it, and rank 0 judges and publishes.

    Args:
        configs: domain → its settings.
        run_name: repeat it to resume a run that was cut off; None: a new one.
        publish: publish a release of each domain.
        show: draw progress bars, or write lines where there is no terminal.
        on_event: called with each event of a run, as it arrives in the driver.

    Returns:
        One result a domain, in the order of `configs`.

    Raises:
        TrainingError: no cluster, not enough of it, a run name taken, or a domain failed (the
            others are finished first).
        CrossrecError: the one domain there is failed for a reason with a class of its own.
    """
    run = run_name or new_run_name()
    run_folder(run)  # its name is checked before anything starts
    epochs = {domain: config.training.epochs_at_most for domain, config in configs.items()}
    with ray_session(placement), Bars(epochs, show) as bars:
        board = ray.remote(Board).options(num_cpus=0).remote()
        jobs = [
            WorkerJob(
                domain=domain,
                run=run,
                config=config,
                placement=placement.model_copy(update={"use_gpu": uses_gpu(placement)}),
                home=os.environ.get("CROSSREC_HOME"),
                publish=publish,
                board=board,
            )
            for domain, config in configs.items()
        ]
        outcomes = _run_all(jobs, groups_at_once(placement), bars, on_event or (lambda event: None))
    return _results(list(configs), outcomes)


def _run_all(
    jobs: list[WorkerJob], at_once: int, bars: Bars, on_event: Callable[[Event], None]
) -> dict[str, Outcome]:
    """Keep `at_once` trainings going until all have ended; domain → outcome."""
    waiting = list(jobs)
    going: dict[ray.ObjectRef, WorkerJob] = {}
    outcomes: dict[str, Outcome] = {}
    try:
        while waiting or going:
            while waiting and len(going) < at_once:
                job = waiting.pop(0)
                going[_start(job)] = job
            ended, _ = ray.wait(list(going), timeout=_POLL_S)
            for event in ray.get(jobs[0].board.drain.remote()):
                bars.update(event)
                on_event(event)
            for task in ended:
                domain = going.pop(task).domain
                outcomes[domain] = _outcome(task)
                bars.done(domain, _summary(outcomes[domain]))
    finally:
        for task in going:  # left only by an interrupt: ends the task, its workers follow
            ray.cancel(task)
    return outcomes


def _start(job: WorkerJob) -> ray.ObjectRef:
    # Two tries: when the machine of the task is lost, the second resumes the run by its name.
    return ray.remote(num_cpus=0, max_retries=1)(drive).remote(job)


def _outcome(task: ray.ObjectRef) -> Outcome:
    try:
        outcome: Outcome = ray.get(task)
        return outcome
    except ray.exceptions.RayError as err:
        return {"error": f"the training's own task failed: {err}", "kind": "TrainingError"}


def drive(job: WorkerJob) -> Outcome:
    """One training, from inside the cluster: claim the run, start its workers, wait for them."""
    if job.home:
        os.environ["CROSSREC_HOME"] = job.home
    folder = run_folder(job.run) / job.domain
    try:
        data_hash = Dataset.open(job.domain).content_hash
        claim_run(folder, job.run, run_facts("train", job.config, data_hash))
        tell(job.board, job.domain, stage=f"starting {job.placement.workers} workers")
        callbacks = [_BoardCallback(job.board, job.domain)]
        return fit_group(replace(job, folder=str(folder)), callbacks)
    except CrossrecError as err:
        return {"error": str(err), "kind": type(err).__name__}


def fit_group(job: WorkerJob, callbacks: list[ray.train.UserCallback]) -> Outcome:
    """Run `train_worker` on a group of workers, with a checkpoint an epoch and retries.

    Raises:
        TrainingError: the workers died too often, or Ray Train could not start them.
    """
    from ray.train.torch import TorchConfig, TorchTrainer

    # Ray Train 2.60 takes one report of each worker every two seconds: epochs that are faster
    # would wait in a queue, and a run of seconds would end a minute later.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.1")
    folder = Path(job.folder)
    trainer = TorchTrainer(
        train_worker,
        train_loop_config=job,
        # The loop sums figures on the CPU also where the weights are on GPUs.
        torch_config=TorchConfig(
            backend="cpu:gloo,cuda:nccl" if job.placement.use_gpu else "gloo",
            timeout_s=COLLECTIVE_TIMEOUT_S,
        ),
        scaling_config=ray.train.ScalingConfig(
            num_workers=job.placement.workers,
            use_gpu=bool(job.placement.use_gpu),
            resources_per_worker=worker_resources(job.placement),
        ),
        run_config=ray.train.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            failure_config=ray.train.FailureConfig(max_failures=MAX_WORKER_FAILURES),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
            callbacks=callbacks,
        ),
    )
    try:
        outcome: Outcome = trainer.fit().return_value
    except ray.train.TrainingFailedError as err:
        raise TrainingError(_reason(err)) from err
    return outcome


class _BoardCallback(ray.train.UserCallback):
    """Runs beside Ray Train's controller: tells the board what rank 0 reported."""

    def __init__(self, board: Any, domain: str) -> None:
        self._board = board
        self._domain = domain

    def after_report(
        self,
        run_context: object,
        metrics: list[dict[str, Any]],
        checkpoint: ray.train.Checkpoint | None,
    ) -> None:
        tell(self._board, self._domain, metrics=metrics[0])

    def after_exception(self, run_context: object, worker_exceptions: dict[int, Exception]) -> None:
        ranks = ", ".join(str(rank) for rank in sorted(worker_exceptions))
        tell(self._board, self._domain, stage=f"worker {ranks} failed, resuming")


def _reason(err: Exception) -> str:
    """What went wrong on the first rank that failed; Ray's own message is many tracebacks long."""
    failures = getattr(err, "worker_failures", {})
    first = failures[min(failures)] if failures else err
    lines = [line.strip() for line in str(first).splitlines() if line.strip()]
    where = f"worker {min(failures)}: " if failures else ""
    told = lines[0] if lines else repr(first)
    return f"training failed, also after {MAX_WORKER_FAILURES} retries: {where}{told}"


def _summary(outcome: Outcome) -> str:
    if "error" in outcome:
        return f"failed: {outcome['error']}"
    result = TrainResult(**outcome["result"])
    return f"done, {len(result.history)} epochs" + (
        f", release {result.release}" if result.release else ""
    )


def _results(domains: list[str], outcomes: dict[str, Outcome]) -> list[TrainResult]:
    failed = {domain: o for domain, o in outcomes.items() if "error" in o}
    if not failed:
        return [TrainResult(**outcomes[domain]["result"]) for domain in domains]
    if len(domains) == 1:
        [outcome] = failed.values()
        raise error_class(outcome["kind"], TrainingError)(outcome["error"])
    told = "; ".join(f"{domain}: {o['error']}" for domain, o in failed.items())
    kept = ", ".join(domain for domain in domains if domain not in failed) or "none"
    raise TrainingError(f"{len(failed)} of {len(domains)} domains failed ({told}); done: {kept}")
