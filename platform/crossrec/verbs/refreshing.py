"""The verb `refresh`: train on what came in, and publish only what is better than what is served.

Leaves to others: training (training/), the cases and their judge (evaluation/), the log (serving/).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from crossrec.errors import ConfigError
from crossrec.shown.base import Shown
from crossrec.verbs.data import dataset
from crossrec.verbs.feedback import add_feedback, export_feedback, exported
from crossrec.verbs.progress import bar, both
from crossrec.verbs.users import forget_again, known_users

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from crossrec.data.split import Split
    from crossrec.evaluation.protocols import Evaluation
    from crossrec.models.domain_model import DomainModel
    from crossrec.releases.store import LoadedRelease
    from crossrec.training.loop import Fitted
    from crossrec.training.pipeline import Ready

METRIC = "ndcg@10"
MIN_CASES = 50
"""Newest cases that a decision needs: fewer, and nothing is published."""
PROTOCOLS = ("leave_one_out", "temporal", "cold_items")
"""Those whose cases are interactions, which is what feedback becomes."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Comparison:
    """Two models on the newest cases, case by case."""

    n_cases: int
    served: float
    """NDCG@10 of what is served."""
    trained: float
    """That of what was trained now."""
    difference: float
    ci95: tuple[float, float]
    """95 % bootstrap interval of the difference, paired by case."""

    @property
    def is_better(self) -> bool:
        """Enough cases, and better on them by more than their noise."""
        return self.n_cases >= MIN_CASES and self.ci95[0] > 0


@dataclass(frozen=True, repr=False)
class RefreshReport(Shown):
    """What was decided, and on what grounds."""

    domain: str
    served: str
    """Version that was current before."""
    release: str | None
    """The version that was published; None: the one before stays."""
    n_events: int
    """Feedback that came since the served release was published."""
    comparison: Comparison | None
    """None where there was nothing to compare."""
    decision: str
    """One sentence: what was done, and why."""

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)

    def headline(self) -> str:
        """Whether something was published."""
        what = f"published {self.release}" if self.release else f"{self.served} stays"
        return f"{self.domain}: {what}"

    def facts(self) -> dict[str, Any]:
        """What there was to learn from."""
        return {"feedback since": self.n_events}

    def sentences(self) -> list[str]:
        """The decision, and on what grounds."""
        return [self.decision]

    def to_polars(self) -> pl.DataFrame:
        """One row: cases, NDCG@10 of both, their difference and its interval; none without."""
        import polars as pl

        one = self.comparison
        names = ("served", "trained", "difference", "low", "high")
        kinds = {"n_cases": pl.Int64, **dict.fromkeys(names, pl.Float64)}
        rows = (
            []
            if one is None
            else [(one.n_cases, one.served, one.trained, one.difference, *one.ci95)]
        )
        return pl.DataFrame(rows, kinds, orient="row")


def refresh(
    domain: str, *, since: str = "all", tell: Tell | None = None, progress: bool = False
) -> RefreshReport:
    """Retrain a domain on its data and the feedback since; publish if that is better.

    Settings, protocol and seed are those of the served release. Both models answer the same newest
    cases: test cases whose target is feedback that came after the served release was published. The
    new one is published if its NDCG@10 is higher there by a paired bootstrap interval above 0.
    Where it is not, releases and data are as before.

    Args:
        since: feedback that came then or later, see `verbs.feedback.moment`.
        tell: told each step in words.
        progress: show each step as it is done.

    Raises:
        UnknownDomainError, ReleaseError: the domain has no release, or a damaged one.
        DataError: it was never imported.
        ConfigError: the release ranks no interactions.
    """
    with bar(f"refreshing {domain}", None, progress) as draw:
        return _refresh(domain, since, both(draw, tell))


def _refresh(domain: str, since: str, tell: Tell) -> RefreshReport:
    from crossrec.data.rebuild import restored_unless_kept
    from crossrec.releases.store import ReleaseStore

    served = ReleaseStore().load(domain)
    try:
        _expect_interactions(served)
        tell("exporting feedback")
        export_feedback(domain)
        events = exported(domain, since)
        manifest = served.release.manifest
        newest = events.filter(events["received_at"] >= manifest.published_at)
        if newest.is_empty():
            text = "nothing published: no feedback came since the served release was published"
            return RefreshReport(domain, manifest.version, None, 0, None, text)
        published: list[str] = []
        read: set[str] = set()
        try:
            with restored_unless_kept(dataset(domain)) as keep:
                add_feedback(domain, since)
                read = known_users(domain)
                report = _train_and_decide(served, newest, tell)
                if report.release is not None:
                    published.append(report.release)
                    keep()
        finally:  # also those who were erased while it trained
            forget_again(domain, published, read)
        return report
    finally:
        served.close()


