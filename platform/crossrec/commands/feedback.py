"""`crossrec feedback`: count, export and prune what users did.

Leaves to others: the log (serving/feedback_log.py), learning from an export (commands/training.py).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from crossrec import verbs
from crossrec.commands.output import AsJson, Commands, OneDomain, out, print_json, print_table

app = typer.Typer(cls=Commands, no_args_is_help=True)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """How much feedback there is of each domain."""
    counts = verbs.count_feedback()
    if as_json:
        print_json([vars(count) for count in counts])
        return
    rows = [
        (one.domain, f"{one.n_events:,}", f"{one.n_users:,}", _when(one.first), _when(one.last))
        for one in counts
    ]
    print_table(("domain", "events", "users", "oldest", "newest (UTC)"), rows, "no feedback yet")


@app.command()
def export(
    domain: OneDomain,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Parquet; none: where train looks for it.")
    ] = None,
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="What came since: all, days (30d) or a date.")
    ] = "all",
) -> None:
    """Write a domain's feedback to Parquet, for train --since or for your own use.

    \b
    crossrec feedback export movies && crossrec train movies --since all
    """
    done = verbs.export_feedback(domain, to, since)
    out.print(f"{done.n_events:,} events in {done.path}", markup=False)


@app.command()
def prune(
    keep_days: Annotated[float, typer.Option(min=0, help="Keep what came in the last days.")],
    domain: Annotated[
        str | None, typer.Argument(metavar="[DOMAIN]", help="Only of this one.")
    ] = None,
) -> None:
    """Forget feedback that is older than some days; later exports do not hold it either.

    Answers that a learner kept, to learn from feedback on them, are forgotten with it.

    \b
    crossrec feedback prune --keep-days 90
    """
    n_events = verbs.prune_feedback(keep_days, domain)
    out.print(f"forgot {n_events:,} events", markup=False)


def _when(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"
