from __future__ import annotations

import json
import math
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossrec.errors import DataError
from tests.data.shop import ITEMS, SALES, import_shop, reasons, rows, shop, write


def test_columns_are_mapped_typed_and_kept_in_file_order(tmp_path: Path):
    dataset = import_shop(tmp_path)
    assert rows(dataset, "items", "item_id", "title", "text", "category", "cost") == [
        ("001", "Green tea", "Green tea", ["tea", "drinks"], 3.5),
        ("002", "Black tea", "Black tea", ["tea", "drinks"], 4.0),
        ("003", "Mug", "Mug", ["kitchen"], 8.0),
    ]
    interactions = dataset.scan("interactions").collect()
    assert interactions.rows() == [
        ("ann", "001", 1_700_000_000, "interaction", 4.0),
        ("bob", "003", 1_700_000_100, "interaction", 5.0),
        ("ann", "002", 1_700_000_200, "interaction", None),
    ]
    assert interactions.schema == {
        "user_id": pl.String,
        "item_id": pl.String,
        "timestamp": pl.Int64,
        "event": pl.String,
        "rating": pl.Float32,
    }


def test_duplicate_item_ids_keep_the_first_row(tmp_path: Path):
    dataset = import_shop(tmp_path, items=[*ITEMS, "001,Other,x,1"])
    assert reasons(dataset, "items") == {"duplicate item_id": 1}
    assert dataset.card["tables"] == {"items": 3, "interactions": 3}
    [rejected] = pl.read_parquet(dataset.folder / "rejected.parquet").to_dicts()
    assert (rejected["table"], rejected["row"]) == ("items", 4)
    assert json.loads(rejected["source_row"]) == {
        "sku": "001",
        "name": "Other",
        "kinds": "x",
        "cost": "1",
    }


def test_a_good_row_is_no_duplicate_of_a_rejected_one(tmp_path: Path):
    dataset = import_shop(tmp_path, items=[ITEMS[0], "001,,x,1", *ITEMS[1:]])
    assert reasons(dataset, "items") == {"item without any text": 1}
    assert rows(dataset, "items", "item_id")[0] == ("001",)


def test_unknown_items_are_told_from_rejected_ones(tmp_path: Path):
    items = [*ITEMS, "004, ,x,1"]
    sales = [*SALES, "ann,004,1700000300,5", "ann,999,1700000300,5", "ann,,1700000300,5"]
    dataset = import_shop(tmp_path, items, sales)
    assert reasons(dataset, "items") == {"item without any text": 1}
    assert reasons(dataset, "interactions") == {
        "item_id of a rejected item": 1,
        "unknown item_id": 1,
        "missing item_id": 1,
    }


def test_empty_and_blank_ids_are_rejected(tmp_path: Path):
    sales = [*SALES, ",001,1700000300,5", "  ,001,1700000300,5"]
    assert reasons(import_shop(tmp_path, sales=sales), "interactions") == {"missing user_id": 2}


def test_an_item_without_text_but_with_a_title_is_kept(tmp_path: Path):
    items = ["item_id,title,text", "1,Mug,", "2,,A cup of clay", "3,,"]
    sales = ["user_id,item_id,timestamp", "ann,1,1700000000"]
    dataset = import_shop(tmp_path, items, sales, tables=_plain(tmp_path))
    assert rows(dataset, "items", "item_id", "title", "text") == [
        ("1", "Mug", "Mug"),
        ("2", "A cup of clay", "A cup of clay"),
    ]
    assert reasons(dataset, "items") == {"item without any text": 1}


def _plain(folder: Path) -> dict[str, dict[str, str]]:
    """Tables whose columns have canonical names already."""
    names = {"items": "items.csv", "interactions": "sales.csv"}
    return {table: {"path": str(folder / name)} for table, name in names.items()}


