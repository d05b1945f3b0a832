"""The command line in a home of its own, and a user's own files to feed it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from crossrec.cli import app

Run = Callable[..., Result]


@pytest.fixture
def run(fresh_home: Path) -> Run:
    """`run("data", "list")` → the result, with `stdout`, `stderr` and `exit_code`."""
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"})

    def call(*arguments: str, **options: str) -> Result:
        return runner.invoke(app, [str(argument) for argument in arguments], **options)

    return call


def write_shop(folder: Path, n_users: int = 40) -> tuple[Path, Path]:
    """Files of a small shop as its owner may have them: items and sales, CSV, own column names."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = ("tea", "coffee", "mug")
    items = ["sku,name,description,department"]
    items += [f"s{n},{kinds[n % 3]} {n},a fine {kinds[n % 3]},{kinds[n % 3]}" for n in range(30)]
    sales = ["customer,sku,sold_at,what"]
    for user in range(n_users):
        for step in range(5):
            item = (user % 3) + 3 * ((user + step * step) % 10)
            sales.append(f"c{user},s{item},{1_700_000_000 + user * 1000 + step * 60},sale")
    paths = folder / "items.csv", folder / "sales.csv"
    for path, lines in zip(paths, (items, sales), strict=True):
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return paths


@pytest.fixture
def shop_domain(fresh_home: Path) -> Path:
    """The shop as a domain called `shop`, its YAML written by hand; gives the YAML's path."""
    write_shop(fresh_home / "domains" / "shop_files")
    path = fresh_home / "domains" / "shop.yaml"
    path.write_text(
        """\
name: shop
title: A small shop
source: {kind: file}
tables:
  items:
    path: shop_files/items.csv
    columns: {item_id: sku, title: name, text: description, category: department}
  interactions:
    path: shop_files/sales.csv
    columns: {user_id: customer, item_id: sku, timestamp: sold_at, event: what}
""",
        encoding="utf-8",
    )
    return path
