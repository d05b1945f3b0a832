from __future__ import annotations

import hashlib
import json
from pathlib import Path

import polars as pl
import pytest

from crossrec.data import importing
from crossrec.data.clean import plan_table
from crossrec.data.dataset import CARD, Dataset
from crossrec.data.importing import import_domain
from crossrec.data.read import scan_table
from crossrec.domains.registry import read_domain
from crossrec.domains.spec import Domain
from crossrec.errors import DataError
from tests.data.shop import ITEMS, SALES, import_shop, shop, write


def contents(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_the_folder_holds_tables_rejects_yaml_and_card_and_nothing_else(tmp_path: Path):
    dataset = import_shop(tmp_path)
    assert sorted(contents(dataset.folder.parent)) == [
        ".shop.lock",
        "shop/dataset.json",
        "shop/domain.yaml",
        "shop/interactions.parquet",
        "shop/items.parquet",
        "shop/rejected.parquet",
    ]
    card = json.loads((dataset.folder / "dataset.json").read_text())
    assert card["tables"] == {"items": 3, "interactions": 3}
    assert card["rejected"] == {}
    assert card["content_hash"] == dataset.content_hash
    (tmp_path / "shop.yaml").write_text((dataset.folder / "domain.yaml").read_text())
    assert read_domain(tmp_path / "shop.yaml") == dataset.domain


def test_the_hash_follows_the_values_not_the_format(tmp_path: Path):
    first = import_shop(tmp_path / "a").content_hash
    assert import_shop(tmp_path / "b").content_hash == first
    reordered = import_shop(tmp_path / "c", sales=[SALES[0], *reversed(SALES[1:])])
    assert reordered.content_hash != first
    other = import_shop(tmp_path / "d", sales=[*SALES[:-1], "ann,002,1700000201,"])
    assert other.content_hash != first


def test_the_order_of_users_means_nothing_to_the_hash(tmp_path: Path):
    hashes = []
    for n, users in enumerate(
        [["user_id,age", "ann,3", "bob,4"], ["user_id,age", "bob,4", "ann,3"]]
    ):
        folder = tmp_path / str(n)
        write(folder / "users.csv", users)
        tables = shop(folder).model_dump()["tables"]
        tables["users"] = {"path": str(folder / "users.csv")}
        hashes.append(import_shop(folder, tables=tables).content_hash)
    assert hashes[0] == hashes[1]


def test_too_many_rejected_rows_stop_the_import_and_are_kept_to_look_at(tmp_path: Path):
    former = import_shop(tmp_path)
    sales = [*SALES, "ann,998,1700000300,5", "ann,999,1700000300,5"]
    with pytest.raises(
        DataError,
        match=r"interactions: 2 of 5 rows were rejected \(unknown item_id: 2\), more than the 10%",
    ):
        import_shop(tmp_path, sales=sales, max_rejected_share=0.1)
    rejected = pl.read_parquet(tmp_path / "data" / "shop.rejected.parquet")
    assert rejected["row"].to_list() == [4, 5]
    assert Dataset.open("shop", tmp_path / "data").content_hash == former.content_hash


def test_a_table_whose_rows_are_all_rejected_stops_the_import(tmp_path: Path):
    with pytest.raises(DataError, match="interactions: 1 of 1 rows were rejected"):
        import_shop(tmp_path, sales=[SALES[0], "ann,999,1,5"], max_rejected_share=1.0)


@pytest.mark.parametrize("part", ["items", "sales"])
def test_a_header_without_rows_is_refused(tmp_path: Path, part: str):
    lines = {"items": ITEMS, "sales": SALES} | {part: [ITEMS[0] if part == "items" else SALES[0]]}
    with pytest.raises(DataError, match=rf"{part}\.csv has no rows"):
        import_shop(tmp_path, **lines)


def test_lines_with_too_many_fields_are_refused_with_the_file(tmp_path: Path):
    with pytest.raises(DataError, match=r"sales\.csv cannot be read"):
        import_shop(tmp_path, sales=[*SALES, "ann,001,1700000300,5,6,7"])


def test_a_failed_import_leaves_the_former_data_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import_shop(tmp_path)
    before = contents(tmp_path / "data")

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(importing, "table_hash", full_disk)
    with pytest.raises(DataError, match=r"could not be written to .*No space left on device"):
        import_shop(tmp_path)
    assert contents(tmp_path / "data") == before
    assert {p.name for p in (tmp_path / "data").iterdir()} == {"shop", ".shop.lock"}


def test_a_full_disk_is_told_from_an_unreadable_file(tmp_path: Path):
    table = scan_table(write(tmp_path / "items.csv", ["item_id,title", "1,one"]))
    plan = plan_table("items", table, Domain(name="shop", title="Shop"), None)
    with pytest.raises(OSError, match="No space left"):
        importing._run(plan, Path("/dev/full"), tmp_path / "rejected.parquet", table)


def test_a_failed_rename_puts_the_former_data_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    former = import_shop(tmp_path)
    rename = Path.rename

    def fails_for_the_new_one(self: Path, target: Path) -> Path:
        if target.name == "shop" and not self.name.endswith("former"):
            raise OSError("the disk went away")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails_for_the_new_one)
    with pytest.raises(DataError, match="went away"):
        import_shop(tmp_path, sales=SALES[:-1])
    assert Dataset.open("shop", tmp_path / "data").content_hash == former.content_hash


