"""Keeps answers that were given with learned weights, and where feedback came from.

Beside the feedback log: an SQLite file `learning.db` in the home, or the same PostgreSQL server.
What is lost here costs a learner a choice and nobody else anything, so an answer does not wait
for it, and SQLite does not wait for the disk. Leaves to others: feedback itself (feedback_log.py),
what is learned from it (learning.py), judging policies on it (learning_judge.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossrec.config import home
from crossrec.errors import ServiceError
from crossrec.ranking.learner_policy import Drawn
from crossrec.serving.feedback_log import log_address
from crossrec.serving.feedback_storage import Reader, SqliteFile, Storage, migrate, storage_at
from crossrec.serving.feedback_writer import GroupWriter, changing
from crossrec.serving.ranker import Seen

DIGITS = 4
"""Of what is kept in JSON."""
PAGE_ROWS = 2_000

_NAMES = ("learner_shown", "learner_origins")
_TABLES = (
    """CREATE TABLE IF NOT EXISTS learner_shown (
        domain TEXT NOT NULL, request_id TEXT NOT NULL, user_id TEXT, at DOUBLE PRECISION NOT NULL,
        body TEXT NOT NULL, PRIMARY KEY (domain, request_id)
    )""",
    "CREATE INDEX IF NOT EXISTS learner_shown_by_time ON learner_shown (domain, at)",
    """CREATE TABLE IF NOT EXISTS learner_origins (
        domain TEXT NOT NULL, event_id TEXT NOT NULL, origin TEXT NOT NULL,
        at DOUBLE PRECISION NOT NULL, PRIMARY KEY (domain, event_id)
    )""",
)
_SHOWN = "INSERT INTO learner_shown VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_ORIGIN = "INSERT INTO learner_origins VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_FIND = (
    "SELECT request_id, user_id, at, body FROM learner_shown WHERE domain = ? AND request_id = ?"
)
_ALL = (
    "SELECT request_id, user_id, at, body FROM learner_shown WHERE domain = ? AND at >= ?"
    " AND (at > ? OR (at = ? AND request_id > ?)) ORDER BY at, request_id LIMIT ?"
)
_N_GIVEN = "SELECT count(*) FROM learner_shown WHERE domain = ? AND at >= ?"
_NTH_GIVEN = (
    "SELECT at FROM learner_shown WHERE domain = ? AND at >= ? ORDER BY at LIMIT 1 OFFSET ?"
)
_FIND_ORIGIN = "SELECT origin FROM learner_origins WHERE domain = ? AND event_id = ?"
_EVENTS = (
    "SELECT rowid, event_id, user_id, item_id, event, request_id, received_at FROM feedback"
    " WHERE {domain} = ? AND rowid > ? ORDER BY rowid LIMIT ?"
)
_EVENTS_SINCE = (
    "SELECT rowid, event_id, user_id, item_id, event, request_id, received_at FROM feedback"
    " WHERE domain = ? AND received_at >= ? AND rowid <= ? AND request_id IS NOT NULL LIMIT 100000"
)
_TAKEN = (
    "SELECT item_id, event FROM feedback WHERE domain = ? AND user_id = ? AND request_id = ?"
    " AND rowid < ? ORDER BY rowid"
)
_IDS = "SELECT event_id FROM feedback WHERE domain = ? AND user_id = ?"
_N_OF_USERS = "SELECT count(*) FROM learner_shown WHERE user_id IS NOT NULL"
_LAST = "SELECT max(rowid) FROM feedback"
_BEFORE = "SELECT min(rowid) FROM feedback WHERE domain = ? AND received_at >= ?"
_OF_REQUESTS = (
    "SELECT request_id, user_id, item_id, event FROM feedback WHERE domain = ? AND received_at >= ?"
    " AND request_id IS NOT NULL"
)


@dataclass(frozen=True)
class ShownList:
    """An answer with learned weights, as it was given; S items, of which the first are the list."""

    request_id: str
    user_id: str | None
    at: float
    """Seconds since 1970."""
    version: int
    arm: int
    propensity: float
    objectives: list[str]
    item_ids: list[str]
    n_shown: int
    plain: bool
    relevance: NDArray[np.float64]  # (S,)
    standings: NDArray[np.float64]  # (S, D)
    features: list[str]
    """Names of the C context features."""
    context: NDArray[np.float64]  # (C,)
    arms: NDArray[np.float64]
    """(M, D) weights of each arm for this request; the first is the mean's."""
    share: float
    """Probability with which any arm but the first was to be used."""
    relevance_weight: float

    def standings_of(self, names: Sequence[str]) -> NDArray[np.float64]:
        """(S, len(names)) of these objectives; 0 where it was none of the learner's."""
        found = np.zeros((len(self.item_ids), len(names)))
        for column, name in enumerate(names):
            if name in self.objectives:
                found[:, column] = self.standings[:, self.objectives.index(name)]
        return found


