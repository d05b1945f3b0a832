"""From a stream of texts to a report: read, label, count, judge.

Leaves to others: each step (the other modules here), the command line (commands/watching.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from crossrec.monitoring.alarm import Rule
from crossrec.monitoring.polarity import Classifier
from crossrec.monitoring.report import WatchReport, expect_known, watch_labels
from crossrec.monitoring.stream import TOPIC, read_stream, tidy, with_topics
from crossrec.schema import TEXT

if TYPE_CHECKING:
    from crossrec.models.encoder import Progressing


def watch_texts(
    classifier: Classifier,
    texts: Path | str | pl.DataFrame,
    *,
    label: str = "negative",
    every: str = "1d",
    topics: Mapping[str, Sequence[str]] | None = None,
    rule: Rule | None = None,
    n_topics: int = 10,
    progress: Progressing = False,
) -> WatchReport:
    """Label every text, and watch the share of one label by topic and period.

    Args:
        texts: as `stream.read_stream`, or a frame with those columns.
        label: the label that is watched.
        every: length of a period, e.g. `6h`.
        topics: as `stream.with_topics`.
        n_topics: topics with the most texts that are watched.
        progress: draw a bar of the texts, or be told how many are encoded.

    Raises:
        DataError: the texts cannot be read.
        ConfigError: no such label or length of a period.
    """
    expect_known(label, classifier.labels, every)
    frame = tidy(texts) if isinstance(texts, pl.DataFrame) else read_stream(texts)
    about = frame[TOPIC].to_list() if TOPIC in frame.columns else [None] * len(frame)
    best = classifier.classify(frame[TEXT].to_list(), about, progress)
    named = [classifier.labels[one] for one in best]
    labelled = with_topics(frame, topics).with_columns(pl.Series("label", named, pl.String))
    return watch_labels(
        labelled,
        classifier.labels,
        label=label,
        every=every,
        rule=rule or Rule(),
        n_topics=n_topics,
    )