@pytest.mark.parametrize("card", ["{half", "{}"])
def test_a_damaged_card_says_what_to_do(tmp_path: Path, card: str):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / CARD).write_text(card)
    with pytest.raises(DataError, match="cannot be read; run: crossrec data import shop --force"):
        Dataset.open("shop", tmp_path)


def test_importing_again_replaces_the_data(tmp_path: Path):
    import_shop(tmp_path)
    assert import_shop(tmp_path, sales=SALES[:-1]).card["tables"]["interactions"] == 2
    assert {p.name for p in (tmp_path / "data").iterdir()} == {"shop", ".shop.lock"}


def test_a_domain_without_any_table_says_what_was_expected(tmp_path: Path, fresh_home: Path):
    (fresh_home / "domains").mkdir()
    with pytest.raises(DataError, match="none of the tables interactions, requests, examples"):
        import_domain(Domain(name="nothing", title="Nothing"), tmp_path, progress=False)


def test_labelled_texts_need_no_items(tmp_path: Path):
    lines = ["example_id,text,label,split", "1,good,positive,train", "2,,positive,train"]
    path = write(tmp_path / "e.csv", lines)
    domain = Domain.model_validate(
        {
            "name": "labels",
            "title": "Labels",
            "task": "classify",
            "tables": {"examples": {"path": str(path)}},
            "max_rejected_share": 0.5,
        }
    )
    dataset = import_domain(domain, tmp_path / "data", progress=False)
    assert dataset.card["rejected"] == {"examples": {"missing text": 1}}


def test_requests_refer_to_items(tmp_path: Path):
    lines = ["request_id,text,item_id", "r1,something hot,001", "r2,a plane,777"]
    tables = shop(tmp_path).model_dump()["tables"]
    tables["requests"] = {"path": str(write(tmp_path / "requests.csv", lines))}
    dataset = import_shop(tmp_path, tables=tables)
    assert dataset.scan("requests").collect()["request_id"].to_list() == ["r1"]
    assert dataset.card["rejected"] == {"requests": {"unknown item_id": 1}}


def test_a_user_with_one_interaction_is_kept(tmp_path: Path):
    dataset = import_shop(tmp_path, sales=SALES[:2])
    assert dataset.scan("interactions").collect()["user_id"].to_list() == ["ann"]
    assert dataset.card["rejected"] == {}