def test_ratings_that_are_not_given_become_null_and_are_counted(tmp_path: Path):
    stars = ["NaN", "NA", "n/a", "null", "", " 3 "]
    sales = [SALES[0], *(f"ann,001,170000000{n},{s}" for n, s in enumerate(stars))]
    dataset = import_shop(tmp_path, sales=sales)
    assert [r for (r,) in rows(dataset, "interactions", "rating")] == [None] * 5 + [3.0]
    assert dataset.card["repaired"] == {
        "interactions": {"rating not given (NaN, NA), set to null": 4}
    }


def test_nan_ratings_of_a_typed_file_become_null_and_are_counted(tmp_path: Path):
    write(tmp_path / "items.csv", ITEMS)
    frame = pl.DataFrame(
        {
            "customer": ["ann", "bob", "cid"],
            "sku": ["001"] * 3,
            "sold_at": [1_700_000_000] * 3,
            "stars": [math.nan, 4.0, math.inf],
        }
    )
    frame.write_parquet(tmp_path / "sales.parquet")
    tables = shop(tmp_path).model_dump()["tables"]
    tables["interactions"]["path"] = str(tmp_path / "sales.parquet")
    dataset = import_shop(tmp_path, tables=tables)
    assert rows(dataset, "interactions", "rating") == [(None,), (4.0,)]
    assert reasons(dataset, "interactions") == {"rating is no number": 1}
    assert sum(dataset.card["repaired"]["interactions"].values()) == 1


def test_ratings_in_words_are_rejected(tmp_path: Path):
    dataset = import_shop(tmp_path, sales=[*SALES, "ann,001,1700000300,good"])
    assert reasons(dataset, "interactions") == {"rating is no number": 1}


def test_milliseconds_become_seconds_and_are_reported(tmp_path: Path):
    sales = [SALES[0], "ann,001,1700000000123,4", "ann,002,1700000001,4"]
    dataset = import_shop(tmp_path, sales=sales)
    assert rows(dataset, "interactions", "timestamp") == [(1_700_000_000,), (1_700_000_001,)]
    assert dataset.card["repaired"] == {
        "interactions": {"timestamp in milliseconds, taken to seconds": 1}
    }


def test_times_as_text_become_seconds_and_bad_ones_are_rejected(tmp_path: Path):
    sales = [SALES[0], "ann,001,2023-11-14T22:13:20Z,4", "ann,002,soon,4", "ann,003,,4"]
    dataset = import_shop(tmp_path, sales=sales)
    assert rows(dataset, "interactions", "timestamp") == [(1_700_000_000,)]
    assert reasons(dataset, "interactions") == {
        "timestamp is no time": 1,
        "missing timestamp": 1,
    }


def test_without_a_time_column_rows_are_numbered_where_the_domain_says_so(tmp_path: Path):
    sales = ["customer,sku", "ann,001", "bob,003"]
    tables = shop(tmp_path).model_dump()["tables"]
    tables["interactions"]["columns"] = {"user_id": "customer", "item_id": "sku"}
    with pytest.raises(DataError, match="no column 'timestamp'"):
        import_shop(tmp_path, sales=sales, tables=tables)
    dataset = import_shop(tmp_path, sales=sales, tables=tables, time_kind="none")
    assert rows(dataset, "interactions", "timestamp") == [(1,), (2,)]


def test_context_is_derived_from_the_time_where_the_domain_asks(tmp_path: Path):
    context = [
        {"name": "hour", "kind": "cycle", "period": 24, "derive": "hour"},
        {"name": "weekday", "kind": "cycle", "period": 7, "derive": "weekday"},
        {"name": "month", "kind": "cycle", "period": 12, "derive": "month"},
    ]
    dataset = import_shop(tmp_path, context=context)
    # 1,700,000,000 is Tuesday 2023-11-14 22:13:20 UTC
    assert rows(dataset, "interactions", "hour", "weekday", "month")[0] == (22, 1, 11)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"card_columns": ["cots"]}, "names column 'cots' as a card column.*did you mean 'cost'"),
        ({"objectives": [{"name": "price", "column": "price"}]}, "'price' as objective 'price'"),
        ({"context": [{"name": "weather", "kind": "category"}]}, "as context field 'weather'"),
        ({"pool_column": "kind"}, "as the pool column"),
    ],
)
def test_columns_that_the_domain_names_must_exist(
    tmp_path: Path, changes: dict[str, object], message: str
):
    with pytest.raises(DataError, match=message):
        import_shop(tmp_path, **changes)


