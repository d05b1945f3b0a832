"""Reads `catalogue.sqlite` of a release: items with their columns, users with their histories.

Standard library and numpy only, so that a served domain stays small. Leaves to others: making
the file (catalogue_writer.py), what a filter means over HTTP (serving/).
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from crossrec.errors import ReleaseError
from crossrec.ranking.expressions import parse
from crossrec.releases.conditions import ColumnKind, marks, quoted, read_filter, satisfying

CATALOGUE = "catalogue.sqlite"

_BATCH = 500
_USERS = 10_000
_NEVER = np.iinfo(np.int64).max
_CACHE_KIB = 256
"""Pages SQLite keeps for itself; the system's own cache has them too, once for all replicas."""


@dataclass(frozen=True)
class CatalogueItem:
    """One item with all its columns."""

    item_idx: int
    item_id: str
    title: str
    text: str
    category: list[str]
    columns: dict[str, Any]
    """Side columns; lists stay lists, missing values are None."""


@dataclass(frozen=True)
class UserHistory:
    """A user's interactions of the release, oldest first."""

    items: NDArray[np.int32]  # (T,) item_idx
    times: NDArray[np.int64]  # (T,) unit of Domain.time_kind
    events: NDArray[np.int16]  # (T,) index into Catalogue.event_names


