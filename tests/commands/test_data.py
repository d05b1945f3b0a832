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


def test_importing_again_needs_force(run: Run, shop_domain: Path):
    run("data", "import", "shop")
    sales = shop_domain.parent / "shop_files" / "sales.csv"
    sales.write_text(sales.read_text() + "c99,s1,1700000000,sale\n")
    assert "already imported" in run("data", "import", "shop").stderr
    [before] = json.loads(run("data", "list", "--json").stdout)
    assert before["tables"]["interactions"] == 200
    [after] = json.loads(run("data", "import", "shop", "--force", "--json").stdout)
    assert after["tables"]["interactions"] == 201


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
