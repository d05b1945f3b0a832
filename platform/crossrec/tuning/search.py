"""Searches a domain's best config on Ray: Optuna draws points, ASHA stops the hopeless ones.

Leaves to others: what may vary (spaces.py), a trial itself (trials.py), choice (selection.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ray
from ray import tune

from crossrec.config import Placement, RunConfig
from crossrec.data.dataset import Dataset
from crossrec.domains import load_domain
from crossrec.errors import CrossrecError, TrainingError, error_class
from crossrec.training.board import Bars, Board, Event
from crossrec.training.cluster import groups_at_once, ray_session, uses_gpu, worker_resources
from crossrec.training.runs import claim_run, new_run_name, run_facts, run_folder
from crossrec.training.worker import tell
from crossrec.tuning.selection import (
    TrialRecord,
    TuneResult,
    append_trial,
    read_trials,
    select,
)
from crossrec.tuning.spaces import Options, Point, Space, Span, check_space, default_space
from crossrec.tuning.trials import Controllers, SearchJob, free_workers, trial

METRIC = "best"
"""Best validation figure so far, as each epoch reports it; higher is better: NDCG@10, or minus
RMSE for the task `rate`."""
GRACE_EPOCHS = 3
"""Epochs that every trial gets before it may be stopped."""
REDUCTION = 3
"""At each rung the best third goes on."""
_POLL_S = 0.25


def tune_domain(
    domain: str,
    config: RunConfig,
    placement: Placement,
    n_trials: int,
    *,
    space: Space | None = None,
    seed: int = 0,
    run_name: str | None = None,
    show: bool = False,
    on_event: Callable[[Event], None] | None = None,
) -> TuneResult:
    """Search for the config with the best validation figure (the test part is never looked at).

    A trial trains over `placement.workers` workers; as many trials run at once as have room for
    all their workers, so that none waits for ever with half of them.

    Args:
        config: the settings that do not vary.
        n_trials: trials in all, those on record of a run that is resumed among them.
        space: what varies; None: `default_space` of the config's mode and task.
        run_name: repeat it to resume a search that was cut off, or to add trials; None: a new one.
        show: draw a progress bar, or write lines where there is no terminal.
        on_event: called with each event (`trial`, `metrics`), as it arrives in the driver.

    Raises:
        ConfigError: the space does not fit the config.
        TrainingError: no cluster, not enough of it, a run name taken, or no trial gave a figure.
    """
    task = config.task or load_domain(domain).task
    chosen = space if space is not None else default_space(config.training.mode, task)
    check_space(chosen)
    if n_trials < 1:
        raise TrainingError(f"{n_trials} trials were asked for; expected at least 1")
    run = run_name or new_run_name()
    run_folder(run)  # its name is checked before anything starts
    with ray_session(placement), Bars({domain: n_trials}, show) as bars:
        board = ray.remote(Board).options(num_cpus=0).remote()
        job = SearchJob(
            domain=domain,
            run=run,
            config=config,
            placement=placement.model_copy(update={"use_gpu": uses_gpu(placement)}),
            space=chosen,
            n_trials=n_trials,
            seed=seed,
            home=os.environ.get("CROSSREC_HOME"),
            board=board,
        )
        return _follow(job, bars, on_event or (lambda event: None))


def _follow(job: SearchJob, bars: Bars, on_event: Callable[[Event], None]) -> TuneResult:
    """Start the search in the cluster and show what it tells until it ends."""
    task = ray.remote(num_cpus=0, max_retries=1)(search).remote(job)
    try:
        ended: list[ray.ObjectRef] = []
        while not ended:
            ended, _ = ray.wait([task], timeout=_POLL_S)
            for event in ray.get(job.board.drain.remote()):
                bars.update(event)
                on_event(event)
        outcome = ray.get(task)
    except ray.exceptions.RayError as err:
        raise TrainingError(f"the search's own task failed: {err}") from err
    finally:
        ray.cancel(task)  # left only by an interrupt; nothing to a task that has ended
    if isinstance(outcome, TuneResult):
        bars.done(job.domain, f"best {outcome.value:.4f}")
        return outcome
    raise error_class(outcome["kind"], TrainingError)(outcome["error"])


def search(job: SearchJob) -> TuneResult | dict[str, str]:
    """The search, from inside the cluster; an error comes back as its message and class name."""
    if job.home:
        os.environ["CROSSREC_HOME"] = job.home
    try:
        return _search(replace(job, folder=str(run_folder(job.run) / job.domain)))
    except CrossrecError as err:
        return {"error": str(err), "kind": type(err).__name__}


def _search(job: SearchJob) -> TuneResult:
    folder = Path(job.folder)
    facts = run_facts("tune", job.config, Dataset.open(job.domain).content_hash)
    space = {name: dimension.model_dump() for name, dimension in job.space.items()}
    claim_run(folder, job.run, facts | {"space": space})
    before = read_trials(folder)
    if len(before) < job.n_trials:
        controllers = ray.remote(Controllers).options(num_cpus=0).remote()
        _tuner(replace(job, controllers=controllers), before).fit()
    return select(job.domain, job.run, job.config, job.space, folder)


def _tuner(job: SearchJob, before: list[TrialRecord]) -> tune.Tuner:
    from ray.tune.schedulers import ASHAScheduler

    max_epochs = job.config.training.max_epochs
    return tune.Tuner(
        tune.with_resources(tune.with_parameters(trial, job=job), _trial_resources(job.placement)),
        tune_config=tune.TuneConfig(
            search_alg=_optuna(job, before),
            scheduler=ASHAScheduler(
                metric=METRIC,
                mode="max",
                max_t=max_epochs,
                grace_period=min(GRACE_EPOCHS, max_epochs),
                reduction_factor=REDUCTION,
            ),
            num_samples=job.n_trials - len(before),
            max_concurrent_trials=groups_at_once(job.placement),
        ),
        run_config=tune.RunConfig(
            name=f"tune-{new_run_name()}",
            storage_path=job.folder,
            callbacks=[Recorder(job, len(before), max((one.trial for one in before), default=0))],
            verbose=0,
        ),
    )


def _trial_resources(placement: Placement) -> dict[str, float]:
    """What the trial's own process holds.

    Over several workers it only waits for them. It then must not hold any share of a CPU: with
    0.01 of two CPUs taken, two workers that need one each never start (seen on Ray 2.60). A trial
    has to hold something, so it holds a byte of memory.
    """
    if placement.workers > 1:
        return {"CPU": 0.0, "memory": 1.0}
    return worker_resources(placement)


def _optuna(job: SearchJob, before: list[TrialRecord]) -> tune.search.Searcher:
    """Optuna's sampler, which knows the trials on record, or else begins with the config given."""
    from ray.tune.search.optuna import OptunaSearch

    known = [one for one in before if one.value is not None]
    start = _as_point(job.config, job.space)
    first = [start] if start and not before else None
    return OptunaSearch(
        {name: _distribution(dimension) for name, dimension in job.space.items()},
        metric=METRIC,
        mode="max",
        # Another seed after a resume, or the sampler would draw the recorded points again.
        seed=job.seed + len(before),
        points_to_evaluate=[dict(one.point) for one in known] or first,
        evaluated_rewards=[one.value for one in known] or None,
    )


