"""Context values as people read them, whatever kind of field holds them."""

from __future__ import annotations

import numpy as np
import pytest

from crossrec.domains.spec import ContextField
from crossrec.explanation.readable import readable


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("weekday", 0, "Monday"),
        ("weekday", 5, "Saturday"),
        ("weekday", 5.5, "5.5"),
        ("hour", 0, "0:00"),
        ("hour", 20, "20:00"),
        ("hour", 20.25, "20:15"),
        ("hour", 23.999, "0:00"),
        ("month", 1, "January"),
        ("month", 12, "December"),
        ("month", 0, "December"),
        ("temperature", -3.5, "-3.5"),
    ],
)
def test_moments_have_names(name: str, value: float, expected: str) -> None:
    cycle = ContextField(name=name, kind="cycle", period=24)
    assert readable(cycle, [], value) == expected
    assert readable(cycle, [], np.float32(value)) == expected


def test_a_day_that_was_read_as_text_or_has_another_name_is_a_day_all_the_same() -> None:
    days = ContextField(name="weekday", kind="category")
    assert readable(days, ["0", "6", "Holiday"], 1.0) == "Sunday"
    assert readable(days, ["0", "6", "Holiday"], 2.0) == "Holiday"
    derived = ContextField(name="day_of_visit", kind="cycle", period=7, derive="weekday")
    assert readable(derived, [], 5.0) == "Saturday"


def test_places_and_unknown_values_stay_figures() -> None:
    here = ContextField(name="here", kind="place", columns=["a", "b"], item_columns=["c", "d"])
    assert readable(here, [], np.array([48.85661, 2.35222], np.float32)) == "48.86, 2.352"
    assert readable(ContextField(name="weather", kind="category"), ["rain"], 3.0) == "3"
    assert readable(None, [], 3.5) == "3.5"
