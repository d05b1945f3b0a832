"""Connections to the database of the feedback log: an SQLite file, or a PostgreSQL server.

Both speak the same SQL with `?` for values. Leaves to others: what is asked (feedback_log.py),
the tables (feedback_tables.py). psycopg is imported only where a server is asked for.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from crossrec.data.locks import write_ahead
from crossrec.errors import ServiceError
from crossrec.serving.feedback_tables import (
    READ_VERSION,
    VERSION,
    VERSION_TABLE,
    WRITE_VERSION,
    steps_from,
)

BUSY_TIMEOUT_S = 10.0
"""How long a process waits for another one that writes, or for a server to answer."""

Values = Sequence[Any]


class Connection(Protocol):
    """One connection; not for several threads at once."""

    def execute(self, statement: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """The rows that the statement gives; none where it gives none."""

    def change(self, statement: str, rows: list[Any]) -> int:
        """Run the statement once for each row of values; how many rows of the table it changed."""

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """All of a `with` block or nothing of it; on disk when the block has ended."""

    def scrub(self, tables: Sequence[str]) -> None:
        """Have what was deleted from these overwritten, as far as the database lets us."""

    def close(self) -> None:
        """Let go of it."""


class Storage(Protocol):
    """Where a log lies."""

    @property
    def name(self) -> str:
        """What to call it in a message; without a password."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What its connections raise."""

    def connect(self) -> Connection:
        """A new connection."""

    def lock_of_migrations(self, connection: Connection) -> None:
        """Within a transaction: wait until no other process changes the tables."""

    @property
    def row_number(self) -> str:
        """Column of CREATE TABLE that numbers rows; empty where every row has a `rowid`."""


class SqliteFile:
    """A file of this machine (WAL, one fsync a commit unless `synchronous` says otherwise)."""

    synchronous = "FULL"
    errors = (sqlite3.Error, OSError, OverflowError, UnicodeEncodeError)
    row_number = ""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)

    def connect(self) -> Connection:
        """Open or make the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        write_ahead(database, BUSY_TIMEOUT_S)
        database.execute(f"PRAGMA synchronous = {self.synchronous}")
        database.execute("PRAGMA secure_delete = ON")
        return _Sqlite(database)

    def lock_of_migrations(self, connection: Connection) -> None:
        """A transaction that writes holds the whole file already."""


class _Sqlite:
    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def execute(self, statement: str, values: Values = ()) -> list[tuple[Any, ...]]:
        return self._database.execute(statement, values).fetchall()

    def change(self, statement: str, rows: list[Any]) -> int:
        return self._database.executemany(statement, rows).rowcount

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def scrub(self, tables: Sequence[str]) -> None:
        # Deleted rows are zeroed in the file (secure_delete); older pages wait in the WAL.
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        self._database.close()


class PostgresServer:
    """A PostgreSQL server (tried with 15), by the URL that libpq takes.

    Raises:
        ServiceError: psycopg is not installed.
    """

    row_number = "rowid BIGINT GENERATED ALWAYS AS IDENTITY, "
    _LOCK = 0x63726F7373  # any number that all crossrecs share

    def __init__(self, url: str) -> None:
        try:
            self._psycopg: Any = importlib.import_module("psycopg")
        except ImportError as err:
            raise ServiceError(
                "a feedback log on PostgreSQL needs psycopg; install it with:"
                " pip install 'crossrec[postgres]'"
            ) from err
        self._url = url
        self.errors: tuple[type[Exception], ...] = (self._psycopg.Error, OSError)

    @property
    def name(self) -> str:
        """The URL without its password."""
        return re.sub(r"(//[^:@/]*):[^@]*@", r"\1:…@", re.sub(r"password=[^&]*", "", self._url))

    def connect(self) -> Connection:
        """Connect; the server must have the database."""
        database = self._psycopg.connect(
            self._url, autocommit=True, connect_timeout=int(BUSY_TIMEOUT_S)
        )
        # Acknowledged means on the server's disk, whatever its own default is.
        database.execute("SET synchronous_commit = on")
        return _Postgres(database)

    def lock_of_migrations(self, connection: Connection) -> None:
        """Held until the transaction ends."""
        connection.execute("SELECT pg_advisory_xact_lock(?)", (self._LOCK,))


class _Postgres:
    def __init__(self, database: Any) -> None:
        self._database = database

    def execute(self, statement: str, values: Values = ()) -> list[tuple[Any, ...]]:
        cursor = self._database.execute(statement.replace("?", "%s"), values)
        return cursor.fetchall() if cursor.description else []

    def change(self, statement: str, rows: list[Any]) -> int:
        with self._database.cursor() as cursor:
            cursor.executemany(statement.replace("?", "%s"), rows)
            return int(cursor.rowcount)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        with self._database.transaction():
            yield

    def scrub(self, tables: Sequence[str]) -> None:
        self._database.execute(f"VACUUM {', '.join(tables)}")

    def close(self) -> None:
        self._database.close()


class Reader:
    """A connection for many threads that is made anew where the server has gone away."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        self._connection: Connection | None = storage.connect()

    def execute(self, statement: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """The rows; tried a second time on a new connection.

        Raises:
            ServiceError: (503) the database does not answer.
        """
        with self._lock:
            try:
                return self._on_open(statement, values)
            except self._storage.errors:
                self._drop()
            try:
                return self._on_open(statement, values)
            except self._storage.errors as err:
                self._drop()
                raise ServiceError(
                    f"the feedback log cannot be read ({type(err).__name__}); try again later", 503
                ) from err

    def _on_open(self, statement: str, values: Values) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = self._storage.connect()
        return self._connection.execute(statement, values)

    def _drop(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(*self._storage.errors):
                self._connection.close()
            self._connection = None

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._drop()


def storage_at(address: Path | str) -> Storage:
    """The storage at a path, or at a URL (`postgresql://user:password@host/database`).

    Raises:
        ServiceError: a URL of another kind, or psycopg is not installed.
    """
    if isinstance(address, Path) or "://" not in address:
        return SqliteFile(Path(address))
    kind = address.partition("://")[0]
    if kind in ("postgresql", "postgres"):
        return PostgresServer(address)
    raise ServiceError(
        f"a feedback log cannot lie at '{kind}://…'; expected the path of a file or"
        " postgresql://user:password@host/database"
    )


def migrate(storage: Storage) -> None:
    """Give the log the tables of today, in one transaction; one process at a time.

    Raises:
        ServiceError: it cannot be opened, or a newer crossrec has written it.
    """
    try:
        connection = storage.connect()
        try:
            with connection.transaction():
                storage.lock_of_migrations(connection)
                connection.execute(VERSION_TABLE)
                version = connection.execute(READ_VERSION)[0][0] or 0
                for statement in steps_from(version, storage.row_number):
                    connection.execute(statement)
                if version < VERSION:
                    connection.change(WRITE_VERSION, [(VERSION,)])
        finally:
            connection.close()
    except storage.errors as err:
        raise ServiceError(f"the feedback log {storage.name} cannot be opened: {err}") from err
