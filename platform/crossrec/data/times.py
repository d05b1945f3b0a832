"""Turns what sources call a time into whole seconds since 1970 (UTC), as lazy expressions.

Leaves to others: which column holds it and what happens to rows that are no time (clean.py).
"""

from __future__ import annotations

from collections.abc import Callable

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


Keep = Callable[[str, pl.Expr], pl.Expr]
"""Turns an expression that is used several times into a column that is computed once."""


def epoch_seconds(
    column: str, sample: pl.Series, label: str, keep: Keep = lambda _, expression: expression
) -> tuple[pl.Expr, Repairs]:
    """Expression of int64 seconds (null where the value is no time), and what it repairs.

    Numbers are taken as seconds, or by their size as milli-, micro- or nanoseconds. Text may be
    a number or ISO 8601; a time without a zone is UTC.

    Args:
        column: name of the column in the source.
        sample: its first values; they decide which ways of writing a time are tried.
        label: what to call the table in messages.
        keep: what makes an intermediate column.

    Raises:
        DataError: no value of the sample is a time.
    """
    if sample.dtype.is_temporal():
        return pl.col(column).cast(pl.Datetime("us")).dt.epoch("s"), {}
    if sample.dtype.is_numeric():
        return _from_number(pl.col(column), keep)
    return _from_text(column, sample.cast(pl.String), label, keep)


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


def _from_number(value: pl.Expr, keep: Keep) -> tuple[pl.Expr, Repairs]:
    number = keep("number", value.cast(pl.Int64, strict=False))
    size = number.abs()
    divisor = pl.lit(1)
    for _, least, per_second in reversed(_UNITS):  # the largest is tested first
        divisor = pl.when(size >= least).then(per_second).otherwise(divisor)
    divisor = keep("divisor", divisor.cast(pl.Int32))
    repairs = {
        f"timestamp in {unit}, taken to seconds": divisor == per_second
        for unit, _, per_second in _UNITS
    }
    return keep("seconds", number // divisor), repairs


def _from_text(column: str, sample: pl.Series, label: str, keep: Keep) -> tuple[pl.Expr, Repairs]:
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
        return _from_number(pl.coalesce(numbers or [number]), keep)
    moment = keep("moment", pl.coalesce(moments))
    if not numbers:
        return moment, {"timestamp as text, taken to seconds (UTC)": moment.is_not_null()}
    seconds, repairs = _from_number(pl.coalesce(numbers), keep)
    repairs["timestamp as text, taken to seconds (UTC)"] = seconds.is_null() & moment.is_not_null()
    return pl.coalesce(seconds, moment), repairs


_NOT_GIVEN = ("NA", "N/A", "NaN", "nan", "null", "None")


def _parse(text: pl.Expr, form: str) -> pl.Expr:
    if form == "%Y-%m-%d":
        return text.str.to_date(form, strict=False).cast(pl.Datetime("us")).dt.epoch("s")
    return text.str.to_datetime(form, strict=False, time_unit="us").dt.epoch("s")
