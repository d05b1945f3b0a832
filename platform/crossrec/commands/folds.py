"""`crossrec crossvalidate`: settings judged on folds of users or of time.

Leaves to others: cutting, training and judging (training/folds.py).
"""

from __future__ import annotations

from typing import Annotated

import typer

from crossrec import verbs
from crossrec.commands.output import (
    AsJson,
    ConfigFile,
    OneDomain,
    Overrides,
    print_json,
    print_table,
    progress_bars,
)
from crossrec.errors import ConfigError

BY = ("user", "time")


def crossvalidate(
    domain: OneDomain,
    folds: Annotated[
        int, typer.Option(min=2, help="Number of folds, one training each; by user at least 3.")
    ] = 5,
    by: Annotated[
        str, typer.Option(help="user: users never seen; time: what comes next.")
    ] = "user",
    config: ConfigFile = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Judge settings by k-fold cross-validation; nothing is published.

    By user: each fold's users are left out of training altogether. By time: training ends before
    the window that is tested, which moves on from fold to fold.

    \b
    crossrec crossvalidate movies --folds 5
    crossrec crossvalidate grocery --by time --set training.max_epochs=10
    """
    if by not in BY:
        raise ConfigError(f"cannot cut folds by '{by}'; expected one of {', '.join(BY)}")
    with progress_bars() as progress:
        task = progress.add_task(f"{domain}, folds by {by}", total=folds)
        report = verbs.cross_validate(
            domain,
            folds=folds,
            by="user" if by == "user" else "time",
            config=config,
            overrides=overrides or (),
            on_fold=lambda number, evaluation: progress.update(task, completed=number),
        )
    if as_json:
        print_json(report.to_dict())
        return
    told = report.to_dict()
    rows = [
        (
            name,
            f"{told['mean'][name]:.4f}",
            f"{told['standard_deviation'][name]:.4f}",
            ", ".join(f"{value:.4f}" for value in report.values(name)),
        )
        for name in report.names
    ]
    print_table(("figure", "mean", "spread", "folds"), rows, "")
