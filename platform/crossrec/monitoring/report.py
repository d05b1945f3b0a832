"""A stream of texts as counts by topic and period, each judged beside those before it.

Leaves to others: reading (stream.py), labelling (polarity.py), the statistics (alarm.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from crossrec.errors import ConfigError, suggest
from crossrec.monitoring.alarm import Rule, judge_periods
from crossrec.monitoring.stream import TIME

PERIOD = re.compile(r"[1-9][0-9]*(m|h|d|w)")


@dataclass(frozen=True)
class WatchReport:
    """Polarity by topic over time, and the periods that are unusual."""

    label: str
    """The label that is watched."""
    every: str
    rule: Rule
    periods: pl.DataFrame
    """One row a topic and period: `topic`, `start`, `n`, `hits` (texts with the label), `share`,
    `usual`, `limit`, `p_value`, `alarm`, and `n_<label>` of every label."""

    @property
    def alarms(self) -> pl.DataFrame:
        """The rows of `periods` that raised one."""
        return self.periods.filter("alarm")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        periods = self.periods.with_columns(pl.col("start").dt.to_string("%Y-%m-%dT%H:%M:%S"))
        return {
            "label": self.label,
            "every": self.every,
            "rule": vars(self.rule),
            "n_alarms": len(self.alarms),
            "alarms": periods.filter("alarm").to_dicts(),
            "periods": periods.to_dicts(),
        }


def watch_labels(
    texts: pl.DataFrame,
    labels: Sequence[str],
    *,
    label: str,
    every: str,
    rule: Rule,
    n_topics: int,
) -> WatchReport:
    """Count labelled texts by topic and period, and judge each period.

    Args:
        texts: columns `time`, `topics` (list) and `label`.
        labels: all there are.
        label: the one whose share is watched.
        every: length of a period: a number and m, h, d or w.
        n_topics: topics with the most texts that are watched.

    Raises:
        ConfigError: no such label, or `every` is no length.
    """
    expect_known(label, labels, every)
    counted = _count(texts, labels, every)
    largest = counted.group_by("topic").agg(pl.col("n").sum()).sort(["n", "topic"], descending=True)
    judged = [
        _judge(counted.filter(pl.col("topic") == topic), label, rule)
        for topic in largest["topic"].head(n_topics)
    ]
    return WatchReport(label, every, rule, pl.concat(judged))


def expect_known(label: str, labels: Sequence[str], every: str) -> None:
    """Raise where that cannot be watched; asked also before texts are encoded, which takes time.

    Raises:
        ConfigError: no such label, or `every` is no length.
    """
    if label not in labels:
        raise ConfigError(f"no label is called '{label}': {suggest(label, labels)}")
    if not PERIOD.fullmatch(every):
        raise ConfigError(f"got a period of '{every}'; expected for example 1h, 6h, 1d or 1w")


def _count(texts: pl.DataFrame, labels: Sequence[str], every: str) -> pl.DataFrame:
    """`topic`, `start`, `n` and `n_<label>`; periods without texts have no row."""
    return (
        texts.select(pl.col("topics").alias("topic"), TIME, "label")
        .explode("topic")
        .group_by("topic", pl.col(TIME).dt.truncate(every).alias("start"))
        .agg(pl.len().alias("n"), *((pl.col("label") == x).sum().alias(f"n_{x}") for x in labels))
        .sort("topic", "start")
    )


def _judge(of_topic: pl.DataFrame, label: str, rule: Rule) -> pl.DataFrame:
    hits = of_topic[f"n_{label}"].alias("hits")
    found = judge_periods(
        of_topic["n"].cast(pl.Int64).to_numpy(), hits.cast(pl.Int64).to_numpy(), rule
    )
    schema = {"usual": pl.Float64, "limit": pl.Float64, "p_value": pl.Float64, "alarm": pl.Boolean}
    judged = pl.DataFrame([vars(one) for one in found], schema=schema)
    share = (hits / of_topic["n"]).alias("share")
    return pl.concat([of_topic.with_columns(hits, share), judged], how="horizontal")
