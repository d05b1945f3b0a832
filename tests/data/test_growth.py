from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from crossrec.data.dataset import CARD, Dataset
from crossrec.data.growth import GROWTH, WEEK_S, grow
from crossrec.data.importing import import_domain
from crossrec.data.sequences import load_sequences
from crossrec.domains.spec import Domain
from crossrec.errors import DataError

END = 1_000_000_000  # 2001-09-09 01:46:40, a Sunday
IMPORTED_AT = END + 100 * WEEK_S + 12_345


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    """Three people and four things, imported a hundred weeks after the last interaction."""
    source = tmp_path / "source"
    source.mkdir()
    items = [{"item_id": f"i{n}", "title": f"t{n}", "text": f"t{n}"} for n in range(4)]
    pl.DataFrame(items).write_csv(source / "items.csv")
    rows = [
        {
            "user_id": f"u{user}",
            "item_id": f"i{step}",
            "timestamp": END - 10 * (3 - step),
            "event": "buy",
            "hour": 5,
        }
        for user in range(3)
        for step in range(4 - (user == 2))
    ]
    pl.DataFrame(rows).write_csv(source / "interactions.csv")
    domain = Domain.model_validate(
        {
            "name": "shop",
            "title": "Shop",
            "source": {"kind": "file"},
            "tables": {
                name: {"path": str(source / f"{name}.csv")} for name in ("items", "interactions")
            },
            "context": [{"name": "hour", "kind": "cycle", "period": 24, "derive": "hour"}],
        }
    )
    dataset = import_domain(domain, tmp_path / "data", progress=False)
    card = dataset.card | {"imported_at": "2003-08-10T05:12:25+00:00"}
    (dataset.folder / CARD).write_text(json.dumps(card))
    return Dataset.open("shop", tmp_path / "data")


def frame(*rows: tuple[str, str, int]) -> pl.DataFrame:
    columns = ["user_id", "item_id", "timestamp"]
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(
        pl.lit("buy").alias("event"), pl.lit(None, pl.Float32).alias("rating")
    )


def test_what_is_added_comes_after_what_was_imported(data: Dataset):
    moment = IMPORTED_AT + 3_600
    added = frame(("u2", "i3", moment), ("new", "i0", moment + 5), ("new", "gone", moment))
    growth = grow(data, added, {"since": "all"})
    assert (growth.n_added, growth.n_users) == (2, 2)
    rows = growth.dataset.scan("interactions").collect()
    assert rows.schema == data.scan("interactions").collect_schema()
    assert rows.height == data.card["tables"]["interactions"] + 2
    assert rows["user_id"][-2:].to_list() == ["u2", "new"]
    assert growth.dataset.card["tables"]["interactions"] == rows.height
    assert growth.dataset.content_hash != data.content_hash
    assert growth.dataset.card[GROWTH] == {"since": "all", "n_added": 2, "n_items": 0}


def test_the_years_between_the_data_and_today_are_left_out_in_whole_weeks(data: Dataset):
    """Hours, weekdays and gaps between events stay; the gap before the first is under a week."""
    moments = [IMPORTED_AT - 50 * WEEK_S, IMPORTED_AT + 3_600, IMPORTED_AT + 3_700]
    added = frame(*[("new", f"i{n}", at) for n, at in enumerate(moments)])
    rows = grow(data, added, {}).dataset.scan("interactions").collect()[-3:]
    early, first, second = rows["timestamp"]
    assert early == END  # said to be before the import: it cannot be before the data's end
    assert 0 <= first - END - 3_600 < WEEK_S
    assert second - first == 100
    assert (moments[1] - first) % WEEK_S == 0
    assert rows["hour"].to_list()[1:] == [moments[1] // 3_600 % 24] * 2


def test_growing_again_counts_nothing_twice_and_nothing_goes_back(data: Dataset):
    added = frame(("u2", "i3", IMPORTED_AT))
    once = grow(data, added, {}).dataset
    twice = grow(once, added, {}).dataset
    assert twice.content_hash == once.content_hash
    assert len(load_sequences(twice).items) == 12
    back = grow(twice, added.clear(), {}).dataset
    assert back.content_hash == data.content_hash


def test_items_that_came_since_the_import_are_part_of_the_catalogue(data: Dataset):
    added = frame(("u2", "new", IMPORTED_AT), ("u2", "i3", IMPORTED_AT + 1))
    items = [
        {"item_id": "new", "title": "New", "text": "new things", "unknown": 1},
        {"item_id": "i1", "title": "Other", "text": "said anew"},
    ]
    before = data.scan("items").collect()
    grown = grow(data, added, {}, items).dataset
    rows = grown.scan("items").collect()
    assert rows["item_id"].to_list() == ["i0", "i1", "i2", "i3", "new"]
    assert rows["title"].to_list() == ["t0", "Other", "t2", "t3", "New"]
    assert rows.schema == before.schema
    assert grown.card["tables"]["items"] == 5
    assert grown.scan("interactions").collect()["item_id"][-2:].to_list() == ["new", "i3"]
    assert load_sequences(grown).item_ids[-1] == "new"
    back = grow(grown, added.clear(), {}).dataset
    assert back.content_hash == data.content_hash
    assert back.scan("items").collect().equals(before)


def test_a_set_without_interactions_does_not_grow(data: Dataset):
    (data.folder / "interactions.parquet").unlink()
    with pytest.raises(DataError, match="no interactions that feedback could be added to"):
        grow(data, frame(), {})


def test_what_cannot_be_written_leaves_the_data_as_they_were(data: Dataset):
    added = frame(("u2", "i3", IMPORTED_AT)).with_columns(pl.lit("x").alias("user_id"))
    before = sorted(path.name for path in data.folder.parent.rglob("*"))
    with pytest.raises(pl.exceptions.PolarsError):
        grow(data, added.drop("event"), {})
    assert sorted(path.name for path in data.folder.parent.rglob("*")) == before
    assert Dataset.open("shop", data.folder.parent).content_hash == data.content_hash
