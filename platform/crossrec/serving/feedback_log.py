"""Keeps what users did: on disk before it is acknowledged, each event once, read back by user.

One log for all domains and processes: an SQLite file, or a PostgreSQL server for several machines
(`$CROSSREC_FEEDBACK_URL`). Leaves to others: what may be stored and what it means (feedback.py),
connections (feedback_storage.py), tables (feedback_tables.py), Parquet (feedback_export.py).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from crossrec.config import home
from crossrec.serving.feedback_storage import Connection, Reader, migrate, storage_at
from crossrec.serving.feedback_writer import GroupWriter, Row, changing
from crossrec.serving.messages import FeedbackEvent

MAX_RECENT = 1000
PAGE_ROWS = 10_000
"""Rows read at a time where all of a domain are read, and forgotten at a time: between two times
others may write."""

_COLUMNS = (
    "domain, event_id, user_id, item_id, event, timestamp, value, request_id, received_at"
)  # fmt: skip
_INSERT = (
    f"INSERT INTO feedback ({_COLUMNS}, experiment, arm) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (domain, event_id) DO NOTHING"
)
_RECENT = (
    "SELECT item_id, event, timestamp, value FROM feedback WHERE domain = ? AND user_id = ?"
    " ORDER BY timestamp DESC, rowid DESC LIMIT ?"
)
_PAGE = (
    "SELECT rowid, event_id, user_id, item_id, event, timestamp, value, request_id, received_at"
    " FROM feedback WHERE domain = ? AND received_at >= ? AND rowid > ? ORDER BY rowid LIMIT ?"
)
_COUNTS = (
    "SELECT domain, count(*), count(DISTINCT user_id), min(received_at), max(received_at)"
    " FROM feedback GROUP BY domain ORDER BY domain"
)
_PER_DAY = (
    "SELECT domain, CAST(received_at AS BIGINT) / 86400, event, count(*), count(DISTINCT user_id)"
    " FROM feedback WHERE received_at >= ? GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
)
_DOMAINS = "SELECT DISTINCT domain FROM feedback"
_FORGET = (
    "DELETE FROM feedback WHERE rowid IN"
    " (SELECT rowid FROM feedback WHERE domain = ? AND received_at < ? LIMIT ?)"
)
_ERASE = "DELETE FROM feedback WHERE domain = ? AND user_id = ?"
_ERASE_ANSWERS = "DELETE FROM answers WHERE domain = ? AND user_id = ?"
_REMEMBER = (
    "INSERT INTO erasures VALUES (?, ?, ?, ?, ?) ON CONFLICT (domain, user_key) DO UPDATE SET"
    " erased_at = excluded.erased_at, n_events = erasures.n_events + excluded.n_events,"
    " releases = excluded.releases"
)
_NOTE = "UPDATE erasures SET releases = ? WHERE domain = ? AND user_key = ?"
_ERASURE = (
    "SELECT user_key, erased_at, n_events, releases FROM erasures"
    " WHERE domain = ? AND user_key = ?"
)  # fmt: skip
_ERASURES = (
    "SELECT user_key, erased_at, n_events, releases FROM erasures WHERE domain = ?"
    " ORDER BY erased_at"
)


class SeenBy(NamedTuple):
    """What answered the user of an event."""

    experiment: str
    arm: str


@dataclass(frozen=True)
class StoredEvent:
    """One event as it was acknowledged."""

    item_id: str
    event: str
    timestamp: int
    """Seconds since 1970 UTC."""
    value: float | None = None
    """A rating, where the event is one."""


@dataclass(frozen=True)
class LoggedEvent:
    """One event with everything that is kept of it."""

    row: int
    """Its number in the order of arrival."""
    event_id: str
    user_id: str
    item_id: str
    event: str
    timestamp: int
    """Seconds since 1970 UTC, as the sender said."""
    value: float | None
    request_id: str | None
    received_at: float
    """Seconds since 1970 UTC, by our own clock."""


@dataclass(frozen=True)
class DomainCount:
    """What is kept of one domain."""

    domain: str
    n_events: int
    n_users: int
    first: float
    """When the oldest event came, in seconds since 1970 UTC."""
    last: float


@dataclass(frozen=True)
class Erasure:
    """That somebody was erased; who it was cannot be read from it."""

    user_key: str
    """Keyed hash of the user id (pseudonyms.py)."""
    erased_at: float
    n_events: int
    """Events of the log that went."""
    releases: list[str]
    """Versions whose weights were trained with the user's events."""