def test_feature_columns_become_one_vector(tmp_path: Path):
    arrays = pl.DataFrame(
        {"item_id": ["001", "002"], "feature": [[1.0, 2.0], [3.0, 4.0]]},
        schema={"item_id": pl.String, "feature": pl.Array(pl.Float32, 2)},
    )
    wide = pl.DataFrame({"item_id": ["001", "999"], "loud": [1, 2], "fast": [0.5, 1.5]})
    arrays.write_parquet(tmp_path / "features_image.parquet")
    wide.write_parquet(tmp_path / "features_audio.parquet")
    tables = shop(tmp_path).model_dump()["tables"]
    for modality in ("image", "audio"):
        tables[f"features_{modality}"] = {"path": f"{tmp_path}/features_{modality}.parquet"}
    dataset = import_shop(tmp_path, tables=tables)
    assert dataset.features() == ["audio", "image"]
    assert rows(dataset, "features_image", "item_id", "vector")[1] == ("002", [3.0, 4.0])
    assert rows(dataset, "features_audio", "item_id", "vector") == [("001", [1.0, 0.5])]
    assert reasons(dataset, "features_audio") == {"unknown item_id": 1}


def test_vectors_with_gaps_or_of_another_length_are_rejected(tmp_path: Path):
    items = [ITEMS[0], *(f"00{n},Tea {n},x,1" for n in range(1, 6))]
    vectors = [[1.0, 2.0], [3.0, 4.0], [5.0], [6.0, None], [math.nan, 7.0]]
    ids = [f"00{n}" for n in range(1, 6)]
    pl.DataFrame({"item_id": ids, "vector": vectors}).write_parquet(tmp_path / "f.parquet")
    tables = shop(tmp_path).model_dump()["tables"] | {
        "features_x": {"path": f"{tmp_path}/f.parquet"}
    }
    dataset = import_shop(tmp_path, items, tables=tables)
    assert reasons(dataset, "features_x") == {
        "vector with a null or NaN": 2,
        "vector as long as no other": 1,
    }


ID = st.sampled_from(["001", "002", "003", "999", "", " "])
USER = st.sampled_from(["ann", "bob", ""])
TIME = st.sampled_from(["1700000000", "1700000000000", "2023-11-14", "soon", ""])
STARS = st.sampled_from(["4", "", "NaN", "good", "inf"])


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(lines=st.lists(st.tuples(USER, ID, TIME, STARS), max_size=12))
def test_every_row_is_kept_or_rejected_and_kept_rows_keep_their_order(
    tmp_path: Path, lines: list[tuple[str, str, str, str]]
):
    lines = [("first", "001", "1700000000", "4"), *lines]
    dataset = import_shop(tmp_path, sales=[SALES[0], *(",".join(line) for line in lines)])
    kept = dataset.scan("interactions").collect()
    rejected = pl.read_parquet(dataset.folder / "rejected.parquet")
    assert len(kept) + len(rejected) == len(lines)
    assert rejected["row"].is_sorted()
    left = [line for n, line in enumerate(lines, 1) if n not in set(rejected["row"])]
    assert kept.select("user_id", "item_id").rows() == [(user, item) for user, item, _, _ in left]
    assert kept.select("user_id", "item_id", "timestamp").null_count().sum_horizontal().item() == 0
    good = [
        user and item in {"001", "002", "003"} and time not in {"", "soon"}
        and stars not in {"good", "inf"}
        for user, item, time, stars in lines
    ]  # fmt: skip
    assert len(kept) == sum(map(bool, good))
