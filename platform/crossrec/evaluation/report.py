"""One table of a domain: our models, the baselines run now, and the peers' published figures.

Leaves to others: judging (protocols.py), tuning baselines (models/baselines.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from crossrec.data.dataset import Dataset
from crossrec.data.split import Cases, Split
from crossrec.errors import ConfigError
from crossrec.evaluation import peers
from crossrec.evaluation.protocols import (
    Evaluation,
    Part,
    Score,
    Task,
    Watch,
    difference,
    judge,
    known,
)
from crossrec.models.baselines import NAMES, tune_all

Origin = Literal["ours", "baseline", "published"]

MAIN = "ndcg@10"
APART = ("ndcg@10", "recall@10")
"""Metrics given for warm and cold targets apart."""
FIGURES = ("ndcg@10", "recall@10", "mrr@10")
TASK_FIGURES = ("rmse", "mae", "accuracy", "macro_f1")

HEADINGS = (
    "NDCG@10\n95 %",
    "Recall\n@10",
    "warm N\nand R",
    "cold N\nand R",
    "cover-\nage@10",
    "ours - this\n95 %",
)
LABELS = {"ours": "ours", "baseline": "fitted now", "published": "published"}
"""Headings of the three groups of rows."""


@dataclass(frozen=True)
class Row:
    """Figures of one model; None where a model has no such figure."""

    model: str
    origin: Origin
    figures: dict[str, float | None]
    """`ndcg@10`, `recall@10`, `mrr@10`, `warm_…`, `cold_…` of the first two, `coverage@10`, and
    what belongs to the task: `rmse` and `mae`, or `accuracy` and `macro_f1`."""
    ci95: tuple[float, float]
    """Of NDCG@10: bootstrap over users; for published figures 1.96 standard errors."""
    ours_minus: tuple[float, float, float] | None = None
    """Difference in NDCG@10 of the first of our models to this one on the same cases: mean and
    95 % interval. None for published figures, whose cases cannot be paired."""
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """A table with everything that says what its figures mean."""

    domain: str
    simulated: bool
    protocol: str
    part: Part
    n: int
    n_cold: int
    n_items: int
    fingerprint: str
    data_hash: str
    rows: list[Row]
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def frame(self, metric: str = MAIN) -> pl.DataFrame:
        """One row a model, as `plots.metrics` takes it; `low` and `high` only for NDCG@10."""
        rows = [
            {
                "domain": self.domain,
                "model": row.model,
                "kind": row.origin,
                "value": row.figures.get(metric),
                "low": row.ci95[0] if metric == MAIN else None,
                "high": row.ci95[1] if metric == MAIN else None,
                "n_users": self.n,
            }
            for row in self.rows
        ]
        return pl.DataFrame(rows, infer_schema_length=None)

    def table(self) -> Table:
        """For a terminal of 80 columns; protocol and hashes stand in title and caption."""
        kind = "simulated, " if self.simulated else ""
        table = Table(
            title=f"{self.domain}: {kind}{self.protocol}, {self.part}, {self.n:,} cases"
            f" ({self.n_cold:,} cold), {self.n_items:,} items",
            caption="\n".join(
                [f"data {self.data_hash[:12]}, cases {self.fingerprint[:12]}", *self.notes]
            ),
            box=box.SIMPLE_HEAD,
            padding=0,
            pad_edge=False,
        )
        table.add_column("model", no_wrap=True)
        for heading in HEADINGS:
            table.add_column(heading, justify="right", no_wrap=True)
        for origin, label in LABELS.items():
            rows = [row for row in self.rows if row.origin == origin]
            if rows:
                table.add_section()
                table.add_row(label, style="italic")
            for row in rows:
                table.add_row(*_cells(row), style="bold" if origin == "ours" else None)
        return table


def report(
    dataset: Dataset,
    split: Split,
    ours: Mapping[str, Score],
    *,
    part: Part = "test",
    baselines: Sequence[str] = NAMES,
    text_vectors: NDArray[np.float32] | None = None,
    request_dim: int = 0,
    requests: NDArray[np.float32] | None = None,
    own_requests: NDArray[np.float32] | None = None,
    task: Task | None = None,
    notes: Sequence[str] = (),
    on_step: Callable[[str], None] | None = None,
    watch: Watch | None = None,
) -> Report:
    """Judge our models and the baselines on the same cases, and put the peers beside them.

    Baselines are fitted and tuned now. Published figures: see `compose`.

    Args:
        dataset: what the split was made from; gives name and content hash.
        split: the cases.
        ours: name → scoring function; the first is compared with every other row.
        part: which cases.
        baselines: names out of `models.baselines.NAMES`. Those that cannot say anything are
            left out, and that is noted: frozen_text without text vectors, item-item models
            where no case has a history.
        text_vectors: (N, E) of the item texts.
        request_dim: width of the request vectors that our models read.
        requests: (R, E) encoded request of each row of the split's sequences, if it has any.
        own_requests: the same as our models' own adapter encodes them; None: `requests`.
        task: what our models were trained for; None: the domain's task.
        notes: lines for the caption (sampled users, seeds, release).
        on_step: called with the name of each model that is done.
        watch: told of the cases of the first of our models, batch by batch.

    Raises:
        ConfigError: neither a model of ours nor a baseline was asked for.
    """
    task = task or dataset.domain.task
    own = requests if own_requests is None else own_requests
    judged: dict[str, Evaluation] = {}
    for name, score in ours.items():
        judged[name] = judge(
            score, split, part, request_dim=request_dim, requests=own, task=task,
            watch=None if judged else watch,
        )  # fmt: skip
        if on_step is not None:
            on_step(name)
    wanted, left_out = _applicable(baselines, getattr(split, part), text_vectors is not None)
    fitted = tune_all(split, text_vectors, wanted, requests=requests, on_fitted=on_step)
    # Scores of baselines are no ratings, but their best item may well be an answer.
    simple: Task = "classify" if task == "classify" else "rank"
    beside = {
        name: (judge(model.score, split, part, requests=requests, task=simple), model.params)
        for name, model in fitted.items()
    }
    return compose(dataset, judged, beside, [*notes, *left_out])


def _applicable(
    baselines: Sequence[str], cases: Cases, has_text: bool
) -> tuple[list[str], list[str]]:
    """The baselines that can say something about these cases, and a note on those left out."""
    reasons = {} if has_text else {"frozen_text": "no text vectors were given"}
    if not cases.cuts.any():
        nothing = "nobody has a history"
        reasons |= {name: nothing for name in NAMES if name.startswith(("itemknn", "ease"))}
    gone = [name for name in baselines if name in reasons]
    notes = [
        f"{', '.join(n for n in gone if reasons[n] == reason)} left out: {reason}"
        for reason in dict.fromkeys(reasons[name] for name in gone)
    ]
    return [name for name in baselines if name not in reasons], notes


def compose(
    dataset: Dataset,
    ours: Mapping[str, Evaluation],
    baselines: Mapping[str, tuple[Evaluation, Mapping[str, Any]]],
    notes: Sequence[str] = (),
) -> Report:
    """A report of evaluations made before, all on the same cases.

    A published figure is shown only where its test cases have the fingerprint of these.

    Args:
        dataset: gives name and content hash.
        ours: name → evaluation; the first is compared with every other row.
        baselines: name → evaluation and hyperparameters.
        notes: lines for the caption.

    Raises:
        ConfigError: there is no evaluation at all.
        DataError: the evaluations are not of the same cases.
    """
    every = [*ours.values(), *(evaluation for evaluation, _ in baselines.values())]
    if not every:
        raise ConfigError("a report got no evaluation; expected a model of ours or a baseline")
    first, domain = every[0], dataset.domain
    rival = next(iter(ours.values()), None)
    published = _published(domain.name, first)
    return Report(
        domain=domain.name,
        simulated=domain.simulated,
        protocol=first.protocol,
        part=first.part,
        n=first.n,
        n_cold=int((~first.warm).sum()),
        n_items=first.n_items,
        fingerprint=first.fingerprint,
        data_hash=dataset.content_hash,
        rows=[
            *(_row(name, "ours", e, rival) for name, e in ours.items()),
            *(_row(n, "baseline", e, rival, params) for n, (e, params) in baselines.items()),
            *(_published_row(name, figures) for name, figures in published.items()),
        ],
        notes=[*notes, *_notes(domain.name, first, published)],
    )


def _row(
    name: str,
    origin: Origin,
    evaluation: Evaluation,
    rival: Evaluation | None,
    params: Mapping[str, Any] | None = None,
) -> Row:
    figures: dict[str, float | None] = {n: known(evaluation.mean(n)) for n in FIGURES}
    for kind, cases in (("warm", evaluation.warm), ("cold", ~evaluation.warm)):
        for metric in APART:
            values = evaluation.values(metric)[cases]
            figures[f"{kind}_{metric}"] = float(values.mean()) if len(values) else None
    figures["coverage@10"] = evaluation.coverage[10]
    figures |= {name: known(value) for name, value in evaluation.task_figures.items()}
    against = None if rival is None or rival is evaluation else difference(rival, evaluation, MAIN)
    return Row(name, origin, figures, evaluation.interval(MAIN), against, dict(params or {}))


def _published(domain: str, evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    if evaluation.part != "test":
        return {}
    return peers.published(domain, evaluation.protocol, evaluation.fingerprint)


def _published_row(name: str, figures: Mapping[str, Any]) -> Row:
    """A peer's row; one that its time limit cut short is marked with an asterisk."""
    mean, half = figures[MAIN], 1.96 * figures["ndcg@10_se"]
    short = figures["converged"] is False
    return Row(
        f"{name} *" if short else name,
        "published",
        {n: v for n, v in figures.items() if n not in ("params", "converged", "ndcg@10_se")},
        (mean - half, mean + half),
        params=dict(figures["params"]),
    )


