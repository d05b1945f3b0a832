"""`crossrec train`, `tune` and `evaluate`.

Leaves to others: the work and its progress bars (training/, tuning/, evaluation/).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from crossrec import verbs
from crossrec.commands.output import (
    Address,
    AsJson,
    ConfigFile,
    Domains,
    OneDomain,
    Overrides,
    err,
    out,
    print_json,
    print_table,
    progress_bars,
)
from crossrec.domains import load_domain
from crossrec.errors import CrossrecError
from crossrec.releases.store import Release, ReleaseStore
from crossrec.training.runs import TrainResult

OWN_FIGURES = {"rmse": "RMSE", "mae": "MAE", "macro_f1": "macro-F1", "accuracy": "accuracy"}
"""Of the tasks rate and classify: key in the metrics → name."""

Workers = Annotated[
    int, typer.Option(min=0, help="Processes of Ray Train; 0: this process, without Ray.")
]
RunName = Annotated[
    str | None, typer.Option(help="Name of the run; an earlier one's name resumes it.")
]
Publish = Annotated[bool, typer.Option(help="Publish a release and make it current.")]


def train(
    domains: Domains,
    workers: Workers = 1,
    address: Address = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    run_name: RunName = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN",
            help="Learn from exported feedback that came since: all, days (30d) or a date.",
        ),
    ] = None,
    publish: Publish = True,
    as_json: AsJson = False,
) -> None:
    """Train domains, judge each on its test cases, publish their releases.

    \b
    crossrec train movies grocery restaurants_sim --workers 2
    crossrec train movies --set training.mode=adapted --set model.dim=64
    crossrec train movies --config best.yaml --address auto
    crossrec feedback export movies && crossrec train movies --since 2026-01-31
    """
    before = _current_releases(domains)
    results = verbs.train(
        *domains,
        config=config,
        overrides=overrides or (),
        workers=workers,
        address=address,
        run_name=run_name,
        since=since,
        publish=publish,
        progress=True,
    )
    _warn_of_other_tasks(before, results)
    if as_json:
        print_json([result.as_dict() for result in results])
        return
    rows = [
        (
            result.domain,
            _figure(result.metrics),
            len(result.history),
            f"{result.seconds:.0f} s",
            result.release or "not published",
        )
        for result in results
    ]
    print_table(("domain", "figures (test)", "epochs", "time", "release"), rows, "")
    for result in results:
        if untaught := result.metrics.get("untaught"):
            out.print(untaught, markup=False, highlight=False, soft_wrap=True)
        if mode := result.metrics.get("mode"):
            said = f"{result.domain}: encoder {mode['chosen']}; {mode['why']}"
            out.print(said, markup=False, highlight=False, soft_wrap=True)
    _tell_settings(config, overrides or (), results)
    after = f"next: crossrec serve {' '.join(domains)} --open-on-loopback"
    out.print(f"run {results[0].run}; {after if publish else 'nothing published'}", markup=False)


def _tell_settings(
    config: ConfigFile, overrides: Sequence[str], results: Sequence[TrainResult]
) -> None:
    """Which settings were not as they come, be it by a domain's YAML, a file or the command."""
    for result in results:
        changed = verbs.settings(config, overrides, result.domain).changed()
        if changed:
            named = ", ".join(f"{name}={value}" for name, value in changed.items())
            said = f"{result.domain}: trained with {named}"
            out.print(said, markup=False, highlight=False, soft_wrap=True)


def _current_releases(domains: list[str]) -> dict[str, Release]:
    """Domain → its current release; damaged or missing ones are left out."""
    store, found = ReleaseStore(), {}
    for domain in domains:
        with suppress(CrossrecError):
            found[domain] = store.show(domain)
    return found


