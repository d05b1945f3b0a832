"""Reads what runs, evaluations and searches left in the home, for those who look into them.

Leaves to others: two evaluations beside each other (comparing.py), maps and profiles, which need
large libraries (pictures.py), routes (insight_routes.py).
"""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from crossrec.config import home
from crossrec.errors import CrossrecError, ReleaseError, RequestError
from crossrec.evaluation.saved import path_of, read_figures
from crossrec.releases.store import Release, ReleaseStore
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.insight_messages import (
    Experiment,
    ExperimentCard,
    ExperimentList,
    LiveState,
    ReleaseCard,
    ReleaseList,
    ReleaseReport,
    TransferList,
)
from crossrec.serving.live_figures import read_page

TRIALS = "trials.jsonl"
"""What a search keeps of its trials (tuning/selection.py), in `<home>/runs/<run>/<domain>/`."""
JUDGED = "NDCG@10 of the sequence model before fusion, on validation (task rate: minus RMSE)"
N_DAYS = 30
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def releases(domain: str) -> ReleaseList:
    """Releases of a domain, newest first.

    Raises:
        UnknownDomainError: it has none.
    """
    store = ReleaseStore()
    store.show(domain)
    cards = []
    for release in reversed(store.list(domain)):
        with suppress(CrossrecError, OSError, ValueError):
            cards.append(_card(release))
    return ReleaseList(releases=cards)


def _card(release: Release) -> ReleaseCard:
    manifest, metrics = release.manifest, release.metrics
    return ReleaseCard(
        version=release.version,
        created=manifest.created,
        current=release.is_current,
        evaluated=path_of(release.domain, release.version).is_file(),
        protocol=manifest.protocol,
        data_hash=manifest.data_hash,
        seed=manifest.seed,
        n=metrics.get("n"),
        metrics=metrics.get("metrics", {}) | metrics.get("coverage", {}),
        ci95=metrics.get("ci95", {}),
    )


def version_of(domain: str, version: str) -> str:
    """The version that a name such as `current` stands for.

    Raises:
        UnknownDomainError, UnknownReleaseError: there is no such domain, or no such release.
    """
    return ReleaseStore().show(domain, version).version


def report(domain: str, version: str) -> ReleaseReport:
    """What the evaluation of a release found.

    Raises:
        UnknownDomainError, UnknownReleaseError: there is no such release.
        RequestError: it was never evaluated.
    """
    version = version_of(domain, version)
    try:
        figures = read_figures(domain, version)
    except ReleaseError as err:
        raise RequestError(str(err)) from err
    return ReleaseReport(domain=domain, version=version, **figures)


def experiments() -> ExperimentList:
    """Every search on record, newest first."""
    found = []
    for path in sorted((home() / "runs").glob(f"*/*/{TRIALS}"), reverse=True):
        trials = _trials(path)
        values = [one["value"] for one in trials if one.get("value") is not None]
        run, domain = path.parent.parent.name, path.parent.name
        best = max(values, default=None)
        found.append(ExperimentCard(run=run, domain=domain, n_trials=len(trials), best=best))
    return ExperimentList(experiments=found)


def experiment(run: str, domain: str) -> Experiment:
    """One search with its trials, in the order they were drawn.

    Raises:
        RequestError: no search of that name is on record.
    """
    path = home() / "runs" / run / domain / TRIALS
    if not (_NAME.fullmatch(run) and _NAME.fullmatch(domain) and path.is_file()):
        raise RequestError(f"no search '{run}' of '{domain}' is on record; see /v1/experiments")
    trials = sorted(_trials(path), key=lambda one: one["trial"])
    return Experiment(run=run, domain=domain, judged=JUDGED, trials=trials)


def _trials(path: Path) -> list[dict[str, Any]]:
    """Whole lines; the last one may be cut off while a search runs."""
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def transfers() -> TransferList:
    """Every transfer on record, newest first."""
    found = []
    for path in sorted((home() / "transfers").glob("*.json"), reverse=True):
        with suppress(ValueError, OSError):
            found.append(json.loads(path.read_text(encoding="utf-8")))
    return TransferList(transfers=found)


def live(states: dict[str, str], page: bytes, log: FeedbackLog) -> LiveState:
    """What the service is doing.

    Args:
        states: application → its state in words.
        page: of all figures, in Prometheus' format.
        log: of feedback.
    """
    alerts = [
        f"{name} is {state.lower().replace('_', ' ')}, not running"
        for name, state in sorted(states.items())
        if state != "RUNNING"
    ]
    now = time.time()
    columns = ("domain", "day", "event", "n", "n_users")
    rows = log.per_day(now - N_DAYS * 24 * 3600)
    feedback = [dict(zip(columns, row, strict=True)) for row in rows]
    figures = read_page(page)
    return LiveState(
        at=now,
        applications=states,
        feedback=feedback,
        requests=figures.requests,
        stages=figures.stages,
        drift=figures.drift,
        alerts=[*alerts, *figures.alerts],
    )
