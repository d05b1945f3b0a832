"""`crossrec watch`: polarity of a stream of texts by topic over time, with alarms.

Leaves to others: labelling and judging (monitoring/).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossrec import verbs
from crossrec.commands.output import AsJson, OneDomain, print_json, print_table
from crossrec.errors import ConfigError

if TYPE_CHECKING:
    from crossrec.monitoring.report import WatchReport

ALARM_EXIT = 3


def watch(
    domain: OneDomain,
    texts: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Texts with timestamp and, if there is one, topic: .parquet, .csv, .tsv, .jsonl;"
            " -: JSON Lines on standard input.",
        ),
    ],
    release: Annotated[str, typer.Option(help="A version, or current.")] = "current",
    label: Annotated[str, typer.Option(help="The label that is watched.")] = "negative",
    every: Annotated[str, typer.Option(help="Length of a period: 1h, 6h, 1d, 1w.")] = "1d",
    topic: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=WORD,WORD",
            help="Texts with one of these words; repeatable. None: the column topic, and tickers.",
        ),
    ] = None,
    topics: Annotated[int, typer.Option(min=1, help="Topics shown, largest first.")] = 10,
    window: Annotated[int, typer.Option(min=2, help="Periods that make what is usual.")] = 14,
    false_alarms: Annotated[
        float, typer.Option(min=1e-9, max=0.5, help="Chance of an alarm in a usual period.")
    ] = 0.001,
    fail_on_alarm: Annotated[
        bool, typer.Option("--fail-on-alarm", help="Exit code 3 if there is an alarm.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Chart of the shares: .png or .svg.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Label dated texts by a released classifier, and say when a label is unusually frequent.

    Counts by topic and period are compared with the periods before them: an alarm is a share that
    chance would give less often than --false-alarms says.

    \b
    crossrec watch finance_sentiment --texts tweets.jsonl
    tail -n 5000 tweets.jsonl | crossrec watch finance_sentiment --texts - --every 6h --json
    crossrec watch finance_sentiment --texts news.csv --topic "rates=fed,interest rate"
    """
    from crossrec.monitoring.alarm import Rule

    report = verbs.watch(
        domain,
        texts,
        release=release,
        label=label,
        every=every,
        topics=_topics(topic or []),
        rule=Rule(window=window, false_alarms=false_alarms),
        n_topics=topics,
    )
    if plot is not None:
        _save_chart(report, plot)
    if as_json:
        print_json({"domain": domain, "release": release, **report.to_dict()})
    else:
        _print_alarms(report)
    if fail_on_alarm and len(report.alarms):
        raise typer.Exit(ALARM_EXIT)


def _topics(given: list[str]) -> dict[str, list[str]] | None:
    topics = {}
    for one in given:
        name, separator, words = one.partition("=")
        known = [word.strip() for word in words.split(",") if word.strip()]
        if not separator or not name.strip() or not known:
            raise ConfigError(f"topic '{one}' is no name with words; expected NAME=WORD,WORD")
        topics[name.strip()] = known
    return topics or None


def _save_chart(report: WatchReport, path: Path) -> None:
    from crossrec import plots
    from crossrec.monitoring.chart import chart

    plots.save(chart(report), path)


def _print_alarms(report: WatchReport) -> None:
    columns = ("topic", "from", "texts", report.label, "share", "usual", "limit", "p")
    rows = [_cells(row) for row in report.alarms.iter_rows(named=True)]
    judged = report.periods["p_value"].count()
    print_table(columns, rows, f"no alarm in {judged} periods judged")


def _cells(row: dict[str, Any]) -> tuple[Any, ...]:
    """A row of `WatchReport.periods` as the table shows it."""
    shares = (f"{row[name]:.2f}" for name in ("share", "usual", "limit"))
    start, p = f"{row['start']:%Y-%m-%d %H:%M}", f"{row['p_value']:.1g}"
    return row["topic"], start, row["n"], row["hits"], *shares, p
