"""The tables of the feedback log, and how an older log gets those of today.

SQL that SQLite (from 3.24) and PostgreSQL both understand. Leaves to others: connections
(feedback_storage.py), what is asked of the tables (feedback_log.py).
"""

from __future__ import annotations

from crossrec.errors import ServiceError

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE IF NOT EXISTS feedback (
            {row_number}domain TEXT NOT NULL, event_id TEXT NOT NULL, user_id TEXT NOT NULL,
            item_id TEXT NOT NULL, event TEXT NOT NULL, timestamp BIGINT NOT NULL,
            value DOUBLE PRECISION, request_id TEXT, received_at DOUBLE PRECISION NOT NULL,
            UNIQUE (domain, event_id)
        )""",
        "CREATE INDEX IF NOT EXISTS feedback_by_user ON feedback (domain, user_id, timestamp)",
    ),
    (
        "CREATE INDEX feedback_by_arrival ON feedback (domain, received_at)",
        """CREATE TABLE erasures (
            domain TEXT NOT NULL, user_key TEXT NOT NULL, erased_at DOUBLE PRECISION NOT NULL,
            n_events BIGINT NOT NULL, releases TEXT NOT NULL,
            PRIMARY KEY (domain, user_key)
        )""",
    ),
    (
        "ALTER TABLE feedback ADD COLUMN experiment TEXT",
        "ALTER TABLE feedback ADD COLUMN arm TEXT",
        """CREATE TABLE answers (
            domain TEXT NOT NULL, experiment TEXT NOT NULL, arm TEXT NOT NULL,
            user_id TEXT NOT NULL, n BIGINT NOT NULL, last_at DOUBLE PRECISION NOT NULL,
            PRIMARY KEY (domain, experiment, arm, user_id)
        )""",
    ),
    ("{row_index}",),
)
"""Each entry takes a log from one version to the next; a log of before versions has the first.
`{row_number}`: what numbers rows in the order they were stored; `{row_index}`: what finds those of
a domain by it; both are empty where the database itself numbers rows and keeps them in order."""

ROW_INDEX = "CREATE INDEX feedback_by_row ON feedback (domain, rowid)"

VERSION = len(MIGRATIONS)

VERSION_TABLE = "CREATE TABLE IF NOT EXISTS feedback_version (version BIGINT NOT NULL)"
READ_VERSION = "SELECT max(version) FROM feedback_version"
WRITE_VERSION = "INSERT INTO feedback_version VALUES (?)"


def steps_from(version: int, row_number: str) -> list[str]:
    """Statements that take a log of `version` (0: empty) to today's.

    Raises:
        ServiceError: a newer crossrec has written it.
    """
    if version > VERSION:
        raise ServiceError(
            f"the feedback log is of version {version}, this crossrec knows versions up to"
            f" {VERSION}; use the newer crossrec that wrote it"
        )
    own = {"row_number": row_number, "row_index": ROW_INDEX if row_number else ""}
    statements = [one.format(**own) for migration in MIGRATIONS[version:] for one in migration]
    return [one for one in statements if one]
