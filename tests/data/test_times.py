from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.data.times import derived, epoch_seconds
from crossrec.errors import DataError

MOMENT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
SECONDS = 1_700_000_000  # MOMENT


def seconds_of(values: list[object]) -> tuple[list[int | None], dict[str, int]]:
    """What the values become, and how often each repair was made."""
    frame = pl.DataFrame({"t": values}, strict=False)
    seconds, repairs = epoch_seconds("t", frame["t"], "table")
    counts = frame.select(e.sum().alias(what) for what, e in repairs.items())
    made = counts.row(0, named=True) if repairs else {}
    return frame.select(seconds.alias("s"))["s"].to_list(), {k: n for k, n in made.items() if n}


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (SECONDS, None),
        (float(SECONDS), None),
        (SECONDS * 10**3 + 123, "milliseconds"),
        (SECONDS * 10**6 + 123_456, "microseconds"),
        (SECONDS * 10**9 + 1, "nanoseconds"),
    ],
)
def test_numbers_are_seconds_or_a_finer_unit_by_their_size(value: float, unit: str | None):
    repairs = {f"timestamp in {unit}, taken to seconds": 1} if unit else {}
    assert seconds_of([value]) == ([SECONDS], repairs)


@pytest.mark.parametrize(
    "text",
    [
        "2023-11-14T22:13:20Z",
        "2023-11-14 22:13:20",
        "2023-11-14T22:13:20.000123",
        "2023-11-14T23:13:20+01:00",
        " 2023-11-14t22:13:20z ",
    ],
)
def test_iso_text_is_a_moment_in_utc(text: str):
    assert seconds_of([text]) == ([SECONDS], {"timestamp as text, taken to seconds (UTC)": 1})


def test_dates_and_minutes_are_moments_too():
    assert seconds_of(["2023-11-14"])[0] == [SECONDS - SECONDS % 86_400]
    assert seconds_of(["2023-11-14 22:13"])[0] == [SECONDS - 20]


def test_numbers_as_text_are_numbers():
    assert seconds_of([str(SECONDS), f"{SECONDS}.0"])[0] == [SECONDS, SECONDS]
    assert seconds_of([str(SECONDS * 1000)])[0] == [SECONDS]


def test_several_ways_of_writing_may_be_mixed():
    values = [str(SECONDS), "2023-11-14T22:13:20Z", "2023-11-14 22:13:20", "yesterday", None]
    assert seconds_of(values)[0] == [SECONDS, SECONDS, SECONDS, None, None]


def test_typed_moments_need_no_repair():
    plus_one = timezone(timedelta(hours=1))
    for moment in (MOMENT, MOMENT.replace(tzinfo=None), MOMENT.astimezone(plus_one)):
        assert seconds_of([moment]) == ([SECONDS], {})
    assert seconds_of([date(1970, 1, 2)]) == ([86_400], {})


def test_words_are_refused_with_what_was_expected():
    with pytest.raises(DataError, match="'17/05/2024' in column 't' is no time; expected seconds"):
        seconds_of(["17/05/2024"])


@settings(deadline=None)
@given(st.datetimes(min_value=datetime(1974, 1, 1), max_value=datetime(2100, 1, 1)))
def test_every_unit_of_a_moment_gives_the_same_second(moment: datetime):
    seconds = int(moment.replace(tzinfo=UTC).timestamp())
    texts = [moment.isoformat(), f"{moment.isoformat()}Z"]
    assert seconds_of([seconds, seconds * 10**3, seconds * 10**6])[0] == [seconds] * 3
    assert seconds_of(texts)[0] == [seconds] * 2


@settings(deadline=None)
@given(st.datetimes(min_value=datetime(1902, 1, 1), max_value=datetime(2100, 1, 1)))
def test_derived_fields_are_those_of_the_calendar(moment: datetime):
    frame = pl.DataFrame({"s": [int(moment.replace(tzinfo=UTC).timestamp())]})
    got = frame.select(derived(w, pl.col("s")).alias(w) for w in ("hour", "weekday", "month"))
    assert got.row(0) == (moment.hour, moment.weekday(), moment.month)
