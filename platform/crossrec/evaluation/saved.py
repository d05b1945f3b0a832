"""What an evaluation leaves on disk, a file a release: `<home>/reports/<domain>/<version>.sqlite`.

Standard library only, so that a service can read it, and a replica forget somebody. Leaves to
others: the figures themselves (detail.py, report.py), what is asked of two of them
(serving/comparing.py).
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from crossrec.config import home
from crossrec.errors import ReleaseError

if TYPE_CHECKING:
    from crossrec.evaluation.detail import Detail

_TABLES = (
    "CREATE TABLE figures (text TEXT)",
    "CREATE TABLE cases (user_id TEXT, target TEXT, n_history INTEGER, rank INTEGER,"
    " warm INTEGER, top TEXT, error REAL)",
    "CREATE TABLE items (item_id TEXT PRIMARY KEY, title TEXT, n_train INTEGER, n_shown INTEGER,"
    " n_targets INTEGER, n_hits INTEGER)",
)


def reports(root: Path | None = None) -> Path:
    """Folder of all saved evaluations."""
    return (root or home()) / "reports"


def path_of(domain: str, version: str) -> Path:
    """Where the evaluation of a release is, if there is one."""
    return reports() / domain / f"{version}.sqlite"


def save(
    domain: str,
    version: str,
    figures: dict[str, Any],
    detail: Detail,
    items: Sequence[tuple[str, str]],
) -> Path:
    """Write the figures and the single cases of a release; an earlier evaluation is replaced.

    Args:
        figures: JSON-able.
        detail: cases and items.
        items: (item_id, title) of every item_idx.
    """
    path = path_of(domain, version)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    beside.unlink(missing_ok=True)
    with closing(sqlite3.connect(beside)) as database:
        for table in _TABLES:
            database.execute(table)
        database.execute("INSERT INTO figures VALUES (?)", (json.dumps(figures),))
        database.executemany(
            "INSERT INTO cases VALUES (?, ?, ?, ?, ?, ?, ?)", _cases(detail, items)
        )
        database.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)", _items(detail, items))
        database.commit()
    os.replace(beside, path)
    return path


def _cases(detail: Detail, items: Sequence[tuple[str, str]]) -> list[tuple[Any, ...]]:
    ids = [item_id for item_id, _ in items]
    errors = [None] * len(detail.users) if detail.errors is None else detail.errors.tolist()
    columns = (
        detail.users, detail.targets.tolist(), detail.cuts.tolist(), detail.ranks.tolist(),
        detail.warm.tolist(), detail.notes.top.tolist(), errors,
    )  # fmt: skip
    return [
        (user, ids[target], cut, rank, warm, json.dumps([ids[i] for i in top if i >= 0]), error)
        for user, target, cut, rank, warm, top, error in zip(*columns, strict=True)
    ]


def _items(detail: Detail, items: Sequence[tuple[str, str]]) -> list[tuple[Any, ...]]:
    n_targets, n_hits = [0] * len(items), [0] * len(items)
    hits = (detail.ranks <= 10).tolist()
    for target, hit in zip(detail.targets.tolist(), hits, strict=True):
        n_targets[target] += 1
        n_hits[target] += int(hit)
    counts = (detail.n_train.tolist(), detail.shown.tolist(), n_targets, n_hits)
    rows = zip(items, *counts, strict=True)
    return [(item_id, title, *numbers) for (item_id, title), *numbers in rows]


def open_saved(domain: str, version: str) -> sqlite3.Connection:
    """The evaluation of a release, to be read and closed.

    Raises:
        ReleaseError: it was never evaluated.
    """
    path = path_of(domain, version)
    if not path.is_file():
        raise ReleaseError(
            f"release {version} of '{domain}' was not evaluated here;"
            f" run: crossrec evaluate {domain} --release {version}"
        )
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)


def read_figures(domain: str, version: str) -> dict[str, Any]:
    """What `save` was given.

    Raises:
        ReleaseError: it was never evaluated.
    """
    with closing(open_saved(domain, version)) as database:
        found: dict[str, Any] = json.loads(
            database.execute("SELECT text FROM figures").fetchone()[0]
        )
    return found


def forget(domain: str, *user_ids: str) -> int:
    """Remove users from all saved evaluations of a domain; how many cases went."""
    gone = 0
    for path in sorted((reports() / domain).glob("*.sqlite")):
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA secure_delete = ON")
            rows = [(user_id,) for user_id in user_ids]
            gone += database.executemany("DELETE FROM cases WHERE user_id = ?", rows).rowcount
            database.commit()
    return gone
