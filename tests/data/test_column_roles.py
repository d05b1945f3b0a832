from __future__ import annotations

import polars as pl
import pytest

from crossrec.data.column_roles import WORDS, Column
from crossrec.schema import TABLES


def column(name: str, values: list[object]) -> Column:
    sample = pl.Series(name, values, strict=False)
    return Column(name, sample, sample.dtype)


@pytest.mark.parametrize(
    ("name", "role", "score"),
    [
        ("userId", "user_id", 1.0),
        ("customer", "user_id", 1.0),
        ("household_id", "user_id", 1.0),
        ("reviewerID", "user_id", 1.0),
        ("customer_no", "user_id", 0.6),
        ("productname", "item_id", 0.4),
        ("unixReviewTime", "timestamp", 0.7),
        ("created_at", "timestamp", 0.7),
        ("quantity", "timestamp", 0.0),
    ],
)
def test_names_suggest_roles_by_their_words(name: str, role: str, score: float):
    assert column(name, ["x"]).named(role) == score


def test_every_canonical_column_that_is_guessed_has_words():
    guessed = {*TABLES["items"].required, *TABLES["interactions"].required, "event", "rating"}
    assert guessed | {"category"} <= set(WORDS)


def test_moments_need_most_values_to_be_plausible_times():
    assert column("t", [1_700_000_000, 1_700_000_001]).moments is not None
    assert column("t", ["2024-01-02", "2024-01-03"]).moments is not None
    assert column("t", [1, 2, 3, 4]).moments is None  # the seconds after 1970 began
    assert column("t", ["soon", "later"]).moments is None
    assert column("t", [None, None]).moments is None


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("brand", ["Acme", "Duff & Sons"], True),
        ("place", ["北京", "东京"], True),
        ("size", ["22 LB", "10.4 OZ"], False),
        ("picture", ["a.jpg", "b.png"], False),
        ("page", ["https://example.org/a"], False),
        ("maker_id", ["abc", "def"], False),
        ("weight", [1.5, 2.5], False),
    ],
)
def test_words_are_mostly_letters_and_no_addresses(name: str, values: list[object], expected: bool):
    assert column(name, values).has_words is expected


def test_the_separator_is_what_parts_entries_in_some_rows():
    assert column("kinds", ["a|b", "c"]).separator() == "|"
    assert column("kinds", ["a; b", "c"]).separator() == ";"
    assert column("kinds", ["a", "b"]).separator() is None
    assert column("kinds", [["a", "b"], ["c"]]).separator() == "|"  # lists are joined so
