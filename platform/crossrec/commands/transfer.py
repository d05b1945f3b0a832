"""`crossrec transfer`: what a domain with little data gains from others.

Leaves to others: learning, trying and judging (training/transfer.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossrec import verbs
from crossrec.commands.output import (
    AsJson,
    ConfigFile,
    Overrides,
    err,
    out,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from crossrec.training.transfer import ShareReport, TransferReport


def transfer(
    sources: Annotated[
        list[str], typer.Option("--from", metavar="DOMAIN…", help="Domains to take over from.")
    ],
    target: Annotated[str, typer.Option("--to", metavar="DOMAIN", help="Domain that takes over.")],
    shares: Annotated[
        list[float] | None,
        typer.Option(
            metavar="SHARE…", help="Of its users; 0: zero-shot. none: 0 0.01 0.05 0.1 0.25."
        ),
    ] = None,
    source_users: Annotated[
        int, typer.Option(min=0, help="Users drawn of each source; 0: all.")
    ] = 2000,
    publish: Annotated[
        bool,
        typer.Option(
            help="Train on all users from the best start and publish the release; with --shares 0"
            " on nobody."
        ),
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Chart of the shares: .png or .svg.")
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Zero-shot and few-shot: what a domain gains when it begins with weights of others.

    Each source alone, the average of the sources and weights they learn together are tried on
    each share of the users, beside random weights (scratch) and baselines of the same users.
    A start that hurts is shown like one that helps; validation chooses.

    \b
    crossrec transfer --from movies_recent music --to movies
    crossrec transfer --from fashion books --to industrial --shares 0 0.1 --publish
    crossrec transfer --from movies music --to shop --shares 0 --publish
    """
    report = verbs.transfer(
        *sources,
        to=target,
        shares=shares or None,
        config=config,
        overrides=overrides or (),
        source_users=source_users or None,
        publish=publish,
        tell=lambda step: err.print(step, markup=False),
    )
    if plot is not None:
        from crossrec import plots
        from crossrec.training.transfer_chart import chart

        plots.save(chart(report), plot)
    if as_json:
        print_json(report.to_dict())
        return
    _show(report)


def _show(report: TransferReport) -> None:
    near = ", ".join(f"{name} {value:.2f}" for name, value in report.nearness.items())
    out.print(f"NDCG@10 on the test cases of {report.target}; nearness in text: {near}")
    starts = [attempt.start for attempt in report.shares[0].attempts]
    columns = ["start", *(f"{one.share:.0%}, {one.n_users} users" for one in report.shares)]
    rows = [[start, *(_cell(one, start) for one in report.shares)] for start in starts]
    rows.append(["best peer", *(_peer(one) for one in report.shares)])
    print_table(columns, rows, "")
    out.print(
        "* chosen; behind each figure its gain over scratch, in brackets where the 95 % interval"
        " over users holds 0, so it may be noise"
    )
    if report.release is not None:
        out.print(f"published {report.target} {report.release}")


def _cell(one: ShareReport, start: str) -> str:
    attempt = next(attempt for attempt in one.attempts if attempt.start == start)
    return one.said(attempt) + (" *" if one.chosen.start == start else "")


def _peer(one: ShareReport) -> str:
    from crossrec.training.transfer import figure

    return f"{figure(one.best_peer)} {one.best_peer.name}"
