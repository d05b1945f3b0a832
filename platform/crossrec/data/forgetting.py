"""Removes users from an imported data set and from the export of its feedback, or their ids.

Also a program, `python -m crossrec.data.forgetting` with a request as JSON on standard input (an
id on the command line could be read by others): a served domain has no polars in its memory.
Leaves to others: the log and releases (serving/erasure.py).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Set
from pathlib import Path

import polars as pl

from crossrec.config import home
from crossrec.data.dataset import CARD, Dataset
from crossrec.data.locks import only_one
from crossrec.data.pseudonyms import UserKey
from crossrec.data.rebuild import rebuilt, replace, write_card
from crossrec.schema import USER_ID

REJECTED = "rejected"


def forget_users(dataset: Dataset, user_ids: Collection[str]) -> dict[str, int]:
    """Remove all rows of some users: table (or file below the folder) → rows removed.

    Every Parquet file with a column `user_id` is looked at, and the rejected rows. The data set
    changes as a whole, and its content hash with it; without a row of theirs nothing changes.
    What is changed is the data set as it is when whoever else changes it has ended.
    """
    with only_one(dataset.folder.parent, dataset.folder.name):
        return _forget(Dataset.open(dataset.folder.name, dataset.folder.parent), set(user_ids))


def _forget(dataset: Dataset, wanted: Set[str]) -> dict[str, int]:
    removed: dict[str, int] = {}
    files = {path: path.relative_to(dataset.folder) for path in _tables(dataset.folder)}
    for file, below in files.items():
        if n_rows := _count(file, wanted):
            removed[below.with_suffix("").as_posix()] = n_rows
    if removed:
        with rebuilt(dataset) as folder:
            for name in removed:
                path = folder / f"{name}.parquet"
                replace(path, _others(path, wanted).sink_parquet)
            write_card(folder, dataset.card, [n for n in removed if n in dataset.card["tables"]])
    return removed


def forget_in_file(path: Path, user_ids: Collection[str]) -> int:
    """Remove users from a file of interactions, feedback or rejected rows; how many rows."""
    n_rows = _count(path, set(user_ids)) if path.is_file() else 0
    if n_rows:
        replace(path, _others(path, set(user_ids)).sink_parquet)
    return n_rows


def users_of(dataset: Dataset) -> set[str]:
    """Everybody whom a table of the data set knows."""
    found: set[str] = set()
    for path in _tables(dataset.folder):
        if path.stem != REJECTED:
            ids = pl.scan_parquet(path).select(pl.col(USER_ID).drop_nulls().unique()).collect()
            found.update(ids[USER_ID])
    return found


def known_again(dataset: Dataset, key: UserKey, digests: Set[str]) -> set[str]:
    """Users of a data set whose keyed hashes, or those of their pseudonyms, are in `digests`."""
    return {one for one in users_of(dataset) if key.digests(one) & digests}


def pseudonymise(dataset: Dataset, key: UserKey) -> Dataset:
    """Put the pseudonym in the place of every user id; rejected rows lose what they said."""
    with only_one(dataset.folder.parent, dataset.folder.name):
        dataset = Dataset.open(dataset.folder.name, dataset.folder.parent)
        paths = _tables(dataset.folder)
        with rebuilt(dataset) as folder:
            for path in paths:
                changed = pl.scan_parquet(path).with_columns(_without_ids(path, key))
                replace(folder / path.relative_to(dataset.folder), changed.sink_parquet)
            tables = [path.stem for path in paths if path.parent == dataset.folder]
            write_card(folder, dataset.card, [n for n in tables if n in dataset.card["tables"]])
        return Dataset.open(dataset.folder.name, dataset.folder.parent)


def _without_ids(path: Path, key: UserKey) -> pl.Expr:
    if USER_ID not in _columns(path):
        return pl.lit("{}").alias("source_row")
    ids = pl.scan_parquet(path).select(pl.col(USER_ID).drop_nulls().unique()).collect()[USER_ID]
    names = {user_id: key.inside(user_id) for user_id in ids}
    return pl.col(USER_ID).replace_strict(names, return_dtype=pl.String, default=None)


def _tables(folder: Path) -> list[Path]:
    """Files that may speak of users."""
    paths = sorted(folder.rglob("*.parquet"))
    return [p for p in paths if p.stem == REJECTED or USER_ID in _columns(p)]


def _columns(path: Path) -> list[str]:
    return pl.scan_parquet(path).collect_schema().names()


def _count(path: Path, user_ids: Set[str]) -> int:
    """Rows of theirs."""
    rows = [pl.scan_parquet(path).select(pl.len()), _others(path, user_ids).select(pl.len())]
    before, after = (frame.item() for frame in pl.collect_all(rows))
    return int(before - after)


def _others(path: Path, user_ids: Set[str]) -> pl.LazyFrame:
    """The rows of everybody else; a rejected row is kept as JSON under the source's names."""
    if USER_ID in _columns(path):
        theirs = pl.col(USER_ID).is_in(sorted(user_ids)).fill_null(False)
        return pl.scan_parquet(path).filter(~theirs)
    rejected = pl.read_parquet(path)
    mask = [not _mentions(row, user_ids) for row in rejected["source_row"]]
    return rejected.filter(pl.Series(mask, dtype=pl.Boolean)).lazy()


def _mentions(row: str, user_ids: Set[str]) -> bool:
    """Whether a field of a row is one of these ids."""
    return any(str(value) in user_ids for value in json.loads(row).values())


def main() -> None:
    """Read {"domain", "user_ids"}, forget, print {table: rows}."""
    asked = json.load(sys.stdin)
    domain, users = asked["domain"], asked["user_ids"]
    removed: dict[str, int] = {}
    files = {
        "exported feedback": home() / "feedback" / f"{domain}.parquet",
        "rows of an import that failed": home() / "data" / f"{domain}.rejected.parquet",
    }
    with only_one(home() / "data", domain):
        if (home() / "data" / domain / CARD).is_file():
            removed = forget_users(Dataset.open(domain), users)
        for what, path in files.items():
            if n_rows := forget_in_file(path, users):
                removed[what] = n_rows
    print(json.dumps(removed))  # noqa: T201 (its answer)


if __name__ == "__main__":
    main()
