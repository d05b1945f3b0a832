"""One trial of a search: trains a point and reports its epochs to Tune, alone or over workers.

Leaves to others: which points, and when a trial stops (search.py).

Over several workers a trial drives Ray Train. Two things of Ray 2.60 are worked around here:
- Tune stops a trial by killing its process. With it dies Ray Train's controller, which was to give
  the workers' CPUs back: they stay reserved until the job ends, and the next trial waits for them
  for ever. So the controller is told to end its workers first (`free_workers`).
- `ray.tune.integration.ray_train.TuneReportCallback` reports from a second thread, which may wait
  for ever when the training ends at the same time. So the trial's own thread reports.
"""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.train
from ray import tune
from ray.util.queue import Empty, Queue

from crossrec.config import Placement, RunConfig
from crossrec.data.split import expect_cases
from crossrec.errors import TrainingError
from crossrec.training.launch import fit_group
from crossrec.training.runs import claim_run, run_facts
from crossrec.training.worker import WorkerJob
from crossrec.tuning.spaces import Point, Space, apply_point

ABORT_TIMEOUT_S = 60.0
_POLL_S = 0.2


@dataclass(frozen=True)
class SearchJob:
    """One search; plain values, for it travels to the cluster."""

    domain: str
    run: str
    config: RunConfig
    placement: Placement
    space: Space
    n_trials: int
    seed: int
    home: str | None
    folder: str = ""
    board: Any = None
    controllers: Any = None
    """Handle of `Controllers`, made where the search runs."""


def trial(point: Point, job: SearchJob) -> None:
    """What Tune runs for each point."""
    if job.home:
        os.environ["CROSSREC_HOME"] = job.home
    config = apply_point(job.config, job.space, point)
    if job.placement.workers > 1:
        _over_workers(job, config)
    else:
        _in_this_process(job, config)


def _in_this_process(job: SearchJob, config: RunConfig) -> None:
    import torch

    from crossrec.training.loop import fit
    from crossrec.training.pipeline import ready

    torch.set_num_threads(job.placement.threads_per_worker)
    made = ready(job.domain, config, on_cluster=job.placement.address is not None)
    expect_cases(made.prepared.split, job.domain)
    fit(
        made.prepared,
        placement=job.placement,
        on_epoch=lambda epoch: tune.report(dict(epoch.metrics)),
    )


def _over_workers(job: SearchJob, config: RunConfig) -> None:
    trial_id = tune.get_context().get_trial_id()
    folder = Path(job.folder) / "trials" / trial_id
    claim_run(folder, job.run, run_facts("trial", config, ""))
    work = WorkerJob(
        domain=job.domain,
        run=job.run,
        config=config,
        placement=job.placement,
        home=job.home,
        folder=str(folder),
        trial=True,
    )
    epochs = Queue(actor_options={"num_cpus": 0})
    callback = TrialCallback(trial_id, job.controllers, epochs)
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(fit_group, work, [callback])
        ended = False
        while not ended:
            ended = training.done()  # before the look at the queue: nothing comes after
            with contextlib.suppress(Empty):
                while True:
                    tune.report(epochs.get(timeout=_POLL_S))
    outcome = training.result()
    if "error" in outcome:
        raise TrainingError(outcome["error"])


class TrialCallback(ray.train.UserCallback):
    """Runs beside Ray Train's controller: notes its handle, then passes each epoch on."""

    def __init__(self, trial_id: str, controllers: Any, epochs: Queue) -> None:
        self._trial_id = trial_id
        self._controllers = controllers
        self._epochs = epochs
        self._noted = False

    def after_report(
        self,
        run_context: object,
        metrics: list[dict[str, Any]],
        checkpoint: ray.train.Checkpoint | None,
    ) -> None:
        """Called by Ray Train for each epoch."""
        if not self._noted:
            handle = ray.get_runtime_context().current_actor
            ray.get(self._controllers.put.remote(self._trial_id, handle))
            self._noted = True
        self._epochs.put(metrics[0])


class Controllers:
    """Trial → handle of its controller; runs as an actor beside the search."""

    def __init__(self) -> None:
        self._handles: dict[str, Any] = {}

    def put(self, trial_id: str, controller: Any) -> None:
        """Note a controller."""
        self._handles[trial_id] = controller

    def pop(self, trial_id: str) -> Any:
        """Take it out; None where there is none."""
        return self._handles.pop(trial_id, None)


def free_workers(controllers: Any, trial_id: str) -> None:
    """Let the trial's controller end its workers and give their CPUs back, if it still runs."""
    controller = ray.get(controllers.pop.remote(trial_id))
    if controller is not None:
        with contextlib.suppress(ray.exceptions.RayError):  # it has ended by itself
            ray.get(controller.abort.remote(), timeout=ABORT_TIMEOUT_S)
