from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crossrec.data.read import find_table, scan_table
from crossrec.errors import DataError
from tests.data.shop import write

FRAME = pl.DataFrame({"id": ["a", "b"], "n": [1, 2]})


@pytest.mark.parametrize("ending", ["parquet", "csv", "tsv", "jsonl", "ndjson"])
def test_every_format_gives_the_same_values(tmp_path: Path, ending: str):
    path = tmp_path / f"table.{ending}"
    if ending == "parquet":
        FRAME.write_parquet(path)
    elif ending.endswith("sv"):
        FRAME.write_csv(path, separator="\t" if ending == "tsv" else ",")
    else:
        FRAME.write_ndjson(path)
    table = scan_table(path)
    assert table.columns == ["id", "n"]
    got = table.frame.with_columns(pl.col("n").cast(pl.Int64)).collect()
    assert_frame_equal(got, FRAME)


def test_text_files_keep_ids_as_written_and_guess_the_other_types(tmp_path: Path):
    table = scan_table(write(tmp_path / "t.csv", ["id,price", "007,1.5", "010,2"]))
    assert table.frame.collect()["id"].to_list() == ["007", "010"]
    assert table.guessed["price"] == pl.Float64


@pytest.mark.parametrize("separator", [",", ";", "|", "\t"])
def test_the_separator_of_a_csv_is_seen_in_its_header(tmp_path: Path, separator: str):
    lines = [separator.join(parts) for parts in (("id", "name"), ("1", "x y"))]
    assert scan_table(write(tmp_path / "t.csv", lines)).columns == ["id", "name"]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text("id,n\na,1\n", encoding="utf-8-sig")
    assert scan_table(path).columns == ["id", "n"]


def test_a_key_that_first_appears_late_in_json_lines_is_a_column(tmp_path: Path):
    lines = ['{"id": "a"}'] * 20_000 + ['{"id": "b", "late": 1}']
    assert scan_table(write(tmp_path / "t.jsonl", lines)).columns == ["id", "late"]


def test_a_missing_file_names_what_is_in_its_folder(tmp_path: Path):
    write(tmp_path / "items.csv", ["id"])
    with pytest.raises(DataError, match=r"no file at .*itms\.csv; that folder has: items\.csv"):
        scan_table(tmp_path / "itms.csv")


def test_a_folder_is_no_table(tmp_path: Path):
    with pytest.raises(DataError, match="is a folder; expected a file"):
        scan_table(tmp_path)


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_an_empty_file_is_refused(tmp_path: Path, ending: str):
    path = tmp_path / f"t.{ending}"
    path.touch()
    with pytest.raises(DataError, match="is empty"):
        scan_table(path)


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_text_that_is_not_utf8_names_byte_and_line(tmp_path: Path, ending: str):
    path = tmp_path / f"t.{ending}"
    path.write_bytes(b"id\nok\ncaf\xe9\n")
    with pytest.raises(DataError, match=r"not UTF-8: byte 0xe9 in line 3; save it as UTF-8"):
        scan_table(path)


def test_a_character_cut_by_a_block_is_still_utf8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("crossrec.data.read._BLOCK_BYTES", 4)
    table = scan_table(write(tmp_path / "t.csv", ["id,t", "a,äöü€", "b,日本"]))
    assert table.frame.collect()["t"].to_list() == ["äöü€", "日本"]
    (tmp_path / "bad.csv").write_bytes("id\nabcä\nü".encode() + b"\xff\n")
    with pytest.raises(DataError, match="byte 0xff in line 3"):
        scan_table(tmp_path / "bad.csv")


def test_a_file_that_ends_inside_a_character_is_refused(tmp_path: Path):
    (tmp_path / "t.csv").write_bytes("id\nä".encode()[:-1])
    with pytest.raises(DataError, match="byte 0xc3 in line 2"):
        scan_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("name", "content"), [("t.parquet", "id,n\na,1\n"), ("t.jsonl", "id,n\na,1\n")]
)
def test_contents_that_do_not_fit_the_ending_are_refused(tmp_path: Path, name: str, content: str):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=rf"{name} cannot be read as \.{name.split('.')[1]}"):
        scan_table(tmp_path / name)


def test_an_unknown_ending_lists_those_that_are_known(tmp_path: Path):
    with pytest.raises(DataError, match=r"ends in '\.xlsx'; expected one of \.csv, \.jsonl"):
        scan_table(write(tmp_path / "t.xlsx", ["x"]))


def test_two_files_of_one_table_are_refused(tmp_path: Path):
    write(tmp_path / "items.csv", ["id"])
    assert find_table(tmp_path, "items") == tmp_path / "items.csv"
    assert find_table(tmp_path, "users") is None
    write(tmp_path / "items.tsv", ["id"])
    with pytest.raises(DataError, match=r"has items\.csv and items\.tsv"):
        find_table(tmp_path, "items")