def _distribution(dimension: Span | Options) -> Any:
    import optuna

    if isinstance(dimension, Options):
        return optuna.distributions.CategoricalDistribution(list(dimension.options))
    return optuna.distributions.FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _as_point(config: RunConfig, space: Space) -> Point | None:
    """The point that gives `config` itself; None where the space does not hold it."""
    point: Point = {}
    for name, dimension in space.items():
        value: Any = config
        for part in name.split("."):
            value = getattr(value, part)
        if isinstance(dimension, Options):
            names = [option for option, held in dimension.options.items() if held == value]
            if not names:
                return None
            point[name] = names[0]
        elif dimension.low <= value <= dimension.high:
            point[name] = float(value)
        else:
            return None
    return point


@dataclass
class Recorder(tune.Callback):
    """Puts each trial on record when it ends, and tells the driver how the search goes."""

    job: SearchJob
    n_before: int
    last_number: int
    numbers: dict[str, int] = field(default_factory=dict)
    figures: dict[str, list[float]] = field(default_factory=dict)
    """Trial → validation figure after each epoch."""
    bests: dict[str, list[float]] = field(default_factory=dict)
    """Trial → best of these up to each epoch; of the weights it begins with, where that is more."""
    top: float = float("-inf")
    n_ended: int = 0

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Number the trials in the order in which they were drawn."""
        for position, one in enumerate(trials, start=1):
            self.numbers[one.trial_id] = self.last_number + position

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Note an epoch."""
        if METRIC not in result:
            return
        self.bests.setdefault(trial.trial_id, []).append(float(result[METRIC]))
        self.figures.setdefault(trial.trial_id, []).append(_own_figure(result))
        self.top = max(self.top, float(result[METRIC]))
        self._tell(f"trial {self.numbers[trial.trial_id]} epoch {int(result['epoch'])}")

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record a trial that ended by itself or was stopped."""
        bests = self.bests.get(trial.trial_id, [])
        training = self.job.config.training
        since_best = len(bests) - 1 - bests.index(bests[-1]) if bests else 0
        ended = len(bests) >= training.max_epochs or since_best >= training.patience
        self._record(trial, "complete" if ended else "stopped early", None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record a trial that failed, with the last line of its error."""
        lines = (Path(trial.error_file).read_text() if trial.error_file else "unknown").splitlines()
        self._record(trial, "failed", next((x for x in reversed(lines) if x.strip()), "unknown"))

    def _record(self, trial: Any, state: str, error: str | None) -> None:
        free_workers(self.job.controllers, trial.trial_id)
        bests = self.bests.get(trial.trial_id, [])
        record = TrialRecord(
            trial=self.numbers[trial.trial_id],
            point=dict(trial.config),
            value=bests[-1] if bests else None,
            state=state,
            epochs=len(bests),
            seconds=float(trial.last_result.get("time_total_s", 0.0)),
            error=error,
            figures=self.figures.get(trial.trial_id, []),
        )
        append_trial(Path(self.job.folder), record)
        self.n_ended += 1
        self._tell(f"trial {record.trial} {state}")

    def _tell(self, what: str) -> None:
        top = f"  best {self.top:.4f}" if self.bests else ""
        done = self.n_before + self.n_ended
        text = f"{done}/{self.job.n_trials} trials  {what}{top}"
        tell(self.job.board, self.job.domain, stage=text, completed=done)


def _own_figure(result: dict[str, Any]) -> float:
    """An epoch's own validation figure, higher is better, as METRIC.

    >>> _own_figure({"validation_rmse": 0.9}), _own_figure({"validation_ndcg@10": 0.1})
    (-0.9, 0.1)
    """
    if "validation_rmse" in result:
        return -float(result["validation_rmse"])
    return float(result["validation_ndcg@10"])
