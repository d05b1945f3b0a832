"""Reads a stream of dated texts, and says which topics each text is about.

Leaves to others: what the texts say (polarity.py), counting them (report.py).
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from crossrec.data.read import first_line, scan_table
from crossrec.errors import DataError, suggest
from crossrec.schema import TEXT, TIMESTAMP

STANDARD_INPUT = "-"
TOPIC, TIME = "topic", "time"
EVERYTHING = "all"
"""The topic of every text, beside those it names."""
TICKER = r"\$[A-Za-z][A-Za-z.]{0,6}\b"
_YEAR_1, _YEAR_9999 = -62_135_596_800, 253_402_300_799
"""In unix seconds; a number outside is no such second, but perhaps a millisecond."""
_ISO = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d")


def read_stream(source: str | Path) -> pl.DataFrame:
    """Texts with their time, oldest first: columns `text`, `time` (UTC), and `topic` where given.

    Args:
        source: a file (.parquet, .csv, .tsv, .jsonl), or `-` for JSON Lines on standard input.
            `timestamp` is unix seconds, or a date, with or without time, as ISO 8601 (UTC).

    Raises:
        DataError: no such file, no text or time in it, or times that are neither.
    """
    frame = _standard_input() if str(source) == STANDARD_INPUT else _file(Path(source))
    return tidy(frame, str(source))


def tidy(frame: pl.DataFrame, label: str = "the stream") -> pl.DataFrame:
    """The same of a frame in memory; rows without text or time are left out.

    Raises:
        DataError: a column is missing, or times are neither unix seconds nor ISO dates.
    """
    for column in (TEXT, TIMESTAMP):
        if column not in frame.columns:
            raise DataError(
                f"{label} has no column '{column}': {suggest(column, frame.columns)};"
                f" expected {TEXT}, {TIMESTAMP} and, if you have it, {TOPIC}"
            )
    for column in (TEXT, TOPIC):
        if column in frame.columns and frame.schema[column].is_nested():
            kind = frame.schema[column]
            raise DataError(f"{label} has {kind} in '{column}'; expected one text in each row")
    topics = [pl.col(TOPIC).cast(pl.String)] if TOPIC in frame.columns else []
    times = _times(frame[TIMESTAMP], label)
    kept = frame.select(pl.col(TEXT).cast(pl.String), times.alias(TIME), *topics).filter(
        pl.col(TEXT).str.strip_chars().str.len_chars() > 0, pl.col(TIME).is_not_null()
    )
    if kept.is_empty():
        raise DataError(f"{label} has no text with a time; expected at least one")
    return kept.sort(TIME)


def _file(path: Path) -> pl.DataFrame:
    table = scan_table(path)
    number = table.guessed.get(TIMESTAMP)  # text files are read as text
    frame = table.frame.collect()
    if number is not None and number.is_numeric():
        frame = frame.with_columns(pl.col(TIMESTAMP).cast(pl.Float64, strict=False))
    return frame


def _standard_input() -> pl.DataFrame:
    given = sys.stdin.buffer.read()
    if not given.strip():
        raise DataError("standard input is empty; expected JSON Lines with text and timestamp")
    try:
        return pl.read_ndjson(io.BytesIO(given), infer_schema_length=None)
    except pl.exceptions.PolarsError as err:
        raise DataError(f"standard input is no JSON Lines: {first_line(err)}") from err


def _times(values: pl.Series, label: str) -> pl.Series:
    if values.dtype in (pl.Date, pl.Datetime):
        moments = values.cast(pl.Datetime("us"))
    elif values.dtype.is_numeric():
        moments = _from_seconds(values.cast(pl.Float64))
    elif values.dtype.is_nested() or values.dtype.is_temporal():  # a list, a time of day
        moments = pl.Series([None] * len(values), dtype=pl.Datetime("us"))
    else:
        text = values.cast(pl.String).str.strip_chars().str.replace(r"(\.\d+)?(Z|\+00:00)?$", "")
        formats = [text.str.to_datetime(form, strict=False, time_unit="us") for form in _ISO]
        # As text beside what is none: one wrong row must not make the others wrong.
        seconds = text.str.extract(r"^(-?\d{9,})$").cast(pl.Float64)
        moments = pl.select(pl.coalesce(*formats, _from_seconds(seconds))).to_series()
    bad = moments.null_count() - values.null_count()
    if bad:
        raise DataError(
            f"{bad} of {len(values)} times in {label} are neither unix seconds nor ISO dates, such"
            f" as {values.filter(moments.is_null()).drop_nulls()[0]!r}; expected 1588125422 or"
            " 2020-04-29T01:57:02"
        )
    return moments


def _from_seconds(seconds: pl.Series) -> pl.Series:
    """Moments; null for what is outside the years 1 to 9999."""
    known = seconds.is_between(_YEAR_1, _YEAR_9999)
    micros = seconds.zip_with(known, pl.Series([None], dtype=pl.Float64)) * 1e6
    return pl.from_epoch(micros.cast(pl.Int64), time_unit="us")


def with_topics(
    texts: pl.DataFrame, topics: Mapping[str, Sequence[str]] | None = None
) -> pl.DataFrame:
    """`topics`, a list column: what each text is about, `all` always among it.

    Args:
        texts: as `read_stream` gives them.
        topics: name → words; a text is about it if it holds one of them, whatever the case. None:
            the column `topic` and the tickers ($AAPL) in the text.
    """
    if topics:
        text = pl.col(TEXT).str.to_lowercase()
        named = [
            pl.when(text.str.contains_any([word.lower() for word in words]))
            .then(pl.lit(name))
            .otherwise(None)
            for name, words in topics.items()
        ]
        found = pl.concat_list(named)
    else:
        tickers = pl.col(TEXT).str.extract_all(TICKER)
        found = tickers.list.eval(pl.element().str.to_uppercase())
        if TOPIC in texts.columns:
            found = pl.concat_list(found, pl.col(TOPIC).fill_null(""))
    known = found.list.eval(pl.element().drop_nulls().filter(pl.element().drop_nulls() != ""))
    return texts.with_columns(
        pl.concat_list(pl.lit(EVERYTHING), known).list.unique(maintain_order=True).alias("topics")
    )