def _warn_of_other_tasks(before: dict[str, Release], results: Sequence[TrainResult]) -> None:
    """Say where a release took the place of one that predicts something else."""
    for result in results:
        old = before.get(result.domain)
        if old is None or result.release is None:
            continue
        with suppress(CrossrecError):  # an old release that cannot be read warns of nothing
            new = ReleaseStore().show(result.domain, result.release)
            if new.task != old.task:
                err.print(
                    f"warning: the current release of {new.domain}, {new.version}, now has the task"
                    f" {new.task}; the one before, {old.version}, had the task {old.task}; to have"
                    f" it back: crossrec release rollback {old.domain} --to {old.version}",
                    style="yellow",
                    markup=False,
                )


def tune(
    domain: OneDomain,
    trials: Annotated[int, typer.Option(min=1, help="Trials in all.")] = 20,
    workers: Annotated[int, typer.Option(min=1, help="Processes of one trial.")] = 1,
    address: Address = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    space: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML of what varies; none: as said above.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    run_name: RunName = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Chart of the trials: .png or .svg.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Search for the settings with the best validation NDCG@10 of the sequence model.

    That is the model before its fusion with the other signals; the task rate goes by minus RMSE.
    Optuna draws the trials, ASHA stops the hopeless ones; the best settings are one YAML.

    Learning rate, temperature, weight decay, dropouts and history length vary. Layers, rank,
    targets, dropout and learning rate of LoRA vary where training.mode is adapted, by the domain's
    YAML or --set: else no LoRA trains.

    \b
    crossrec tune movies --trials 20
    crossrec tune movies --trials 4 --workers 2 --set training.mode=adapted
    """
    result = verbs.tune(
        domain,
        trials=trials,
        config=config,
        overrides=overrides or (),
        space=space,
        workers=workers,
        address=address,
        seed=seed,
        run_name=run_name,
        progress=True,
    )
    if plot is not None:
        from crossrec import plots

        task = result.config.task or load_domain(domain).task
        metric = "minus RMSE" if task == "rate" else "NDCG@10"
        plots.save(plots.trials(result.frame(), metric), plot)
    if as_json:
        print_json(result.as_dict())
        return
    out.print(result.table())
    out.print(f"next: crossrec train {domain} --config {result.config_file}", markup=False)


def evaluate(
    domain: OneDomain,
    release: Annotated[str, typer.Option(help="A version, or current.")] = "current",
    baseline: Annotated[
        list[str] | None, typer.Option(help="Only this baseline; repeatable. none: no baseline.")
    ] = None,
    reasons: Annotated[
        int, typer.Option(min=0, help="Test users whose explanations are put to the deletion test.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Compare a release with baselines fitted now and the peers' published figures.

    Full ranking of the catalogue; warm and cold targets apart, with confidence intervals,
    protocol and data hash. What was found is kept for the app's pages.

    \b
    crossrec evaluate movies
    crossrec evaluate movies --reasons 100
    crossrec evaluate movies --baseline ease_recency --baseline popularity --json
    """
    from crossrec.models.baselines import NAMES

    wanted = NAMES if baseline is None else tuple(name for name in baseline if name != "none")
    with progress_bars() as progress:
        task = progress.add_task(f"judging {domain}", total=len(wanted) + 1)
        report = verbs.evaluate(
            domain,
            release=release,
            baselines=wanted,
            reasons=reasons,
            on_step=lambda name: progress.update(task, advance=1, description=name),
        )
    if as_json:
        print_json(report.to_dict())
    else:
        out.print(report.table())


def _figure(metrics: dict[str, Any]) -> str:
    """The figures of the task: of ratings and labels their own, else NDCG@10 with its interval.

    >>> _figure({"metrics": {"ndcg@10": 0.2, "rmse": 0.96, "mae": 0.75}})
    'RMSE 0.9600, MAE 0.7500'
    """
    known = metrics["metrics"]
    own = [f"{name} {known[key]:.4f}" for key, name in OWN_FIGURES.items() if key in known]
    if own:
        return ", ".join(own)
    low, high = metrics["ci95"]["ndcg@10"]
    if known["ndcg@10"] is None:
        return "none"
    return f"NDCG@10 {known['ndcg@10']:.4f} [{low:.4f}, {high:.4f}]"
