"""Writes `catalogue.sqlite`: the items and users of a data set as a served domain reads them.

Leaves to others: reading it (catalogue.py), when it is written (store.py).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from crossrec.data.dataset import Dataset
from crossrec.data.split import Sequences
from crossrec.errors import ReleaseError
from crossrec.releases.conditions import ColumnKind
from crossrec.releases.graph_writer import write_graph
from crossrec.schema import CATEGORY, ITEM_ID, TEXT, TITLE

_OWN = (ITEM_ID, TITLE, TEXT, CATEGORY)


def write_catalogue(
    path: Path, dataset: Dataset, item_ids: list[str], users: Sequences | None
) -> None:
    """Write the file; `item_ids` are the rows of the model, in its order.

    Raises:
        ReleaseError: the data set's items are not those of the model.
    """
    items = dataset.catalogue()
    if items[ITEM_ID].to_list() != item_ids:
        raise ReleaseError(
            f"the model knows {len(item_ids)} items, the data of '{dataset.domain.name}' holds"
            f" {items.height}, or in another order; train on the data that is published"
        )
    columns = _columns(items)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA journal_mode = OFF")  # a half-written file is thrown away as a whole
        _write_items(db, items, columns)
        _write_users(db, users)
        write_graph(db, dataset, item_ids)
        _write_facts(db, items.height, columns, users)


def _columns(items: pl.DataFrame) -> dict[str, ColumnKind]:
    """Side columns that can be stored, and `category`, with their kind."""
    columns: dict[str, ColumnKind] = {CATEGORY: "list"}
    for name, dtype in items.schema.items():
        kind = _kind(dtype)
        if name not in _OWN and kind is not None:
            columns[name] = kind
    return columns


def _kind(dtype: pl.DataType) -> ColumnKind | None:
    """Kind of a column, or None for what no card can show (vectors, structures)."""
    if isinstance(dtype, pl.List):
        return "list" if dtype.inner == pl.String else None
    if dtype.is_numeric() or dtype == pl.Boolean:
        return "number"
    return "text" if dtype in (pl.String, pl.Categorical, pl.Enum) or dtype.is_temporal() else None


def _write_items(
    db: sqlite3.Connection, items: pl.DataFrame, columns: dict[str, ColumnKind]
) -> None:
    types = {"text": "TEXT", "number": "NUMERIC", "list": "TEXT"}
    side = [name for name in columns if name != CATEGORY]
    declared = "".join(f", {_quoted(name)} {types[columns[name]]}" for name in side)
    db.execute(
        "CREATE TABLE items (item_idx INTEGER PRIMARY KEY, item_id TEXT NOT NULL, title TEXT,"
        f" text TEXT, category TEXT{declared})"
    )
    db.execute("CREATE TABLE entries (name TEXT, value TEXT, item_idx INTEGER)")
    frame = _storable(items, side, columns)
    marks = ", ".join("?" * (len(frame.columns) + 1))
    db.executemany(f"INSERT INTO items VALUES ({marks})", _numbered(frame))
    for name, kind in columns.items():
        if kind == "list" and name in items.columns:
            db.executemany("INSERT INTO entries VALUES (?, ?, ?)", _entries(items, name))
    db.execute("CREATE INDEX entries_by_value ON entries (name, value, item_idx)")
    db.execute(
        "CREATE VIRTUAL TABLE words USING fts5(title, text, content='items',"
        " content_rowid='item_idx', tokenize='porter unicode61 remove_diacritics 2')"
    )
    db.execute("INSERT INTO words (words) VALUES ('rebuild')")


def _storable(items: pl.DataFrame, side: list[str], columns: dict[str, ColumnKind]) -> pl.DataFrame:
    """Columns in the order of the table; numbers and text as they are, lists still lists."""
    category = pl.col(CATEGORY) if CATEGORY in items.columns else pl.lit([]).alias(CATEGORY)
    return items.select(
        ITEM_ID,
        pl.col(TITLE).fill_null(""),
        pl.col(TEXT).fill_null(""),
        category,
        *[pl.col(name).cast(pl.String) if columns[name] == "text" else name for name in side],
    )


def _numbered(frame: pl.DataFrame) -> Iterator[tuple[Any, ...]]:
    category = frame.columns.index(CATEGORY)
    for item_idx, row in enumerate(frame.iter_rows()):
        values = [
            json.dumps(value, ensure_ascii=False) if isinstance(value, list) else _number(value)
            for value in row
        ]
        values[category] = values[category] or "[]"
        yield (item_idx, *values)


def _number(value: Any) -> Any:
    """SQLite has no NaN: it would turn into NULL anyway, so say it here."""
    return None if isinstance(value, float) and value != value else value


def _entries(items: pl.DataFrame, name: str) -> Iterator[tuple[str, str, int]]:
    for item_idx, values in enumerate(items[name]):
        for value in [] if values is None else values:
            if value is not None:
                yield name, value, item_idx


def _write_users(db: sqlite3.Connection, users: Sequences | None) -> None:
    db.execute(
        "CREATE TABLE users (user_id TEXT NOT NULL UNIQUE, items BLOB, times BLOB, events BLOB)"
    )
    if users is not None:
        db.executemany("INSERT INTO users VALUES (?, ?, ?, ?)", _histories(users))


def _histories(users: Sequences) -> Iterator[tuple[str, bytes, bytes, bytes]]:
    for user_idx, user_id in enumerate(users.user_ids):
        rows = users.rows(user_idx)
        yield (
            user_id,
            users.items[rows].astype("<i4").tobytes(),
            users.times[rows].astype("<i8").tobytes(),
            users.events[rows].astype("<i2").tobytes(),
        )


def _write_facts(
    db: sqlite3.Connection, n_items: int, columns: dict[str, ColumnKind], users: Sequences | None
) -> None:
    facts = {
        "n_items": n_items,
        "n_users": 0 if users is None else users.n_users,
        "event_names": [] if users is None else users.event_names,
        "columns": columns,
        "rating_range": None if users is None else _rating_range(users),
    }
    db.execute("CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT)")
    rows = [(name, json.dumps(value, ensure_ascii=False)) for name, value in facts.items()]
    db.executemany("INSERT INTO facts VALUES (?, ?)", rows)


def _rating_range(users: Sequences) -> tuple[float, float] | None:
    """The lowest and the highest rating; None where there is none."""
    given = users.ratings[~np.isnan(users.ratings)]
    return (float(given.min()), float(given.max())) if len(given) else None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
