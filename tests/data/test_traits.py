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
    assert found["age"] == ["20 to 29", "50 to 59", UNKNOWN, "20 to 29"]
    everybody = traits(made(tmp_path), [f"u{n}" for n in range(40)])["age"]
    assert {everybody.count(value) for value in everybody} == {10}


def test_the_provider_is_the_column_of_the_exposure_objective(tmp_path: Path):
    data = made(tmp_path)
    assert provider_column(data.domain) == "by"
    assert providers(data, ["b", "a", "new"]) == ["", "north", ""]
