"""A small shop as its owner may have it: CSV files with their own column names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crossrec.data.dataset import Dataset
from crossrec.data.importing import import_domain
from crossrec.domains.spec import Domain

ITEMS = [
    "sku,name,kinds,cost",
    "001,Green tea,tea|drinks,3.5",
    "002,Black tea,tea|drinks,4",
    "003,Mug,kitchen,8",
]
SALES = [
    "customer,sku,sold_at,stars",
    "ann,001,1700000000,4",
    "bob,003,1700000100,5",
    "ann,002,1700000200,",
]


def write(path: Path, lines: Sequence[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def shop(folder: Path, **changes: Any) -> Domain:
    """The domain of the shop whose files lie in `folder`."""
    values: dict[str, Any] = {
        "name": "shop",
        "title": "Shop",
        "tables": {
            "items": {
                "path": str(folder / "items.csv"),
                "columns": {"item_id": "sku", "title": "name", "category": "kinds"},
            },
            "interactions": {
                "path": str(folder / "sales.csv"),
                "columns": {
                    "user_id": "customer",
                    "item_id": "sku",
                    "timestamp": "sold_at",
                    "rating": "stars",
                },
            },
        },
    }
    return Domain.model_validate(values | changes)


def import_shop(
    folder: Path,
    items: Sequence[str] = ITEMS,
    sales: Sequence[str] = SALES,
    max_rejected_share: float = 1.0,
    **changes: Any,
) -> Dataset:
    """Write the files, import them; rejected rows do not stop it unless a share is given."""
    write(folder / "items.csv", items)
    write(folder / "sales.csv", sales)
    domain = shop(folder, max_rejected_share=max_rejected_share, **changes)
    return import_domain(domain, folder / "data", progress=False)


def reasons(dataset: Dataset, table: str) -> dict[str, int]:
    """Rejected rows of a table by reason."""
    return dataset.card["rejected"].get(table, {})


def rows(dataset: Dataset, table: str, *columns: str) -> list[tuple[object, ...]]:
    """Values of some columns of an imported table."""
    return dataset.scan(table).select(columns).collect().rows()
