"""Candidates of one context value: what the items' columns say, and who may be ranked where."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from crossrec.config import load_config
from crossrec.data.dataset import Dataset
from crossrec.data.profiles import profile_split
from crossrec.data.restrictions import held_by, restricted_split
from crossrec.data.sequences import sequences_from
from crossrec.data.split import make_split
from crossrec.domains.spec import ContextField, Domain
from crossrec.errors import ConfigError, DataError
from crossrec.training.prepare import split_for

nan = np.nan
CITY = ContextField(name="city", kind="category", derive="last_item", restricts="town")
PLACES = pl.DataFrame(
    {
        "item_id": list("abcdef"),
        "title": list("abcdef"),
        "text": list("abcdef"),
        "town": ["Rome", "Rome", "Oslo", "Oslo", None, "Lima"],
        "kinds": [["park"], ["park", "zoo"], ["zoo"], [], None, ["zoo"]],
        "floors": [1, 2, 3, 4, 5, 6],
    }
)


def visits(**columns: list[object]) -> pl.LazyFrame:
    users = {"u": "abcd", "v": "cdea", "w": "bdc"}
    rows = [(user, item, n) for user, items in users.items() for n, item in enumerate(items)]
    frame = pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")
    return frame.with_columns(**{n: pl.Series(v) for n, v in columns.items()}).lazy()


def domain(*fields: ContextField) -> Domain:
    return Domain(name="d", title="D", context=list(fields), time_kind="order_index_per_user")


def dataset(folder: Path, of: Domain) -> Dataset:
    PLACES.write_parquet(folder / "items.parquet")
    visits().collect().write_parquet(folder / "interactions.parquet")
    return Dataset(folder, of, "0" * 64, {})


def test_a_derived_value_is_that_of_the_item_before_and_never_of_the_target() -> None:
    got = sequences_from(PLACES, visits(), domain(CITY))
    assert got.context_values == {"city": ["Lima", "Oslo", "Rome"]}
    np.testing.assert_array_equal(
        got.context["city"],
        # u: a b c d                v: c d e a               w: b d c
        [nan, 2, 2, 1, nan, 1, 1, nan, nan, 2, 1],
    )


def test_a_field_that_restricts_knows_values_that_nobody_has_had_yet() -> None:
    field = ContextField(name="city", kind="category", restricts="town")
    got = sequences_from(PLACES, visits(city=["Oslo"] * 10 + ["Bonn"]), domain(field))
    assert got.context_values["city"] == ["Bonn", "Lima", "Oslo", "Rome"]


def test_an_item_is_held_by_each_of_its_values_and_an_empty_one_by_none() -> None:
    held = held_by(PLACES["kinds"], ["park", "zoo"])
    np.testing.assert_array_equal(held, [[1, 1, 0, 0, 0, 0], [0, 1, 1, 0, 0, 1]])


def test_restricted_candidates_are_the_items_of_the_value(tmp_path: Path) -> None:
    data = dataset(tmp_path, domain(CITY))
    split = restricted_split(data, make_split(data, "leave_one_out"))
    assert split.label == "leave_one_out, same city"
    towns = PLACES["town"].to_list()
    for code, town in enumerate(split.sequences.context_values["city"]):
        assert split.restrictions["city"][code].tolist() == [one == town for one in towns]


def test_the_setting_restricts_once_and_needs_a_field_that_does(tmp_path: Path) -> None:
    config = load_config(overrides=["candidates=restricted"])
    data = dataset(tmp_path, domain(CITY))
    split = split_for(data, config)
    assert list(split.restrictions) == ["city"]
    assert split_for(data, config, split) is split
    assert split_for(data, load_config()).restrictions == {}
    with pytest.raises(ConfigError, match=r"of the cases of 'd' \(leave_one_out\) restricts"):
        split_for(dataset(tmp_path, domain()), config)
    without = replace(split, sequences=replace(split.sequences, context={}), restrictions={})
    with pytest.raises(ConfigError, match="restricts"):
        restricted_split(data, without)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("towm", "did you mean 'town'"),
        ("floors", "'floors', which holds Int64; expected text"),
        ("kinds", "some items have several values in 'kinds'"),
    ],
)
def test_a_column_that_cannot_restrict_is_named(column: str, message: str) -> None:
    field = CITY.model_copy(update={"restricts": column})
    with pytest.raises(DataError, match=message):
        sequences_from(PLACES, visits(), domain(field))


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"kind": "number", "restricts": "floors"}, "of kind number cannot restrict candidates"),
        ({"kind": "category", "derive": "last_item"}, "restricts names no items column"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(field: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ContextField.model_validate({"name": "x", **field})


def test_somebody_described_has_no_last_item(tmp_path: Path) -> None:
    of = domain(CITY).model_copy(update={"profile_template": "Likes {taste}."})
    data = dataset(tmp_path, of)
    users = [{"user_id": user, "taste": "parks"} for user in "uvw"]
    many = [visits().collect().with_columns(pl.col("user_id") + str(n)) for n in range(20)]
    pl.concat(many).write_parquet(tmp_path / "interactions.parquet")
    described = [{**user, "user_id": user["user_id"] + str(n)} for user in users for n in range(20)]
    pl.DataFrame(described).write_parquet(tmp_path / "users.parquet")
    assert np.isnan(profile_split(data).sequences.context["city"]).all()
