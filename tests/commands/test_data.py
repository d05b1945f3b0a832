from __future__ import annotations

import json
from pathlib import Path

from tests.commands.conftest import Run


def test_list_says_how_to_begin_where_nothing_is_imported(run: Run):
    assert "crossrec data import movies" in run("data", "list").stdout


def test_imported_data_are_listed_and_shown_with_their_hash(run: Run, shop_domain: Path):
    imported = run("data", "import", "shop")
    assert imported.exit_code == 0, imported.stderr
    [listed] = json.loads(run("data", "list", "--json").stdout)
    assert listed["domain"] == "shop"
    assert listed["tables"] == {"items": 30, "interactions": 200}
    assert listed["content_hash"][:12] in run("data", "list").stdout
    assert listed["content_hash"][:12] in run("data", "show", "shop").stdout
    assert json.loads(run("data", "show", "shop", "--json").stdout)["tables"] == listed["tables"]


def test_importing_again_what_has_not_changed_needs_force(run: Run, shop_domain: Path):
    run("data", "import", "shop")
    assert "already imported" in run("data", "import", "shop").stderr
    assert "already imported" not in run("data", "import", "shop", "--force").stderr


def test_changed_files_are_imported_again(run: Run, shop_domain: Path):
    run("data", "import", "shop")
    sales = shop_domain.parent / "shop_files" / "sales.csv"
    sales.write_text(sales.read_text() + "c99,s1,1700000000,sale\n")
    again = run("data", "import", "shop", "--json")
    assert "sales.csv changed since" in again.stderr
    [after] = json.loads(again.stdout)
    assert after["tables"]["interactions"] == 201
    assert "already imported" in run("data", "import", "shop").stderr


def test_an_edited_yaml_is_imported_again(run: Run, shop_domain: Path):
    run("data", "import", "shop")
    shop_domain.write_text(shop_domain.read_text() + "dropped_events: [none]\n")
    assert "its YAML has changed" in run("data", "import", "shop").stderr
    assert json.loads(run("data", "show", "shop", "--json").stdout)["domain"]["dropped_events"]


def test_data_whose_files_are_gone_stay(run: Run, shop_domain: Path):
    run("data", "import", "shop")
    (shop_domain.parent / "shop_files" / "sales.csv").unlink()
    again = run("data", "import", "shop", "--json")
    assert "already imported" in again.stderr
    assert json.loads(again.stdout)[0]["tables"]["interactions"] == 200


def test_what_a_reader_reads_is_always_imported_again(run: Run, shop_domain: Path):
    reader = "import polars as pl\n\n\ndef read(folder):\n    files = folder / 'shop_files'\n"
    reader += "    sales = pl.scan_csv(files / 'sales.csv').rename({'customer': 'user_id'})\n"
    reader += "    sales = sales.rename({'sku': 'item_id', 'sold_at': 'timestamp'})\n"
    reader += "    items = pl.scan_csv(files / 'items.csv').rename({'sku': 'item_id'})\n"
    reader += "    return {'items': items.rename({'name': 'title'}), 'interactions': sales}\n"
    (shop_domain.parent / "shop_reader.py").write_text(reader, encoding="utf-8")
    source = "source: {kind: file, reader: 'shop_reader:read'}"
    shop_domain.write_text(f"name: shop\ntitle: A small shop\n{source}\n", encoding="utf-8")
    assert run("data", "import", "shop").exit_code == 0
    assert "shop_reader:read reads may have changed" in run("data", "import", "shop").stderr


def test_rejected_rows_are_told(run: Run, shop_domain: Path):
    sales = shop_domain.parent / "shop_files" / "sales.csv"
    sales.write_text(sales.read_text() + "c99,s999,1700000000,sale\n")
    stdout = run("data", "import", "shop").stdout
    assert "rejected  interactions: 1 " in stdout


def test_a_misspelt_name_stops_before_the_first_import(run: Run, shop_domain: Path):
    result = run("data", "import", "shop", "sohp")
    assert result.exit_code == 2
    assert "did you mean 'shop'?" in result.stderr
    assert json.loads(run("data", "list", "--json").stdout) == []


def test_show_of_data_never_imported_says_what_to_run(run: Run):
    result = run("data", "show", "movies")
    assert result.exit_code == 2
    assert "crossrec data import movies" in result.stderr
