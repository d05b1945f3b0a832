"""Items that were added since a release was made, kept until the data hold them: one SQLite file
a domain, below `<home>/items/`.

Written by any replica, one at a time. Leaves to others: making them recommendable (editions.py),
who may add some (serving/).
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossrec.config import home
from crossrec.data.locks import write_ahead

Floats = NDArray[np.float32]
_BUSY_S = 30.0


@dataclass(frozen=True)
class AddedItem:
    """One item, as its owner describes it."""

    item_id: str
    title: str
    text: str
    """What is encoded."""
    category: list[str] = field(default_factory=list)
    columns: dict[str, Any] = field(default_factory=dict)
    """Side columns of the catalogue: number, text, or list of text."""


class Reading(NamedTuple):
    """An item, and what the encoder of a release made of its text."""

    item: AddedItem
    vector: Floats  # (E,)


def items_folder(domain: str) -> Path:
    """Where a domain's added items and editions are."""
    return home() / "items" / domain


class AddedItems:
    """The added items of one domain; safe to use from several processes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "added.sqlite"

    def __bool__(self) -> bool:
        return self.path.is_file()

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self.path, timeout=_BUSY_S)
        try:
            write_ahead(db, _BUSY_S)
            db.execute("PRAGMA synchronous = FULL")
            db.execute(
                "CREATE TABLE IF NOT EXISTS items"
                " (item_id TEXT PRIMARY KEY, item TEXT NOT NULL, changed_at REAL NOT NULL)"
            )
            db.execute(
                "CREATE TABLE IF NOT EXISTS readings (item_id TEXT NOT NULL, version TEXT NOT NULL,"
                " item TEXT NOT NULL, vector BLOB NOT NULL, read_at REAL NOT NULL,"
                " PRIMARY KEY (item_id, version))"
            )
            with db:
                yield db
        finally:
            db.close()

    def put(self, items: Sequence[AddedItem]) -> None:
        """Store items; of an item that is there already, the new description. On disk after it."""
        with self._open() as db:
            moment = _next_moment(db)
            rows = [(item.item_id, _written(item), moment) for item in items]
            db.executemany("INSERT OR REPLACE INTO items VALUES (?, ?, ?)", rows)

    def all(self) -> list[AddedItem]:
        """Every item, in the order of their ids: replicas and editions agree on it."""
        if not self:
            return []
        with self._open() as db:
            rows = db.execute("SELECT item FROM items ORDER BY item_id").fetchall()
        return [AddedItem(**json.loads(row[0])) for row in rows]

    def changed_since(self, moment: float) -> set[str]:
        """Ids of the items that were put after a moment, in seconds since 1970."""
        if not self:
            return set()
        with self._open() as db:
            rows = db.execute("SELECT item_id FROM items WHERE changed_at > ?", (moment,))
            return {row[0] for row in rows}

    def newest(self, version: str) -> float:
        """When something that an edition of a release would hold was changed last; 0: never."""
        if not self:
            return 0.0
        query = (
            "SELECT max((SELECT ifnull(max(changed_at), 0) FROM items),"
            " (SELECT ifnull(max(read_at), 0) FROM readings WHERE version = ?))"
        )
        with self._open() as db:
            moment: float = db.execute(query, (version,)).fetchone()[0]
        return moment

    def readings(self, version: str) -> list[Reading]:
        """Every item that the encoder of a release has read, in the order of their ids.

        One whose text changed since is as it was when it was read, until the new text is read:
        text, description and vector belong together.
        """
        if not self:
            return []
        query = (
            "SELECT CASE WHEN r.item ->> 'text' = i.item ->> 'text' THEN i.item ELSE r.item END,"
            " r.vector FROM readings r JOIN items i USING (item_id)"
            " WHERE r.version = ? ORDER BY item_id"
        )
        with self._open() as db:
            rows = db.execute(query, (version,)).fetchall()
        return [Reading(AddedItem(**json.loads(i)), np.frombuffer(v, "<f4")) for i, v in rows]

    def unread(self, version: str) -> list[AddedItem]:
        """The items whose present text the encoder of a release has not read, by their ids."""
        if not self:
            return []
        query = (
            "SELECT i.item FROM items i LEFT JOIN readings r"
            " ON r.item_id = i.item_id AND r.version = ?"
            " WHERE r.item IS NULL OR r.item ->> 'text' <> i.item ->> 'text' ORDER BY i.item_id"
        )
        with self._open() as db:
            rows = db.execute(query, (version,)).fetchall()
        return [AddedItem(**json.loads(row[0])) for row in rows]

    def put_readings(self, version: str, readings: Sequence[Reading]) -> None:
        """Keep what the encoder of a release made of the items' texts.

        Of an item that was changed while it was read the newer reading stays.
        """
        statement = (
            "INSERT OR REPLACE INTO readings SELECT :id, :version, :item, :vector, :moment WHERE"
            " EXISTS (SELECT 1 FROM items WHERE item_id = :id AND item ->> 'text' = :text) OR NOT"
            " EXISTS (SELECT 1 FROM readings WHERE item_id = :id AND version = :version)"
        )
        with self._open() as db:
            shared = {"version": version, "moment": _next_moment(db)}
            rows = [
                shared | {"id": item.item_id, "item": _written(item), "text": item.text,
                          "vector": vector.astype("<f4").tobytes()}
                for item, vector in readings
            ]  # fmt: skip
            db.executemany(statement, rows)


def _written(item: AddedItem) -> str:
    return json.dumps(asdict(item), ensure_ascii=False)


def _next_moment(db: sqlite3.Connection) -> float:
    """Now, in seconds since 1970, but later than any change that is kept: clocks of replicas
    differ. Nobody else writes from here on, until the connection is closed.
    """
    db.execute("BEGIN IMMEDIATE")
    query = "SELECT max(changed_at) FROM items UNION ALL SELECT max(read_at) FROM readings"
    last = max(row[0] or 0.0 for row in db.execute(query))
    return max(time.time(), last + 1e-5)
