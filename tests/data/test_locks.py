from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest

from crossrec.data.locks import write_ahead

N_THREADS, N_FILES = 8, 60
Turn = Callable[[sqlite3.Connection], object]


def opened_at_once(folder: Path, turn: Turn) -> list[sqlite3.OperationalError]:
    """What goes wrong where new files are opened by several at the same moment."""
    ready = Barrier(N_THREADS)

    def open_all(_: int) -> list[sqlite3.OperationalError]:
        failed = []
        for n in range(N_FILES):
            ready.wait()
            with closing(sqlite3.connect(folder / f"{n}.db", timeout=10)) as database:
                try:
                    turn(database)
                except sqlite3.OperationalError as err:
                    failed.append(err)
        return failed

    with ThreadPoolExecutor(N_THREADS) as threads:
        return [err for failed in threads.map(open_all, range(N_THREADS)) for err in failed]


def test_whoever_opens_a_new_file_beside_others_waits(tmp_path: Path):
    assert opened_at_once(tmp_path, lambda database: write_ahead(database, 10)) == []
    with closing(sqlite3.connect(tmp_path / "0.db")) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_what_stays_locked_is_told_after_the_wait(tmp_path: Path):
    path = tmp_path / "0.db"
    with closing(sqlite3.connect(path)) as holder, closing(sqlite3.connect(path, 0)) as database:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            write_ahead(database, 0.1)


def test_what_is_no_lock_is_told_at_once(tmp_path: Path):
    path = tmp_path / "0.db"
    path.touch()
    read_only = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    with closing(read_only), pytest.raises(sqlite3.OperationalError, match="readonly"):
        write_ahead(read_only, 1e6)
