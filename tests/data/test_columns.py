from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from crossrec.errors import DataError
from tests.data.shop import ITEMS, SALES, import_shop, reasons, rows, shop


def test_a_misspelt_mapping_names_near_matches(tmp_path: Path):
    sales = ["custmer,sku,sold_at,stars", *SALES[1:]]
    with pytest.raises(DataError, match=r"no column 'customer'.*did you mean 'custmer'"):
        import_shop(tmp_path, sales=sales)


def test_a_missing_column_names_near_matches_and_what_is_there(tmp_path: Path):
    sales = ["user,sku,sold_at,stars", *SALES[1:]]
    tables = shop(tmp_path).model_dump()["tables"]
    del tables["interactions"]["columns"]["user_id"]
    with pytest.raises(
        DataError, match=r"no column 'user_id' .did you mean 'user'. it has: user, sku, sold_at"
    ):
        import_shop(tmp_path, sales=sales, tables=tables)


def test_a_column_that_bears_the_name_of_another_role_must_be_renamed(tmp_path: Path):
    sales = [f"{line},{n}" for n, line in enumerate(["customer,sku,sold_at,stars", *SALES[1:]])]
    sales[0] = "customer,sku,sold_at,stars,item_id"
    with pytest.raises(DataError, match="source_item_id: item_id"):
        import_shop(tmp_path, sales=sales)


def test_the_template_leaves_out_bracketed_parts_without_a_value(tmp_path: Path):
    items = [*ITEMS, "004,Who?,,2", "005,,,"]
    template = "{title}.[ Kinds: {category}.][ Costs {cost}.]"
    dataset = import_shop(tmp_path, items, text_template=template)
    assert rows(dataset, "items", "text") == [
        ("Green tea. Kinds: tea, drinks. Costs 3.5.",),
        ("Black tea. Kinds: tea, drinks. Costs 4.",),
        ("Mug. Kinds: kitchen. Costs 8.",),
        ("Who? Costs 2.",),
    ]
    assert reasons(dataset, "items") == {"item without any text": 1}


def test_a_template_with_a_misspelt_column_names_near_matches(tmp_path: Path):
    with pytest.raises(DataError, match=r"no column 'cots' .did you mean 'cost'"):
        import_shop(tmp_path, text_template="{title} {cots}")


def test_ids_stored_as_floats_meet_those_stored_as_whole_numbers(tmp_path: Path):
    pl.DataFrame({"item_id": [1, 2], "title": ["a", "b"]}).write_parquet(tmp_path / "i.parquet")
    pl.DataFrame(
        {"user_id": [7.0, 8.5], "item_id": [1.0, 2.0], "timestamp": [1_700_000_000] * 2}
    ).write_parquet(tmp_path / "s.parquet")
    tables = {"items": {"path": f"{tmp_path}/i.parquet"}}
    tables["interactions"] = {"path": f"{tmp_path}/s.parquet"}
    dataset = import_shop(tmp_path, tables=tables)
    assert rows(dataset, "interactions", "user_id", "item_id") == [("7", "1"), ("8.5", "2")]


def test_words_in_a_numeric_context_column_become_null_and_are_counted(tmp_path: Path):
    sales = [
        f"{line},{value}"
        for line, value in zip(SALES, ["warmth", "20", "hot", "-3.5"], strict=True)
    ]
    context = [{"name": "warmth", "kind": "number"}]
    dataset = import_shop(tmp_path, sales=sales, context=context)
    assert rows(dataset, "interactions", "warmth") == [(20.0,), (None,), (-3.5,)]
    assert dataset.card["repaired"] == {"interactions": {"warmth is no number, set to null": 1}}


def test_side_columns_take_the_type_that_all_their_rows_have(tmp_path: Path):
    late = [f"ann,001,1700000000,4,{n},{n},true" for n in range(10_000)]
    sales = [f"{SALES[0]},whole,widened,flag", *late, "ann,001,1700000000,4,1,1.5,false"]
    dataset = import_shop(tmp_path, sales=sales)
    schema = dataset.scan("interactions").collect_schema()
    assert schema["whole"] == pl.Int64
    assert schema["widened"] == pl.Float64
    assert schema["flag"] == pl.Boolean
    assert dataset.scan("interactions").tail(1).collect()["widened"].to_list() == [1.5]


def test_a_number_column_with_a_late_word_stays_text(tmp_path: Path):
    late = [f"ann,001,1700000000,4,{n}" for n in range(10_000)]
    sales = [f"{SALES[0]},code", *late, "ann,001,1700000000,4,A7"]
    dataset = import_shop(tmp_path, sales=sales)
    assert dataset.scan("interactions").tail(1).collect()["code"].to_list() == ["A7"]
