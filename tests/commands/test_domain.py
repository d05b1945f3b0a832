from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from crossrec.domains import load_domain
from tests.commands.conftest import Run, write_shop


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    items, sales = write_shop(tmp_path / "shop")
    return ["--items", str(items), "--interactions", str(sales)]


def test_list_and_show_know_the_built_in_domains(run: Run):
    listed = {entry["name"]: entry for entry in json.loads(run("domain", "list", "--json").stdout)}
    assert listed["restaurants_sim"]["source"]["kind"] == "simulator"
    assert "restaurants_sim" in run("domain", "list").stdout
    assert yaml.safe_load(run("domain", "show", "movies").stdout)["name"] == "movies"


@pytest.mark.parametrize("text", ["name: [", "- shop", "", "title: 2020-13-45"])
def test_list_shows_the_good_domains_and_names_the_wrong_file(
    run: Run, fresh_home: Path, text: str
):
    path = fresh_home / "domains" / "shop.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    result = run("domain", "list", "--json")
    names = {entry["name"] for entry in json.loads(result.stdout)}
    assert "movies" in names
    assert "shop" not in names
    [line] = result.stderr.splitlines()
    assert line.startswith(f"left out: {path}")


def test_init_shows_its_guess_and_takes_enter_for_yes(run: Run, files: list[str]):
    result = run("domain", "init", "shop", *files, input="\n")
    assert result.exit_code == 0, result.stderr
    assert "customer" in result.stdout
    tables = load_domain("shop").tables
    assert tables["items"].columns["item_id"] == "sku"
    assert tables["interactions"].columns["user_id"] == "customer"
    assert tables["interactions"].columns["timestamp"] == "sold_at"


def test_init_takes_a_correction_before_yes(run: Run, files: list[str]):
    run("domain", "init", "shop", *files, input="interactions.event=-\n\n")
    assert "event" not in load_domain("shop").tables["interactions"].columns


def test_init_with_yes_asks_nothing_and_the_domain_can_be_imported(run: Run, files: list[str]):
    made = run("domain", "init", "shop", *files, "--yes", "--json")
    assert json.loads(made.stdout)["name"] == "shop"
    imported = json.loads(run("data", "import", "shop", "--json").stdout)
    assert imported[0]["tables"] == {"items": 30, "interactions": 200}


def test_init_does_not_replace_a_domain_unless_forced(run: Run, files: list[str]):
    run("domain", "init", "shop", *files, "--yes")
    refused = run("domain", "init", "shop", *files, "--yes")
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert run("domain", "init", "shop", *files, "--yes", "--force").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Shop!"], "cannot name a domain"),
        (["shop", "--column", "interactions.user=customer"], "'interactions.user' is no role"),
        (["shop", "--column", "interactions.user_id=custmer"], "did you mean 'customer'?"),
        (["shop", "--column", "customer"], "expected ROLE=COLUMN"),
    ],
)
def test_init_says_what_is_wrong(run: Run, files: list[str], arguments: list[str], message: str):
    result = run("domain", "init", *arguments, *files, "--yes")
    assert result.exit_code == 2
    assert message in result.stderr
