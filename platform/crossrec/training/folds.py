"""Cross-validation: one model a fold, each judged on users or times that it never saw.

Leaves to others: cutting the folds (data/folds.py), the training of one (loop.py, assemble.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossrec.config import Placement, RunConfig
from crossrec.data.dataset import Dataset
from crossrec.data.folds import By, make_folds
from crossrec.data.split import expect_cases
from crossrec.evaluation.protocols import Evaluation
from crossrec.models.encoder import TextEncoder
from crossrec.training.assemble import assemble
from crossrec.training.loop import fit
from crossrec.training.pipeline import judge_model
from crossrec.training.prepare import prepare, split_for


@dataclass(frozen=True)
class FoldReport:
    """The figures of each fold, and of all together."""

    domain: str
    by: By
    data_hash: str
    folds: list[Evaluation]

    def values(self, metric: str) -> list[float]:
        """One value a fold: a metric of the ranking, or a figure of the task such as `rmse`."""
        return [
            fold.task_figures[metric] if metric in fold.task_figures else fold.mean(metric)
            for fold in self.folds
        ]

    @property
    def names(self) -> list[str]:
        """The metrics there are."""
        return [*self.folds[0].names, *self.folds[0].task_figures]

    def to_dict(self) -> dict[str, Any]:
        """Mean and spread over folds (standard deviation, n - 1), and each fold's own figures."""
        values = {name: self.values(name) for name in self.names}
        return {
            "domain": self.domain,
            "by": self.by,
            "data_hash": self.data_hash,
            "n_folds": len(self.folds),
            "mean": {name: float(np.mean(v)) for name, v in values.items()},
            "standard_deviation": {name: float(np.std(v, ddof=1)) for name, v in values.items()},
            "folds": [fold.to_dict() for fold in self.folds],
        }


def cross_validate(
    dataset: Dataset,
    config: RunConfig,
    n_folds: int,
    by: By = "user",
    *,
    encoder: TextEncoder | None = None,
    placement: Placement | None = None,
    on_fold: Callable[[int, Evaluation], None] = lambda number, evaluation: None,
) -> FoldReport:
    """Train and judge one model a fold; nothing is published.

    Args:
        n_folds: at least 2.
        encoder: one already loaded; None: the config's.
        on_fold: called with the number of each fold that is done, from 1, and its figures.

    Raises:
        DataError: the data cannot be cut so.
        TrainingError: training diverged.
    """
    encoder = encoder or TextEncoder.load(config.encoder)
    whole = split_for(dataset, config)
    expect_cases(whole, dataset.domain.name)
    clock = dataset.domain.time_kind == "unix_seconds"
    judged = []
    for number, split in enumerate(make_folds(whole, n_folds, by, clock=clock), start=1):
        prepared = prepare(dataset, config, encoder=encoder, split=split)
        fitted = fit(prepared, placement=placement)
        evaluation = judge_model(prepared, fitted, assemble(prepared, fitted))
        judged.append(evaluation)
        on_fold(number, evaluation)
    return FoldReport(dataset.domain.name, by, dataset.content_hash, judged)
