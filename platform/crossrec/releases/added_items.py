"""Items that were added since a release was made, kept until the data hold them: one SQLite file
a domain, below `<home>/items/`.

Written by any replica, one at a time. Leaves to others: making them recommendable (editions.py),
who may add some (serving/).
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrec.config import home

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
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute(
                "CREATE TABLE IF NOT EXISTS items"
                " (item_id TEXT PRIMARY KEY, item TEXT NOT NULL, changed_at REAL NOT NULL)"
            )
            db.execute(
                "CREATE TABLE IF NOT EXISTS vectors (item_id TEXT NOT NULL, version TEXT NOT NULL,"
                " text TEXT NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (item_id, version))"
            )
            with db:
                yield db
        finally:
            db.close()

    def put(self, items: Sequence[AddedItem]) -> None:
        """Store items; of an item that is there already, the new description. On disk after it."""
        rows = [(i.item_id, json.dumps(asdict(i), ensure_ascii=False), time.time()) for i in items]
        with self._open() as db:
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

    def vectors(self, version: str) -> dict[str, Floats]:
        """item_id → (E,) of the items whose present text the encoder of a release has read."""
        if not self:
            return {}
        query = (
            "SELECT v.item_id, v.vector FROM vectors v JOIN items i USING (item_id)"
            " WHERE v.version = ? AND v.text = i.item ->> 'text'"
        )
        with self._open() as db:
            rows = db.execute(query, (version,)).fetchall()
        return {item_id: np.frombuffer(vector, "<f4") for item_id, vector in rows}

    def put_vectors(
        self, version: str, items: Sequence[AddedItem], vectors: Mapping[str, Floats]
    ) -> None:
        """Keep what the encoder of a release made of the items' texts."""
        rows = [
            (item.item_id, version, item.text, vectors[item.item_id].astype("<f4").tobytes())
            for item in items
        ]
        with self._open() as db:
            db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)", rows)
