"""Trials of a search on record, the best of them, and its config as one YAML.

Leaves to others: running trials (search.py), the chart (plots.trials).
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from rich import box
from rich.table import Table

from crossrec.config import RunConfig, setting_titles
from crossrec.errors import TrainingError
from crossrec.tuning.spaces import Point, Space, apply_point

TRIALS_FILE = "trials.jsonl"
TABLE_FILE = "trials.parquet"
BEST_FILE = "best.yaml"
JUDGED = "NDCG@10 of the sequence model before fusion (task rate: minus RMSE)"
"""What the figures of trials are."""


@dataclass(frozen=True)
class TrialRecord:
    """One finished trial."""

    trial: int
    """Number in the order in which they were drawn, from 1."""
    point: Point
    value: float | None
    """Best validation figure over its epochs, higher is better: NDCG@10, or minus RMSE for the
    task `rate`. None where it gave none."""
    state: str
    """complete, stopped early (by the scheduler, for others were better), or failed."""
    epochs: int = 0
    seconds: float = 0.0
    error: str | None = None
    figures: list[float] = field(default_factory=list)
    """Validation figure after each epoch, in the unit of `value`."""


@dataclass(frozen=True)
class TuneResult:
    """What a search leaves."""

    domain: str
    run: str
    config: RunConfig
    """The best config, whole."""
    value: float
    """Its validation figure, see `TrialRecord.value`."""
    trials: list[TrialRecord] = field(repr=False)
    folder: Path = Path()
    """Holds `best.yaml`, `trials.parquet` and the record `trials.jsonl`."""

    @property
    def config_file(self) -> Path:
        """The YAML that `crossrec train --config` takes."""
        return self.folder / BEST_FILE

    def frame(self) -> pl.DataFrame:
        """One row a trial: trial, value, state, epochs, seconds, and a column a setting."""
        return trials_frame(self.trials)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "domain": self.domain,
            "run": self.run,
            "value": self.value,
            "config_file": str(self.config_file),
            "config": self.config.model_dump(mode="json"),
            "trials": [asdict(trial) for trial in self.trials],
        }

    def table(self) -> Table:
        """For the terminal, best first; where it is narrow headings break, figures never do."""
        settings = list(self.trials[0].point)
        rows = [
            (
                str(one.trial),
                "-" if one.value is None else f"{one.value:.4f}",
                str(one.epochs),
                *(_short(one.point[setting]) for setting in settings),
                one.state,
            )
            for one in sorted(
                self.trials, key=lambda t: -(t.value if t.value is not None else -math.inf)
            )
        ]
        table = Table(
            title=f"{self.domain}: trials of {self.run}, best first",
            caption=f"validation: {JUDGED}",
            box=box.SIMPLE_HEAD,
            padding=0,
            show_edge=False,
        )
        headings = ("trial", "validation", "epochs", *setting_titles(settings), "state")
        for heading, column in zip(headings, zip(*rows, strict=True), strict=True):
            words = [word for cell in column for word in cell.split()]
            table.add_column(heading, overflow="fold", min_width=max(map(len, words)))
        for row in rows:
            table.add_row(*row)
        return table


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def trials_frame(trials: list[TrialRecord]) -> pl.DataFrame:
    """Trials as a frame, by number; see `TuneResult.frame`."""
    rows = [
        {
            "trial": one.trial,
            "value": one.value,
            "state": one.state,
            "epochs": one.epochs,
            "seconds": one.seconds,
            "error": one.error,
            **one.point,
        }
        for one in sorted(trials, key=lambda t: t.trial)
    ]
    kinds = {"value": pl.Float64, "error": pl.String}
    return pl.DataFrame(rows, schema_overrides=kinds, infer_schema_length=None)


def append_trial(folder: Path, record: TrialRecord) -> None:
    """Add a finished trial to the record, which outlives the search.

    A last line that was cut off with its process is replaced.
    """
    whole = _whole_lines(folder)
    with (folder / TRIALS_FILE).open("a", encoding="utf-8") as file:
        file.truncate(len(whole.encode()))
        file.write(json.dumps(asdict(record)) + "\n")


def read_trials(folder: Path) -> list[TrialRecord]:
    """The trials on record, in order of their end; none where there is no record."""
    known = {one.name for one in fields(TrialRecord)}
    # Records of other versions may hold more: once it was the best figure up to each epoch.
    return [
        TrialRecord(**{name: value for name, value in json.loads(line).items() if name in known})
        for line in _whole_lines(folder).splitlines()
    ]


def _whole_lines(folder: Path) -> str:
    path = folder / TRIALS_FILE
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return text[: text.rfind("\n") + 1]


def select(domain: str, run: str, config: RunConfig, space: Space, folder: Path) -> TuneResult:
    """The best trial on record, its config and the table written into `folder`.

    Raises:
        TrainingError: no trial gave a figure; the message has the first one's error.
    """
    trials = read_trials(folder)
    judged = [one for one in trials if one.value is not None and not math.isnan(one.value)]
    if not judged:
        reason = next((one.error for one in trials if one.error), "none ran")
        raise TrainingError(f"no trial of '{domain}' gave a figure ({len(trials)} ran): {reason}")
    best = max(judged, key=lambda one: (one.value, -one.trial))
    assert best.value is not None
    chosen = apply_point(config, space, best.point)
    trials_frame(trials).write_parquet(folder / TABLE_FILE)
    header = (
        f"# Best of {len(trials)} trials on '{domain}' (run {run}): validation figure"
        f" {best.value:.4f}.\n# crossrec train {domain} --config {BEST_FILE}\n"
    )
    text = yaml.safe_dump(chosen.model_dump(mode="json"), sort_keys=False)
    (folder / BEST_FILE).write_text(header + text, encoding="utf-8")
    ordered = sorted(trials, key=lambda one: one.trial)
    return TuneResult(domain, run, chosen, best.value, ordered, folder)