def _expect_interactions(served: LoadedRelease) -> None:
    config, task = served.release.config, served.model.task
    if task != "rank" or served.release.manifest.protocol.split()[0] not in PROTOCOLS:
        raise ConfigError(
            f"release {served.release.version} of '{served.release.domain}' has the task {task} and"
            f" the protocol {config.protocol}; refresh compares rankings of interactions, so train"
            " it anew with: crossrec train --since all"
        )


def _train_and_decide(served: LoadedRelease, newest: pl.DataFrame, tell: Tell) -> RefreshReport:
    from crossrec.training.assemble import assemble
    from crossrec.training.loop import fit
    from crossrec.training.pipeline import judge_model, ready

    release = served.release
    made = ready(release.domain, release.config)
    tell("training")
    fitted = fit(made.prepared)
    model = assemble(made.prepared, fitted, report=lambda signal: tell(f"fitting {signal}"))
    tell("comparing with the served release")
    trained = judge_model(made.prepared, fitted, model)
    comparison = _compare(made.prepared.split, served, trained, newest)
    version = None
    if comparison.is_better:
        tell("publishing")
        version = _publish(made, fitted, model, trained, comparison)
    return RefreshReport(
        domain=release.domain,
        served=release.version,
        release=version,
        n_events=newest.height,
        comparison=comparison,
        decision=_decision(comparison, version),
    )


def _compare(
    split: Split, served: LoadedRelease, trained: Evaluation, newest: pl.DataFrame
) -> Comparison:
    """Both on the test cases whose target is among the newest events."""
    from crossrec.evaluation.protocols import judge
    from crossrec.evaluation.translation import Translated

    model = served.model
    score = Translated(model.score, model.vocabulary, split.sequences)
    before = judge(score, split, "test", request_dim=model.request_dim)
    rows = _newest_cases(split, newest)
    ours, theirs = trained.values(METRIC)[rows], before.values(METRIC)[rows]
    return Comparison(
        n_cases=len(rows),
        served=_mean(theirs),
        trained=_mean(ours),
        difference=_mean(ours - theirs),
        ci95=_interval(ours - theirs),
    )


def _interval(differences: NDArray[np.float64]) -> tuple[float, float]:
    """95 % by bootstrap; nothing was found where there is no case."""
    if not len(differences):
        return 0.0, 0.0
    import numpy as np

    from crossrec.evaluation import metrics

    return metrics.bootstrap_interval(differences, np.random.default_rng(0))


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else 0.0


def _newest_cases(split: Split, newest: pl.DataFrame) -> NDArray[np.int64]:
    """Numbers of the test cases whose target somebody had in one of the newest events."""
    import numpy as np

    pairs = set(zip(newest["user_id"], newest["item_id"], strict=True))
    sequences, cases = split.sequences, split.test
    users = [sequences.user_ids[user] for user in cases.users]
    targets = [sequences.item_ids[item] for item in split.targets(cases)]
    new = [pair in pairs for pair in zip(users, targets, strict=True)]
    return np.flatnonzero(np.array(new, bool))


def _publish(
    made: Ready, fitted: Fitted, model: DomainModel, trained: Evaluation, comparison: Comparison
) -> str:
    """The version; its metrics say what it was better than."""
    from crossrec.training.pipeline import publish_model

    prepared = made.prepared
    metrics = trained.to_dict() | {
        "data_hash": made.dataset.content_hash,
        "refresh": asdict(comparison),
    }
    if fitted.choice:
        metrics["mode"] = {"chosen": fitted.choice.mode, "why": fitted.choice.why}
    if prepared.coverage:
        metrics["modalities"] = prepared.coverage
    return publish_model(made, fitted, model, metrics).version


def _decision(comparison: Comparison, version: str | None) -> str:
    """What was done, and why, in one sentence.

    >>> few = Comparison(3, .1, .2, .1, (.05, .15))
    >>> _decision(few, None)
    'nothing published: only 3 of the newest cases can be compared; 50 are needed'
    """
    one = comparison
    if one.n_cases < MIN_CASES:
        return (
            f"nothing published: only {one.n_cases} of the newest cases can be compared;"
            f" {MIN_CASES} are needed"
        )
    figures = (
        f"on the {one.n_cases:,} newest cases NDCG@10 is {one.trained:.4f} where the served"
        f" release has {one.served:.4f} (difference {one.difference:+.4f}, 95 % interval"
        f" {one.ci95[0]:+.4f} to {one.ci95[1]:+.4f})"
    )
    if version is None:
        return f"nothing published: {figures}, which is not better by more than noise"
    return f"published {version}: {figures}"
