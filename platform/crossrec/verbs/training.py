"""The verbs that train: train and publish, search for settings, transfer, cross-validate.

Leaves to others: doing it (training/, tuning/).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from crossrec.config import Placement, RunConfig, home
from crossrec.domains import load_domain
from crossrec.errors import ConfigError
from crossrec.verbs.data import dataset
from crossrec.verbs.feedback import add_feedback
from crossrec.verbs.inputs import Config, expect_domains, settings
from crossrec.verbs.progress import bar, both, training_bars
from crossrec.verbs.users import forget_again, known_users

if TYPE_CHECKING:
    from crossrec.data.folds import By
    from crossrec.evaluation.protocols import Evaluation
    from crossrec.shown.results import CrossValidated, Trained, Trainings, Transferred, Tuned
    from crossrec.training.transfer import TransferReport


def train(
    *domains: str,
    config: Config = None,
    overrides: Sequence[str] = (),
    workers: int = 0,
    address: str | None = None,
    run_name: str | None = None,
    since: str | None = None,
    publish: bool = True,
    progress: bool = False,
) -> Trainings:
    """Train each domain, judge it on its test cases and publish its release.

    Args:
        since: put the exported feedback that came then or later behind the imported interactions
            first: `all`, days such as `30d`, or a date; None: the data as they are.
        workers: processes of Ray Train; 0 trains in this process, without Ray.
        address: of a Ray cluster (`auto`, `ray://…`); None: a local one that ends with the run.
        run_name: repeat it to resume a run that was cut off; needs workers.
        progress: draw progress bars.

    Raises:
        ConfigError: a setting is wrong, or a run without workers was given a name.
        DataError: a domain was never imported; nothing was started, unless on a cluster.
        TrainingError: no cluster, not enough of it, or training diverged.
    """
    from crossrec.shown.base import shown_as
    from crossrec.shown.results import Trained, Trainings

    expect_domains(domains)
    configs = {domain: settings(config, overrides, domain) for domain in domains}
    if since is not None:
        for domain, own in configs.items():
            task = own.task or load_domain(domain).task
            add_feedback(domain, since, rated_only=task == "rate")
    here = workers == 0 and address is None
    if here and run_name is not None:
        raise ConfigError(
            f"a run without Ray cannot be resumed, got the name '{run_name}';"
            " leave it out, or train with --workers 1 or more"
        )
    if address is None:  # the machines of a cluster may have data that this one lacks
        for domain in domains:
            dataset(domain)
    read = {domain: known_users(domain) for domain in domains if publish}
    results = Trainings()
    try:
        if here:
            results += (_train_here(one, configs[one], publish, progress) for one in domains)
        else:
            from crossrec.training.launch import train_on_ray

            placement = Placement(workers=max(1, workers), address=address)
            made = train_on_ray(
                configs, placement, run_name=run_name, publish=publish, show=progress
            )
            results += (shown_as(Trained, one) for one in made)
    finally:  # whoever was erased while it trained
        for domain in domains:
            published = [one.release for one in results if one.release and one.domain == domain]
            forget_again(domain, published, read.get(domain, ()))
    return results


def _train_here(domain: str, config: RunConfig, publish: bool, show: bool) -> Trained:
    from crossrec.shown.base import shown_as
    from crossrec.shown.results import Trained
    from crossrec.training.pipeline import train_here

    with training_bars(domain, config.training.epochs_at_most, show) as bars:

        def stage(text: str, **steps: int) -> None:
            bars.update({"domain": domain, "stage": text, **steps})

        result = train_here(
            domain,
            config,
            publish=publish,
            on_epoch=lambda epoch: bars.update({"domain": domain, "metrics": dict(epoch.metrics)}),
            report=stage,
            progress=lambda done, total: stage("encoding texts", completed=done, total=total),
        )
        bars.done(domain, f"done, {len(result.history)} epochs")
    return shown_as(Trained, result)


def tune(
    domain: str,
    *,
    trials: int = 20,
    config: Config = None,
    overrides: Sequence[str] = (),
    space: Path | str | None = None,
    workers: int = 1,
    address: str | None = None,
    seed: int = 0,
    run_name: str | None = None,
    progress: bool = False,
) -> Tuned:
    """Search for the settings with the best validation NDCG@10; the best is one YAML for `train`.

    A trial's figure is that of the sequence model, before its fusion with the other signals.

    Args:
        trials: trials in all.
        config: the settings that do not vary.
        space: YAML of what varies; None: what is worth varying in the config's mode and
            task (LoRA's rank and targets in adapted mode only).
        workers: processes of one trial.
        run_name: repeat it to go on with a search, or to add trials.

    Raises:
        ConfigError: the space does not fit the config.
        TrainingError: no cluster, not enough of it, or no trial gave a figure.
    """
    from crossrec.shown.base import shown_as
    from crossrec.shown.results import Tuned
    from crossrec.tuning.search import tune_domain
    from crossrec.tuning.spaces import read_space

    expect_domains([domain])
    found = tune_domain(
        domain,
        settings(config, overrides, domain),
        Placement(workers=workers, address=address),
        trials,
        space=read_space(Path(space)) if space else None,
        seed=seed,
        run_name=run_name,
        show=progress,
    )
    return shown_as(Tuned, found)


def transfer(
    *sources: str,
    to: str,
    shares: Sequence[float] | None = None,
    config: Config = None,
    overrides: Sequence[str] = (),
    source_users: int | None = 2000,
    publish: bool = False,
    tell: Callable[[str], None] | None = None,
    progress: bool = False,
) -> Transferred:
    """Try what a domain gains from others when little of it is known: zero-shot and few-shot.

    Args:
        sources: domains whose towers (and LoRA, in adapted mode) it may begin with: each alone,
            their average, and weights that they learn together.
        to: the domain that takes over.
        shares: of its users, who are learned from; None: 0, 1, 5, 10 and 25 %.
        source_users: users drawn of each source; None: all.
        publish: train on all users of `to` from the start that was chosen at the largest share,
            and publish the release. Where that is 0, nobody's interactions are read for it.
        tell: told each step in words.
        progress: show each step as it is done.

    Raises:
        ConfigError: no source, one that is the target, or a share that is none.
        DataError: a domain was never imported.
    """
    from crossrec.shown.base import shown_as
    from crossrec.shown.results import Transferred
    from crossrec.training import transfer as rooms
    from crossrec.training.pipeline import train_here

    expect_domains([*sources, to])
    run_config = settings(config, overrides, to)
    with bar(f"transfer to {to}", None, progress) as draw:
        told = both(draw, tell)
        report = rooms.transfer(
            [dataset(source) for source in sources],
            dataset(to),
            run_config,
            rooms.SHARES if shares is None else shares,
            source_users=source_users,
            tell=told,
        )
        if all(one.chosen.test.n for one in report.shares):  # else there is no figure to keep
            _keep(report)
        if not publish:
            return shown_as(Transferred, report)
        largest = max(report.shares, key=lambda one: one.share)
        zero_shot = largest.share == 0
        read: set[str] = set() if zero_shot else known_users(to)
        result = train_here(
            to,
            run_config,
            start=report.starts.get(largest.chosen.start),
            split=rooms.zero_shot_split(dataset(to), run_config) if zero_shot else None,
            report=lambda stage: told(f"{to}: {stage}"),
        )
    forget_again(to, [result.release] if result.release else [], read)
    return shown_as(Transferred, replace(report, release=result.release))


def _keep(report: TransferReport) -> None:
    """Leave it where the app looks: `<home>/transfers/<when>-<target>.json`."""
    now = time.time()
    folder = home() / "transfers"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}-{report.target}.json"
    text = json.dumps({"at": int(now), **report.to_dict()}, indent=1)
    (folder / name).write_text(text, encoding="utf-8")


def cross_validate(
    domain: str,
    *,
    folds: int = 5,
    by: By = "user",
    config: Config = None,
    overrides: Sequence[str] = (),
    on_fold: Callable[[int, Evaluation], None] = lambda number, evaluation: None,
    progress: bool = False,
) -> CrossValidated:
    """Judge settings on folds of users or of time: one training a fold, nothing published.

    Args:
        by: `user`: users never seen in training; `time`: what comes after the training.
        on_fold: called with each fold that is done, from 1, and its figures.
        progress: draw a bar of the folds.

    Raises:
        ConfigError: a setting is wrong.
        DataError: never imported, or the data cannot be cut so.
    """
    from crossrec.shown.base import shown_as
    from crossrec.shown.results import CrossValidated
    from crossrec.training import folds as rooms

    expect_domains([domain])
    run_config = settings(config, overrides, domain)
    with bar(f"folds of {domain}", folds, progress) as draw:

        def done(number: int, evaluation: Evaluation) -> None:
            draw(f"fold {number}")
            on_fold(number, evaluation)

        report = rooms.cross_validate(dataset(domain), run_config, folds, by, on_fold=done)
    return shown_as(CrossValidated, report)
