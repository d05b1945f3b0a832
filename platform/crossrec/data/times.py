"""Turns what sources call a time into whole seconds since 1970 (UTC), as lazy expressions.

Leaves to others: which column holds it and what happens to rows that are no time (clean.py).
"""

from __future__ import annotations

import polars as pl

from crossrec.errors import DataError

Repairs = dict[str, pl.Expr]
"""What was repaired → whether it was in this row."""

# Seconds reach these sizes in the year 5138 and later; milliseconds did in 1973.
_UNITS = [
    ("nanoseconds", 10**17, 10**9),
    ("microseconds", 10**14, 10**6),
    ("milliseconds", 10**11, 10**3),
]
_FORMATS = [
    "%Y-%m-%d %H:%M:%S%.f%:z",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
]
EXPECTED = "seconds since 1970 or ISO 8601, such as 2024-05-17T18:30:00Z"


def epoch_seconds(column: str, sample: pl.Series, label: str) -> tuple[pl.Expr, Repairs]:
    """Expression of int64 seconds (null where the value is no time), and what it repairs.

    Numbers are taken as seconds, or by their size as milli-, micro- or nanoseconds. Text may be
    a number or ISO 8601; a time without a zone is UTC.

    Args:
        column: name of the column in the source.
        sample: its first values; they decide which ways of writing a time are tried.
        label: what to call the table in messages.

    Raises:
        DataError: no value of the sample is a time.
    """
    if sample.dtype.is_temporal():
        return pl.col(column).cast(pl.Datetime("us")).dt.epoch("s"), {}
    if sample.dtype.is_numeric():
        return _from_number(pl.col(column))
    return _from_text(column, sample.cast(pl.String), label)


def order_index(column: str) -> pl.Expr:
    """Expression of an int64 order index; null where the value is no whole number."""
    return pl.col(column).cast(pl.Int64, strict=False)


def derived(what: str, seconds: pl.Expr) -> pl.Expr:
    """Hour 0–23, weekday 0 (Monday) – 6 or month 1–12 of a moment in UTC, int8."""
    if what == "hour":
        value = seconds % 86_400 // 3_600
    elif what == "weekday":
        value = (seconds // 86_400 + 3) % 7  # 1970-01-01 was a Thursday
    else:
        value = pl.from_epoch(seconds, "s").dt.month()
    return value.cast(pl.Int8)


def _from_number(value: pl.Expr) -> tuple[pl.Expr, Repairs]:
    number = value.cast(pl.Int64, strict=False)
    size = number.abs()
    seconds = number
    repairs: Repairs = {}
    upper: int | None = None
    for unit, least, per_second in _UNITS:
        is_unit = size >= least if upper is None else (size >= least) & (size < upper)
        repairs[f"timestamp in {unit}, taken to seconds"] = is_unit
        seconds = pl.when(is_unit).then(number // per_second).otherwise(seconds)
        upper = least
    return seconds, repairs


def _from_text(column: str, sample: pl.Series, label: str) -> tuple[pl.Expr, Repairs]:
    frame = sample.drop_nulls().to_frame(column)
    text = pl.col(column).str.strip_chars()
    number = text.cast(pl.Int64, strict=False)
    fraction = text.cast(pl.Float64, strict=False)
    plain = text.str.replace("[Tt]", " ").str.replace("[Zz]$", "+00:00")
    parsed = [_parse(plain, form) for form in _FORMATS]
    works = frame.select(
        pl.col(column).is_in(["", *_NOT_GIVEN]).all().alias("none given"),
        number.is_not_null().any().alias("number"),
        (number.is_null() & fraction.is_not_null()).any().alias("fraction"),
        *(p.is_not_null().any().alias(form) for p, form in zip(parsed, _FORMATS, strict=True)),
    ).row(0, named=True)
    numbers = [fraction.cast(pl.Int64, strict=False)] if works["fraction"] else []
    if works["number"]:
        numbers.insert(0, number)
    moments = [p for p, form in zip(parsed, _FORMATS, strict=True) if works[form]]
    if not numbers and not moments and not works["none given"]:
        raise DataError(
            f"{label}: '{frame[column][0]}' in column '{column}' is no time; expected {EXPECTED}"
        )
    if not moments:
        return _from_number(pl.coalesce(numbers or [number]))
    moment = pl.coalesce(moments)
    if not numbers:
        return moment, {"timestamp as text, taken to seconds (UTC)": moment.is_not_null()}
    seconds, repairs = _from_number(pl.coalesce(numbers))
    repairs["timestamp as text, taken to seconds (UTC)"] = seconds.is_null() & moment.is_not_null()
    return pl.coalesce(seconds, moment), repairs


_NOT_GIVEN = ("NA", "N/A", "NaN", "nan", "null", "None")


def _parse(text: pl.Expr, form: str) -> pl.Expr:
    if form == "%Y-%m-%d":
        return text.str.to_date(form, strict=False).cast(pl.Datetime("us")).dt.epoch("s")
    return text.str.to_datetime(form, strict=False, time_unit="us").dt.epoch("s")