@dataclass(frozen=True)
class Heard:
    """One event of the feedback log."""

    row: int
    event_id: str
    user_id: str
    item_id: str
    event: str
    request_id: str | None
    received_at: float


class LearningLog:
    """Appends and reads; safe to use from several threads and processes."""

    def __init__(
        self, address: Path | str | None = None, feedback: Path | str | None = None
    ) -> None:
        """Open the log, or make it.

        Args:
            address: path of an SQLite file, or URL of a PostgreSQL database; None: beside the
                feedback log.
            feedback: of the feedback log; None: where it is by default.

        Raises:
            ServiceError: it cannot be opened.
        """
        heard = log_address() if feedback is None else feedback
        self._storage = _storage(address, heard)
        self._feedback = storage_at(heard)
        try:
            with closing(self._storage.connect()) as connection:
                for statement in _TABLES:
                    connection.execute(statement)
            migrate(self._feedback)
            self._reader = Reader(self._storage)
            self._heard = Reader(self._feedback)
        except (*self._storage.errors, *self._feedback.errors) as err:
            raise ServiceError(
                f"the log of answers {self._storage.name} cannot be opened: {err}"
            ) from err
        self._shown_writer = GroupWriter(self._storage, _SHOWN)
        self._origin_writer = GroupWriter(self._storage, _ORIGIN)
        # An expression keeps SQLite from an index by domain, which has it sort all of that domain;
        # so it goes on from the row. A server has an index by domain and row.
        self.is_file = isinstance(self._feedback, SqliteFile)
        self._events = _EVENTS.format(domain="domain || ''" if self.is_file else "domain")
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="learning-log")

    def shown(self, domain: str, shown: ShownList) -> None:
        """Keep an answer; returns at once, and is on its way to the file."""
        self._maker.submit(self._keep, domain, shown)

    def _keep(self, domain: str, shown: ShownList) -> None:
        row = (domain, shown.request_id, shown.user_id, shown.at, _body(shown))
        self._shown_writer.append([row])

    def came_from(self, domain: str, event_ids: Sequence[str], origin: str, at: float) -> None:
        """Keep where events came from, by a keyed hash; returns at once."""
        rows = [(domain, event_id, origin, at) for event_id in event_ids]
        self._origin_writer.append(list(rows))

    def find(self, domain: str, request_id: str) -> ShownList | None:
        """The answer to a request; None: it was not given with learned weights, or long ago."""
        rows = self._reader.execute(_FIND, (domain, request_id))
        return _read(*rows[0]) if rows else None

    def all(self, domain: str, since: float = 0.0) -> Iterator[ShownList]:
        """Answers given at `since` (seconds since 1970) or later, in order of time."""
        at, last = -1.0, ""
        while rows := self._reader.execute(_ALL, (domain, since, at, at, last, PAGE_ROWS)):
            yield from (_read(*row) for row in rows)
            last, at = rows[-1][0], rows[-1][2]

    def middle(self, domain: str, since: float) -> float:
        """When the first of the later half of the answers since was given; `since` where there are
        none (both in seconds since 1970).
        """
        n_given = int(self._reader.execute(_N_GIVEN, (domain, since))[0][0])
        rows = self._reader.execute(_NTH_GIVEN, (domain, since, n_given // 2))
        return float(rows[0][0]) if rows else since

    def origin(self, domain: str, event_id: str) -> str | None:
        """Where an event came from; None: nobody noted it."""
        rows = self._reader.execute(_FIND_ORIGIN, (domain, event_id))
        return str(rows[0][0]) if rows else None

    def heard(self, domain: str, after: int, limit: int) -> list[Heard]:
        """Events of the feedback log that came after one (by its row number), in order.

        On PostgreSQL an event whose transaction ends after that of a later number may be passed
        over: the learner then lacks it, the log does not.
        """
        return [Heard(*row) for row in self._heard.execute(self._events, (domain, after, limit))]

    def heard_since(self, domain: str, since: float, up_to: int) -> list[Heard]:
        """Events on answers that came at `since` (seconds since 1970) or later, up to a row."""
        return [Heard(*row) for row in self._heard.execute(_EVENTS_SINCE, (domain, since, up_to))]

    def row_before(self, domain: str, at: float) -> int:
        """Row number after which all events are that came at a moment (seconds since 1970) or
        later.
        """
        first = self._heard.execute(_BEFORE, (domain, at))[0][0]
        return self.last() if first is None else int(first) - 1

    def last(self) -> int:
        """Row number of the newest event of any domain; 0: there is none."""
        return int(self._heard.execute(_LAST)[0][0] or 0)

    def taken_before(self, domain: str, event: Heard) -> list[tuple[str, str]]:
        """Item and kind of earlier events of the same user on the same answer."""
        values = (domain, event.user_id, event.request_id, event.row)
        return [(row[0], row[1]) for row in self._heard.execute(_TAKEN, values)]

    def events_of_requests(self, domain: str, since: float) -> list[tuple[str, str, str, str]]:
        """Request, user, item and kind of events on answers, that came at `since` or later."""
        rows = self._heard.execute(_OF_REQUESTS, (domain, since))
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    def n_of_users(self) -> int:
        """Answers of all domains that are kept with the user who was given them."""
        return int(self._reader.execute(_N_OF_USERS)[0][0])

    def prune(self, before: float, domain: str | None = None) -> None:
        """Forget what came before a moment (seconds since 1970).

        Args:
            domain: of this one alone; None: of all.
        """
        where, values = ("", (before,)) if domain is None else (" AND domain = ?", (before, domain))
        with changing(self._storage, *_NAMES) as connection:
            for table in _NAMES:
                connection.change(f"DELETE FROM {table} WHERE at < ?{where}", [values])

    def erase(self, domain: str, user_id: str) -> None:
        """Forget the answers that a user was given, and where the user's events came from.

        Which events those are the feedback log knows: before it forgets them.
        """
        ids = [(domain, *row) for row in self._heard.execute(_IDS, (domain, user_id))]
        with changing(self._storage, *_NAMES) as connection:
            if ids:
                connection.change(
                    "DELETE FROM learner_origins WHERE domain = ? AND event_id = ?", ids
                )
            connection.change(
                "DELETE FROM learner_shown WHERE domain = ? AND user_id = ?", [(domain, user_id)]
            )

    def close(self) -> None:
        """Write what waits, then close the connections."""
        self._maker.shutdown()
        for one in (self._shown_writer, self._origin_writer, self._reader, self._heard):
            one.close()


@contextmanager
def kept_answers() -> Iterator[LearningLog | None]:
    """The log of answers; None where no file of it is there: who only forgets makes none.

    Raises:
        ServiceError: it cannot be opened.
    """
    storage = _storage(None, log_address())
    if isinstance(storage, SqliteFile) and not storage.path.exists():
        yield None
        return
    with closing(LearningLog()) as answers:
        yield answers


def shown_list(
    request_id: str,
    user_id: str | None,
    at: float,
    drawn: Drawn,
    seen: Seen,
    item_ids: Sequence[str],
    policy: Policy,
) -> ShownList:
    """The record of an answer.

    Args:
        item_ids: of the whole catalogue, by item_idx.
        policy: what the learner could have done.
    """
    return ShownList(
        request_id=request_id,
        user_id=user_id,
        at=at,
        version=drawn.version,
        arm=drawn.arm,
        propensity=drawn.propensity,
        objectives=list(policy.objectives),
        item_ids=[item_ids[row] for row in seen.item_idx],
        n_shown=seen.n_shown,
        plain=seen.plain,
        relevance=seen.relevance,
        standings=seen.standings,
        features=list(policy.features),
        context=policy.context,
        arms=policy.arms,
        share=policy.share,
        relevance_weight=policy.relevance_weight,
    )


@dataclass(frozen=True)
class Policy:
    """What a learner could have done for a request."""

    objectives: tuple[str, ...]
    features: tuple[str, ...]
    context: NDArray[np.float64]  # (C,)
    arms: NDArray[np.float64]  # (M, D)
    share: float
    relevance_weight: float


def _storage(address: Path | str | None, feedback: Path | str) -> Storage:
    if address is None and not (isinstance(feedback, str) and "://" in feedback):
        address = Path(feedback).with_name("learning.db") if feedback else home() / "learning.db"
    found = storage_at(feedback if address is None else address)
    if isinstance(found, SqliteFile):
        found.synchronous = "NORMAL"
    return found


def _rounded(values: NDArray[np.float64]) -> list[object]:
    found: list[object] = np.round(values, DIGITS).tolist()
    return found


def _body(shown: ShownList) -> str:
    return json.dumps(
        {
            "version": shown.version,
            "arm": shown.arm,
            "propensity": shown.propensity,
            "objectives": shown.objectives,
            "item_ids": shown.item_ids,
            "n_shown": shown.n_shown,
            "plain": shown.plain,
            "relevance": _rounded(shown.relevance),
            "standings": _rounded(shown.standings),
            "features": shown.features,
            "context": _rounded(shown.context),
            "arms": _rounded(shown.arms),
            "share": shown.share,
            "relevance_weight": shown.relevance_weight,
        }
    )


def _read(request_id: str, user_id: str | None, at: float, body: str) -> ShownList:
    values = json.loads(body)
    n_objectives = len(values["objectives"])
    for name in ("relevance", "standings", "context", "arms"):
        values[name] = np.array(values[name], np.float64)
    for name in ("standings", "arms"):
        values[name] = values[name].reshape(-1, n_objectives)
    return ShownList(request_id=request_id, user_id=user_id, at=at, **values)
