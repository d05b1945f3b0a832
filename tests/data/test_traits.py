"""Traits of users and providers of items, as words."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from crossrec.data.dataset import Dataset
from crossrec.data.traits import UNKNOWN, provider_column, providers, traits
from crossrec.domains.spec import Domain, Objective


def made(folder: Path) -> Dataset:
    domain = Domain(
        name="d",
        title="D",
        audit_columns=["age", "gender"],
        objectives=[Objective(name="relevance", weight=1), Objective(name="exposure", column="by")],
    )
    pl.DataFrame(
        {
            "user_id": [f"u{n}" for n in range(40)],
            "age": list(range(20, 60)),
            "gender": ["f", None] * 20,
        }
    ).write_parquet(folder / "users.parquet")
    pl.DataFrame(
        {"item_id": ["a", "b"], "title": ["A", "B"], "text": ["", ""], "by": ["north", None]}
    ).write_parquet(folder / "items.parquet")
    return Dataset(folder, domain, "h", {})


def test_numbers_are_cut_at_their_quartiles_and_words_stay(tmp_path: Path):
    found = traits(made(tmp_path), ["u0", "u39", "stranger", "u1"])
    assert found["gender"] == ["f", UNKNOWN, UNKNOWN, UNKNOWN]
    assert found["age"] == ["up to 30", "above 49", UNKNOWN, "up to 30"]
    everybody = traits(made(tmp_path), [f"u{n}" for n in range(40)])["age"]
    sizes = {value: everybody.count(value) for value in everybody}
    assert sizes == {"up to 30": 11, "30 to 40": 10, "40 to 49": 9, "above 49": 10}


def test_no_border_of_a_group_is_one_persons_value(tmp_path: Path):
    data = made(tmp_path)
    incomes = [20_001.0 + 1_013 * n for n in range(39)] + [None]
    users = pl.read_parquet(tmp_path / "users.parquet").with_columns(age=pl.Series(incomes))
    users.write_parquet(tmp_path / "users.parquet")
    names = traits(data, [f"u{n}" for n in range(40)])["age"]
    assert names[-1] == UNKNOWN
    borders = {float(word) for name in names for word in name.split() if word[0].isdigit()}
    assert len(borders) == 3
    assert not borders & set(incomes)
    for name, income in zip(names[:-1], incomes, strict=False):
        first, *_, last = name.split()
        ends = {"up": ("-inf", last), "above": (last, "inf")}
        low, high = map(float, ends.get(first, (first, last)))
        assert low < income <= high


def test_numbers_that_most_share_are_cut_there(tmp_path: Path):
    data = made(tmp_path)
    users = pl.read_parquet(tmp_path / "users.parquet")
    users = users.with_columns(age=pl.Series([float(n) for n in range(1, 9)] + [0.5] * 32))
    users.write_parquet(tmp_path / "users.parquet")
    found = traits(data, ["u0", "u39"])["age"]
    assert found == ["above 0.5", "up to 0.5"]


def test_the_provider_is_the_column_of_the_exposure_objective(tmp_path: Path):
    data = made(tmp_path)
    assert provider_column(data.domain) == "by"
    assert providers(data, ["b", "a", "new"]) == ["", "north", ""]
