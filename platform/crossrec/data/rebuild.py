"""Changes an imported data set as a whole: what is not replaced stays the same file.

Leaves to others: what is changed (growth.py, forgetting.py), importing anew (importing.py).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl

from crossrec.data.content_hash import combined_hash
from crossrec.data.dataset import CARD, Dataset
from crossrec.data.importing import canonical_hash, move_into_place
from crossrec.data.locks import only_one
from crossrec.errors import DataError


@contextmanager
def rebuilt(dataset: Dataset) -> Iterator[Path]:
    """A folder with all files of the data set, which takes its place when the block ends well.

    Its files are those of the data set (hard links), so none may be written to: `replace` puts
    another one in its place. Whoever else changes the data set waits; what is read for the block
    before it begins may be out of date by then, so read it under the same lock (locks.py).

    Raises:
        DataError: it cannot be written; the data set is as before.
        ServiceError: another process changes it and does not end.
    """
    root = dataset.folder.parent
    scratch = root / f".{dataset.domain.name}-{uuid4().hex[:8]}"
    folder = scratch / dataset.domain.name
    try:
        with only_one(root, dataset.folder.name):
            shutil.copytree(dataset.folder, folder, copy_function=os.link)
            yield folder
            move_into_place(folder, dataset.folder)
    except OSError as err:
        raise DataError(
            f"'{dataset.domain.name}' could not be written to {root}:"
            f" {err.strerror or err}; the data are unchanged"
        ) from err
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def restored_unless_kept(dataset: Dataset) -> Iterator[Callable[[], None]]:
    """Whatever a block makes of the data set is undone at its end, unless it calls what it gets.

    The block holds no lock, for it may train for hours: who was erased meanwhile is back with the
    data, and has to be forgotten again.
    """
    scratch = dataset.folder.with_name(f".{dataset.domain.name}-{uuid4().hex[:8]}")
    before = scratch / dataset.domain.name
    with only_one(dataset.folder.parent, dataset.folder.name):
        shutil.copytree(dataset.folder, before, copy_function=os.link)
    kept = False

    def keep() -> None:
        nonlocal kept
        kept = True

    try:
        yield keep
    finally:
        if not kept:
            with only_one(dataset.folder.parent, dataset.folder.name):
                move_into_place(before, dataset.folder)
        shutil.rmtree(scratch, ignore_errors=True)


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write a new file beside and put it in the place of `path`; the old one is left alone."""
    beside = path.with_name(f".{path.name}.part")
    write(beside)
    os.replace(beside, path)


def write_card(folder: Path, card: dict[str, Any], tables: Iterable[str]) -> None:
    """The data set's card with counts and hashes of changed tables as they are now."""
    counts, hashes = dict(card["tables"]), dict(card["table_hashes"])
    for name in tables:
        path = folder / f"{name}.parquet"
        counts[name] = pl.scan_parquet(path).select(pl.len()).collect().item()
        hashes[name] = canonical_hash(name, path)
    card = card | {
        "tables": counts,
        "table_hashes": hashes,
        "content_hash": combined_hash(hashes),
    }
    text = json.dumps(card, indent=1, ensure_ascii=False)
    replace(folder / CARD, lambda beside: beside.write_text(text, encoding="utf-8"))