class FeedbackLog:
    """Appends and reads feedback; safe to use from several threads and processes."""

    def __init__(
        self, address: Path | str | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        """Open the log, or make it; an older one gets the tables of today.

        Args:
            address: path of an SQLite file, or URL of a PostgreSQL database; None: see
                `log_address`.
            clock: seconds since 1970, for when events came.

        Raises:
            ServiceError: it cannot be opened, is no log, or was written by a newer crossrec.
        """
        self._storage = storage_at(log_address() if address is None else address)
        migrate(self._storage)
        self._writer = GroupWriter(self._storage, _INSERT)
        self._reader = Reader(self._storage)
        self._clock = clock

    def append(
        self, domain: str, events: list[FeedbackEvent], seen_by: SeenBy | None = None
    ) -> Future[int]:
        """Store events; the future gives how many were new once they are on disk.

        An event id that the domain has seen before changes nothing and is not counted.

        Args:
            seen_by: the arm of an experiment that the users are in.

        Raises:
            ServiceError: (from the future) they could not be stored, for example on a full disk;
                none of them was.
        """
        now = self._clock()
        rows: list[Row] = [
            (
                *(domain, event.event_id, event.user_id, event.item_id, event.event),
                int(now) if event.timestamp is None else event.timestamp,
                *(event.value, event.request_id, now, *(seen_by or (None, None))),
            )
            for event in events
        ]
        return self._writer.append(rows)

    def recent(self, domain: str, user_id: str, limit: int = MAX_RECENT) -> list[StoredEvent]:
        """The newest events of a user, oldest first; what any process acknowledged is there."""
        rows = self._reader.execute(_RECENT, (domain, user_id, limit))
        return [StoredEvent(*row) for row in reversed(rows)]

    def events(self, domain: str, since: float = 0.0) -> Iterator[LoggedEvent]:
        """All events of a domain that came at `since` (seconds since 1970) or later, in order."""
        last = -1
        while rows := self._reader.execute(_PAGE, (domain, since, last, PAGE_ROWS)):
            yield from (LoggedEvent(*row) for row in rows)
            last = rows[-1][0]

    def counts(self) -> list[DomainCount]:
        """What is kept of each domain, by name."""
        return [DomainCount(*row) for row in self._reader.execute(_COUNTS)]

    def per_day(self, since: float) -> list[tuple[str, str, str, int, int]]:
        """Domain, day (ISO, UTC), event, events and users, of what came at `since` or later."""
        rows = self._reader.execute(_PER_DAY, (since,))
        first = date(1970, 1, 1)
        return [(row[0], str(first + timedelta(days=row[1])), *row[2:]) for row in rows]

    def prune(self, before: float, domain: str | None = None) -> int:
        """Forget events that came before a moment (seconds since 1970); how many.

        Args:
            domain: of this one alone; None: of all.
        """
        where, values = ("", (before,)) if domain is None else (" AND domain = ?", (before, domain))
        with self._changing() as connection:
            connection.change(f"DELETE FROM answers WHERE last_at < ?{where}", [values])
        all_of_them = (row[0] for row in self._reader.execute(_DOMAINS, ()))
        return sum(self._forget(one, before) for one in ([domain] if domain else all_of_them))

    def _forget(self, domain: str, before: float) -> int:
        n_events = 0
        while True:
            with self._changing() as connection:
                n_gone = connection.change(_FORGET, [(domain, before, PAGE_ROWS)])
            n_events += n_gone
            if n_gone < PAGE_ROWS:
                return n_events

    def erase(self, domain: str, user_id: str, user_key: str, releases: Sequence[str]) -> int:
        """Remove a user's events and remember, by the keyed hash alone, that it was done.

        One transaction. Doing it again removes what came since.

        Args:
            releases: versions that were trained with the user's events, which is remembered.

        Returns:
            how many events went.
        """
        known = self.erased(domain, user_key)
        versions = sorted({*releases, *(known.releases if known else ())})
        with self._changing() as connection:
            connection.change(_ERASE_ANSWERS, [(domain, user_id)])
            n_events = connection.change(_ERASE, [(domain, user_id)])
            row = (domain, user_key, time.time(), n_events, json.dumps(versions))
            connection.change(_REMEMBER, [row])
        return n_events

    def erase_counts(self, domain: str, user_id: str) -> None:
        """Remove how often a user was answered; their events stay."""
        with self._changing() as connection:
            connection.change(_ERASE_ANSWERS, [(domain, user_id)])

    def note(self, domain: str, user_key: str, releases: Sequence[str]) -> None:
        """Remember more versions that were trained with the events of somebody erased."""
        known = self.erased(domain, user_key)
        if known is not None and not set(releases) <= set(known.releases):
            versions = json.dumps(sorted({*releases, *known.releases}))
            with self._changing() as connection:
                connection.change(_NOTE, [(versions, domain, user_key)])

    def erased(self, domain: str, user_key: str) -> Erasure | None:
        """That a user was erased, or None."""
        rows = self._reader.execute(_ERASURE, (domain, user_key))
        return _erasure(*rows[0]) if rows else None

    def erasures(self, domain: str) -> list[Erasure]:
        """Everybody erased, in order."""
        return [_erasure(*row) for row in self._reader.execute(_ERASURES, (domain,))]

    def close(self) -> None:
        """Write what waits, then close the connections."""
        self._writer.close()
        self._reader.close()

    def _changing(self) -> AbstractContextManager[Connection]:
        return changing(self._storage, "feedback", "answers")


def log_address() -> Path | str:
    """`$CROSSREC_FEEDBACK_URL`, else `<home>/feedback.db`."""
    return os.environ.get("CROSSREC_FEEDBACK_URL") or home() / "feedback.db"


def _erasure(user_key: str, erased_at: float, n_events: int, releases: str) -> Erasure:
    return Erasure(user_key, erased_at, n_events, json.loads(releases))
