"""Writes a catalogue with further items beside the items of a release; users stay in the release.

Leaves to others: which items (added_items.py), reading them (catalogue.py).
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from crossrec.releases.added_items import AddedItem
from crossrec.releases.conditions import ColumnKind, marks, quoted

_OWN = ("item_id", "title", "text", "category")


def write_with_items(
    source: Path, target: Path, items: Sequence[AddedItem], rows: Mapping[str, int]
) -> None:
    """Copy a release's catalogue, without its users, and put the items in.

    Args:
        source: the release's file.
        target: the file to write.
        items: all of them; one that the release has replaces it.
        rows: item_id → item_idx, of each of the items.
    """
    shutil.copyfile(source, target)
    with closing(sqlite3.connect(target, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = MEMORY")
        db.execute("PRAGMA secure_delete = ON")
        db.execute("BEGIN")
        facts = {name: json.loads(value) for name, value in db.execute("SELECT * FROM facts")}
        columns: dict[str, ColumnKind] = facts["columns"]
        for item in items:
            _put(db, item, rows[item.item_id], columns)
        n_items = db.execute("SELECT count(*) FROM items").fetchone()[0]
        db.execute("UPDATE facts SET value = ? WHERE name = 'n_items'", (json.dumps(n_items),))
        db.execute("DELETE FROM users")  # whom the release forgets must not be left in a copy
        db.execute("INSERT INTO words (words) VALUES ('rebuild')")
        db.execute("COMMIT")
        db.execute("VACUUM")


def _put(
    db: sqlite3.Connection, item: AddedItem, row: int, columns: Mapping[str, ColumnKind]
) -> None:
    side = [name for name in columns if name != "category"]
    names = ["item_idx", *_OWN, *side]
    values = [row, item.item_id, item.title, item.text, item.category]
    values += [item.columns.get(name) for name in side]
    written = [json.dumps(v, ensure_ascii=False) if isinstance(v, list) else v for v in values]
    db.execute(
        f"INSERT OR REPLACE INTO items ({', '.join(map(quoted, names))}) VALUES ({marks(written)})",
        written,
    )
    db.execute("DELETE FROM entries WHERE item_idx = ?", (row,))
    lists: dict[str, Any] = {name: item.columns.get(name) for name in side} | {
        "category": item.category
    }
    entries = [
        (name, value, row)
        for name, kind in columns.items()
        if kind == "list"
        for value in lists[name] or []
    ]
    db.executemany("INSERT INTO entries VALUES (?, ?, ?)", entries)