class Catalogue:
    """Read-only view on the file; safe to use from several threads.

    The file is opened immutable: SQLite takes no lock and writes nothing beside it.
    """

    def __init__(self, path: Path, users: Path | None = None) -> None:
        """Open the file.

        Args:
            path: the file.
            users: another catalogue, which has the users; None: this one has.

        Raises:
            ReleaseError: it is missing or no catalogue.
        """
        self._db = _connect(path)
        self._users = self._db if users is None else _connect(users)
        try:
            facts = dict(self._db.execute("SELECT name, value FROM facts"))
        except sqlite3.DatabaseError as err:
            self._db.close()
            raise ReleaseError(f"{path} is no catalogue of crossrec; publish again") from err
        self.n_items: int = json.loads(facts["n_items"])
        self.n_users: int = json.loads(facts["n_users"])
        self.event_names: list[str] = json.loads(facts["event_names"])
        ends = json.loads(facts.get("rating_range", "null"))
        self.rating_range: tuple[float, float] | None = (ends[0], ends[1]) if ends else None
        """The lowest and the highest rating of the data; None: no ratings, or an old release."""
        self.columns: dict[str, ColumnKind] = json.loads(facts["columns"])
        """Side columns (and `category`) that a filter may name."""
        self.hides: Callable[[str], bool] = _hides_nobody
        """Whether a user's history may not be read: erased after the file was opened."""

    def close(self) -> None:
        """Close the file."""
        self._db.close()
        self._users.close()

    @cached_property
    def _side_columns(self) -> list[str]:
        return [name for name in self.columns if name != "category"]

    def card(self, item_idx: int) -> CatalogueItem:
        """The item at a row number."""
        return self.cards([item_idx])[0]

    def cards(self, item_idxs: list[int], columns: list[str] | None = None) -> list[CatalogueItem]:
        """Items at row numbers, in the given order, with some side columns or (None) with all."""
        side = self._side_columns if columns is None else columns
        names = ["item_idx", "item_id", "title", "text", "category", *side]
        select = f"SELECT {', '.join(map(quoted, names))} FROM items WHERE item_idx IN"
        found: dict[int, CatalogueItem] = {}
        for start in range(0, len(item_idxs), _BATCH):
            batch = item_idxs[start : start + _BATCH]
            for row in self._db.execute(f"{select} ({marks(batch)})", batch):
                found[row[0]] = self._item(row, side)
        return [found[item_idx] for item_idx in item_idxs]

    def _item(self, row: tuple[Any, ...], side: list[str]) -> CatalogueItem:
        columns = {
            name: json.loads(value) if self.columns[name] == "list" and value else value
            for name, value in zip(side, row[5:], strict=True)
        }
        return CatalogueItem(row[0], row[1], row[2], row[3], json.loads(row[4]), columns)

    def titles(self, item_idxs: list[int]) -> list[str]:
        """Titles at row numbers, in the given order."""
        found: dict[int, str] = {}
        for start in range(0, len(item_idxs), _BATCH):
            batch = item_idxs[start : start + _BATCH]
            query = f"SELECT item_idx, title FROM items WHERE item_idx IN ({marks(batch)})"
            found.update(self._db.execute(query, batch))
        return [found[item_idx] for item_idx in item_idxs]

    def values(self, column: str) -> list[Any]:
        """What a side column holds of every item, in the order of row numbers; None: nothing.

        A list of one entry counts as the entry.

        Raises:
            ReleaseError: no such column.
        """
        return [entries[0] if entries else None for entries in self.entries(column)]

    def entries(self, column: str) -> list[list[Any]]:
        """All that a column holds of every item, in the order of row numbers; a single value is a
        list of one.

        Raises:
            ReleaseError: no such column.
        """
        if column not in self.columns:
            raise ReleaseError(f"the items have no column '{column}'; publish the release again")
        rows = self._db.execute(f"SELECT {quoted(column)} FROM items ORDER BY item_idx")
        if self.columns[column] == "list":
            return [json.loads(row[0]) if row[0] else [] for row in rows]
        return [[] if row[0] is None else [row[0]] for row in rows]

    def search(self, text: str, limit: int = 20) -> list[CatalogueItem]:
        """Items whose title or text holds the words of `text`, best first.

        Titles that hold them side by side come first, then titles with all of them, then items
        that hold them as whole words, then as beginnings of words; each group by BM25. Where no
        item has them all, any of them; where the words are none of the index (a part of a word,
        Chinese), a plain search for the text.
        """
        words = re.findall(r"\w+", text)[:32]
        if not words:
            return self.cards(self._contains(text.strip(), limit))
        found: dict[int, None] = {}
        for query in _from_narrow_to_wide(words):
            if len(found) < limit:
                found.update(dict.fromkeys(self._match(query, limit)))
        rows = list(found)[:limit] or self._match(" OR ".join(_beginnings(words)), limit)
        return self.cards(rows or self._contains(text.strip(), limit))

    def has_word(self, word: str) -> bool:
        """Whether the title or text of an item has a word, whatever its ending."""
        return self.n_with_word(word, 1) > 0

    def n_with_word(self, word: str, at_most: int) -> int:
        """How many items have it, as in `has_word`; counted as far as `at_most`."""
        statement = "SELECT rowid FROM words WHERE words MATCH ? LIMIT ?"
        return len(self._db.execute(statement, (f'"{word}"', at_most)).fetchall())

    def _match(self, query: str, limit: int) -> list[int]:
        # A hit in the title weighs five times one in the text.
        statement = "SELECT rowid FROM words WHERE words MATCH ? ORDER BY bm25(words, 5, 1) LIMIT ?"
        return [row[0] for row in self._db.execute(statement, (query, limit))]

    def _contains(self, text: str, limit: int) -> list[int]:
        if not text:
            return []
        pattern = "%" + re.sub(r"([%_\\])", r"\\\1", text) + "%"
        statement = (
            "SELECT item_idx FROM items WHERE title LIKE ?1 ESCAPE '\\'"
            " OR text LIKE ?1 ESCAPE '\\' ORDER BY title LIKE ?1 ESCAPE '\\' DESC LIMIT ?2"
        )
        return [row[0] for row in self._db.execute(statement, (pattern, limit))]

    def mask(self, filters: dict[str, Any], where: str = "") -> NDArray[np.bool_]:
        """Which items satisfy all filters and the expression: (N,).

        A filter is a value, a list of allowed values, or `{"min": x, "max": y}` (either end may
        be missing, both are included). For a list column: one of its entries is allowed.
        An item without a value satisfies no filter on it. What an expression may say:
        `ranking/expressions.py`.

        Raises:
            RequestError: no such column (near matches named), a value of the wrong kind, or an
                expression that cannot be read.
        """
        parts = [read_filter(name, found, self.columns) for name, found in filters.items()]
        if where:
            parts.append(parse(where, self.columns))
        allowed = np.ones(self.n_items, bool)
        for part in parts:
            query, values = satisfying(part, self.columns)
            match = np.zeros(self.n_items, bool)
            match[[row[0] for row in self._db.execute(query, values)]] = True
            allowed &= match
        return allowed

    @cached_property
    def seen(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How often each item occurs in the histories, (N,), and when it first did, (N,), in the
        unit of Domain.time_kind; 0 for an item that never occurs.
        """
        counts = np.zeros(self.n_items, np.int64)
        first = np.full(self.n_items, _NEVER)
        rows = self._users.execute("SELECT items, times FROM users")
        while batch := rows.fetchmany(_USERS):
            items = np.frombuffer(b"".join(row[0] for row in batch), "<i4")
            times = np.frombuffer(b"".join(row[1] for row in batch), "<i8")
            counts += np.bincount(items, minlength=self.n_items)
            np.minimum.at(first, items, times)
        return counts, np.where(first == _NEVER, 0, first)

    def history(self, user_id: str) -> UserHistory | None:
        """The user's interactions of the release, or None for a user it does not know."""
        query = "SELECT items, times, events FROM users WHERE user_id = ?"
        row = self._users.execute(query, (user_id,)).fetchone()
        if row is None or self.hides(user_id):
            return None
        return UserHistory(
            np.frombuffer(row[0], "<i4"), np.frombuffer(row[1], "<i8"), np.frombuffer(row[2], "<i2")
        )

    def shared(
        self, item_idxs: list[int], entities: list[str] | None = None
    ) -> dict[int, list[tuple[str, str, str, int]]]:
        """Ties of items to entities of the knowledge graph that other items have as well: item_idx
        → (relation, entity, its name, items with the same tie). Empty in releases without one.

        Args:
            item_idxs: of the items.
            entities: ties to others are left out; None: all are told.
        """
        found: dict[int, list[tuple[str, str, str, int]]] = {item_idx: [] for item_idx in item_idxs}
        if not self._has_graph:
            return found
        for start in range(0, len(item_idxs), _BATCH):
            batch = item_idxs[start : start + _BATCH]
            only = "" if entities is None else f" AND entity IN ({marks(entities)})"
            query = f"SELECT * FROM shared WHERE item_idx IN ({marks(batch)}){only} ORDER BY rowid"
            for item_idx, *tie in self._db.execute(query, [*batch, *(entities or [])]):
                found[item_idx].append((tie[0], tie[1], tie[2], tie[3]))
        return found

    @cached_property
    def _has_graph(self) -> bool:
        """Releases made before there was one lack the table."""
        query = "SELECT count(*) FROM sqlite_master WHERE name = 'shared'"
        return bool(self._db.execute(query).fetchone()[0])

    def histories(self, limit: int) -> list[tuple[str, NDArray[np.int32]]]:
        """The first `limit` users of the release with what they had: user id, item_idx (T,).

        Also those whom `hides` names, for asking it of so many takes long: the caller asks.
        """
        query = "SELECT user_id, items FROM users ORDER BY rowid LIMIT ?"
        rows = self._users.execute(query, (limit,))
        return [(user_id, np.frombuffer(items, "<i4")) for user_id, items in rows]

    def example_users(self, n: int) -> list[str]:
        """Up to `n` known users, those with a history of middling length (5 to 50) first."""
        query = (
            "SELECT user_id FROM users"
            " ORDER BY length(items) NOT BETWEEN 4 * 5 AND 4 * 50, rowid LIMIT ?"  # 4 bytes a step
        )
        rows = self._users.execute(query, (2 * n,)).fetchall()
        return [row[0] for row in rows if not self.hides(row[0])][:n]


def _connect(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise ReleaseError(f"{path} is missing; publish the release again")
    uri = f"file:{quote(str(path))}?mode=ro&immutable=1"
    db = sqlite3.connect(uri, uri=True, check_same_thread=False)
    try:
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    except sqlite3.DatabaseError as err:
        db.close()
        raise ReleaseError(f"{path} is no catalogue of crossrec; publish again") from err
    return db


def _hides_nobody(user_id: str) -> bool:
    return False


def _from_narrow_to_wide(words: list[str]) -> list[str]:
    """Queries of FTS5 that ask for all the words, the best hits first."""
    whole = " AND ".join(f'"{word}"' for word in words)
    phrase = f'title : "{" ".join(words)}"'
    return [phrase, f"title : ({whole})", whole, " AND ".join(_beginnings(words))]


def _beginnings(words: list[str]) -> list[str]:
    return [f'"{word}"*' for word in words]