def _notes(domain: str, evaluation: Evaluation, published: Mapping[str, Any]) -> list[str]:
    notes = []
    if published:
        notes.append("published figures are of these cases; one seed")
        if any(figures["converged"] is False for figures in published.values()):
            notes.append("* still improving when its time ran out: a lower bound")
    elif evaluation.part == "test" and peers.has_figures(domain, evaluation.protocol):
        notes.append("no published figure shown: they were made on other cases")
    return notes


def _cells(row: Row) -> list[str]:
    figures = row.figures
    task = [f"{name} {_number(figures[name])}" for name in TASK_FIGURES if name in figures]
    return [
        "\n".join([row.model, *task]),
        _spread(row.figures[MAIN], row.ci95),
        _number(figures["recall@10"]),
        f"{_number(figures['warm_ndcg@10'])}\n{_number(figures['warm_recall@10'])}",
        f"{_number(figures['cold_ndcg@10'])}\n{_number(figures['cold_recall@10'])}",
        _number(figures["coverage@10"]),
        _spread(row.ours_minus[0], row.ours_minus[1:], "+") if row.ours_minus else "",
    ]


def _spread(mean: float | None, interval: tuple[float, float], sign: str = "") -> str:
    """A mean above its interval."""
    low, high = (f"{value:{sign}.4f}" for value in interval)
    return f"{_number(mean, sign)}\n{low} {high}"


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.4f}"
