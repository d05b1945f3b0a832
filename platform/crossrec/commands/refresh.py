"""`crossrec refresh`: train on what came in, publish only what is better.

Leaves to others: the work (verbs/refreshing.py).
"""

from __future__ import annotations

from typing import Annotated

import typer

from crossrec import verbs
from crossrec.commands.output import AsJson, OneDomain, err, out, print_json


def refresh(
    domain: OneDomain,
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="Feedback since: all, days (30d) or a date.")
    ] = "all",
    as_json: AsJson = False,
) -> None:
    """Retrain on the data and all feedback; publish if it beats the served release.

    Both are judged on the newest cases, feedback that came after the served release, and compared
    case by case. Settings are those of the served release. Nothing changes where it is no better.

    \b
    crossrec refresh movies
    """
    report = verbs.refresh(domain, since=since, tell=lambda step: err.print(step, markup=False))
    if as_json:
        print_json(report.as_dict())
        return
    out.print(report.decision, markup=False)
    if report.release is not None:
        out.print(
            f"a running service goes on with {report.served} until it is told, by:"
            f" crossrec deploy {domain}",
            markup=False,
        )
