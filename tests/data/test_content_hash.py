from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossrec.data import content_hash
from crossrec.data.content_hash import combined_hash, table_hash

FRAME = pl.DataFrame(
    {
        "id": ["a", None, "", "日本"],
        "n": [1, 2, None, -3],
        "x": [0.5, float("nan"), None, -0.0],
        "tags": [["p", "q"], [], None, ["", None]],
        "ok": [True, None, False, True],
    }
)


def hash_of(frame: pl.DataFrame, folder: Path, **options: object) -> str:
    frame.write_parquet(folder / "t.parquet", **options)
    return table_hash(folder / "t.parquet")


def test_encoding_row_groups_and_batches_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    before = hash_of(FRAME, tmp_path)
    assert hash_of(FRAME, tmp_path, compression="snappy", row_group_size=1) == before
    monkeypatch.setattr(content_hash, "BATCH_ROWS", 3)
    assert hash_of(FRAME, tmp_path) == before


def test_width_of_numbers_and_order_of_columns_change_nothing(tmp_path: Path):
    before = hash_of(FRAME, tmp_path)
    narrow = FRAME.with_columns(pl.col("n").cast(pl.Int8), pl.col("x").cast(pl.Float32))
    assert hash_of(narrow.select(reversed(FRAME.columns)), tmp_path) == before
    categories = FRAME.with_columns(pl.col("id").cast(pl.Categorical))
    assert hash_of(categories, tmp_path) == before


@pytest.mark.parametrize(
    "changed",
    [
        FRAME.reverse(),
        FRAME.rename({"n": "m"}),
        FRAME.with_columns(pl.col("id").fill_null("")),
        FRAME.with_columns(pl.col("n").fill_null(0)),
        FRAME.with_columns(pl.col("x").fill_nan(None)),
        FRAME.with_columns(pl.col("tags").fill_null([])),
        FRAME.with_columns(pl.col("n").cast(pl.String)),
        FRAME.drop("ok"),
        FRAME.head(3),
    ],
)
def test_every_change_of_a_value_changes_the_hash(tmp_path: Path, changed: pl.DataFrame):
    assert hash_of(changed, tmp_path) != hash_of(FRAME, tmp_path)


def test_characters_that_move_to_the_next_row_change_the_hash(tmp_path: Path):
    texts = [["ab", "c"], ["a", "bc"]]
    lists = [[["a"], ["b", "c"]], [["a", "b"], ["c"]]]
    for left, right in (texts, lists):
        first = hash_of(pl.DataFrame({"t": left}), tmp_path)
        assert first != hash_of(pl.DataFrame({"t": right}), tmp_path)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(st.tuples(st.none() | st.text(max_size=4), st.none() | st.integers(0, 9))))
def test_equal_tables_and_only_those_have_equal_hashes(
    tmp_path: Path, rows: list[tuple[str | None, int | None]]
):
    schema = {"t": pl.String, "n": pl.Int64}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    same = hash_of(frame, tmp_path, row_group_size=2)
    assert hash_of(frame, tmp_path) == same
    assert hash_of(pl.concat([frame, frame.clear()]), tmp_path) == same
    longer = pl.concat([frame, pl.DataFrame([("", 0)], schema=schema, orient="row")])
    assert hash_of(longer, tmp_path) != same


def test_structs_count_by_their_values(tmp_path: Path):
    frame = pl.DataFrame({"s": [{"a": 1}, {"a": 2}]})
    assert hash_of(frame, tmp_path) == hash_of(frame, tmp_path, row_group_size=1)
    assert hash_of(frame, tmp_path) != hash_of(frame.reverse(), tmp_path)


def test_the_combined_hash_depends_on_names_not_on_order():
    assert combined_hash({"a": "1", "b": "2"}) == combined_hash({"b": "2", "a": "1"})
    assert combined_hash({"a": "1", "b": "2"}) != combined_hash({"a": "2", "b": "1"})
