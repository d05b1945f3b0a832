from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crossrec.errors import ServiceError
from crossrec.serving import feedback_log
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.feedback_storage import storage_at
from crossrec.serving.messages import FeedbackEvent
from tests.postgres import Server


def event(event_id: str, user: str = "u", item: str = "i", **fields) -> FeedbackEvent:
    return FeedbackEvent(event_id=event_id, user_id=user, item_id=item, event="like", **fields)


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Every promise of the log is one of both databases."""
    if request.param == "sqlite":
        return tmp_path / "feedback.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def log(address: Path | str) -> Iterator[FeedbackLog]:
    found = FeedbackLog(address)
    yield found
    found.close()


def test_what_is_acknowledged_is_read_back_in_order_of_time(log: FeedbackLog):
    events = [event("a", item="x", timestamp=20), event("b", item="y", timestamp=10)]
    assert log.append("films", events).result() == 2
    assert [(e.item_id, e.timestamp) for e in log.recent("films", "u")] == [("y", 10), ("x", 20)]
    assert log.recent("books", "u") == log.recent("films", "v") == []


def test_the_newest_events_are_kept_where_there_are_too_many(log: FeedbackLog):
    log.append("films", [event(str(n), item=str(n), timestamp=n) for n in range(9)]).result()
    assert [e.item_id for e in log.recent("films", "u", limit=3)] == ["6", "7", "8"]


def test_the_same_event_id_changes_nothing(log: FeedbackLog):
    assert log.append("films", [event("a", item="x"), event("a", item="y")]).result() == 1
    assert log.append("films", [event("a", item="z")]).result() == 0
    assert [e.item_id for e in log.recent("films", "u")] == ["x"]
    assert log.append("books", [event("a", item="z")]).result() == 1  # ids are a domain's own


def test_without_a_timestamp_an_event_happened_now(log: FeedbackLog):
    log.append("films", [event("a")]).result()
    assert abs(log.recent("films", "u")[0].timestamp - time.time()) < 5


def test_threads_share_commits_and_lose_nothing(log: FeedbackLog):
    def send(thread: int) -> None:
        for n in range(20):
            assert log.append("films", [event(f"{thread}-{n}")]).result() == 1

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log.recent("films", "u")) == 160


def test_two_replicas_see_each_others_events_at_once(address: Path | str):
    first, second = FeedbackLog(address), FeedbackLog(address)
    for n in range(5):
        first.append("films", [event(f"a{n}")]).result()
        second.append("films", [event(f"b{n}")]).result()
        assert len(first.recent("films", "u")) == len(second.recent("films", "u")) == 2 * n + 2
    first.close()
    second.close()


def test_acknowledged_events_survive_a_kill(address: Path | str):
    """The process prints an id only after its event was acknowledged; then it is killed."""
    code = (
        "from crossrec.serving.feedback_log import FeedbackLog\n"
        "from crossrec.serving.messages import FeedbackEvent\n"
        f"log, n = FeedbackLog({str(address)!r}), 0\n"
        "while True:\n"
        "    n += 1\n"
        "    one = FeedbackEvent(event_id=str(n), user_id='u', item_id=str(n), event='like')\n"
        "    log.append('films', [one]).result()\n"
        "    print(n, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(30)]
    os.kill(process.pid, signal.SIGKILL)
    acknowledged += [int(line) for line in process.stdout if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    log = FeedbackLog(address)
    stored = {int(e.item_id) for e in log.recent("films", "u")}
    assert set(acknowledged) <= stored
    log.close()


def test_what_cannot_be_stored_is_said_and_the_log_lives_on(log: FeedbackLog):
    bad = FeedbackEvent.model_construct(
        event_id="a", user_id="u", item_id="i", event="like", timestamp=2**70, value=None,
        request_id=None,
    )  # fmt: skip
    with pytest.raises(ServiceError, match="could not be stored"):
        log.append("films", [event("b"), bad]).result()
    assert log.recent("films", "u") == []  # all of a batch or none
    assert log.append("films", [event("c")]).result() == 1


def test_a_batch_that_no_database_takes_spoils_no_other_of_its_commit(log: FeedbackLog):
    bad = FeedbackEvent.model_construct(
        event_id="a", user_id="u", item_id="i", event="like", timestamp=2**70, value=None,
        request_id=None,
    )  # fmt: skip
    sent = [log.append("films", [event(str(n)), bad][n % 2 :][:1]) for n in range(20)]
    assert [one.exception() is None for one in sent] == [True, False] * 10
    assert len(log.recent("films", "u")) == 10


def test_events_are_read_in_pages_in_the_order_they_came(
    log: FeedbackLog, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(feedback_log, "PAGE_ROWS", 3)
    log.append("films", [event(str(n), user=str(n % 2), value=n / 2) for n in range(8)]).result()
    log.append("books", [event("other")]).result()
    found = list(log.events("films"))
    assert [one.event_id for one in found] == [str(n) for n in range(8)]
    assert (found[3].user_id, found[3].value) == ("1", 1.5)
    moment = time.time()
    log.append("films", [event("late")]).result()
    assert [one.event_id for one in log.events("films", since=moment)] == ["late"]
    assert [(c.domain, c.n_events, c.n_users) for c in log.counts()] == [
        ("books", 1, 1),
        ("films", 9, 3),
    ]


def test_pruning_forgets_what_came_before_and_nothing_else(log: FeedbackLog):
    log.append("films", [event("old")]).result()
    log.append("books", [event("old")]).result()
    moment = time.time()
    log.append("films", [event("new")]).result()
    assert log.prune(moment, "films") == 1
    assert [one.event_id for one in log.events("films")] == ["new"]
    assert [one.event_id for one in log.events("books")] == ["old"]
    assert log.prune(moment) == 1
    assert log.prune(moment) == 0


def test_erasing_removes_exactly_one_user_of_one_domain(log: FeedbackLog):
    for domain in ("films", "books"):
        log.append(domain, [event("1", user="u"), event("2", user="u%"), event("3")]).result()
    log.append("films", [event("4", user="U")]).result()
    assert log.erased("films", "key") is None
    assert log.erase("films", "u", "key", ["2"]) == 2
    assert log.erase("films", "_", "other", []) == 0
    assert [one.event_id for one in log.events("films")] == ["2", "4"]
    assert [one.event_id for one in log.events("books")] == ["1", "2", "3"]
    log.append("films", [event("5", user="u")]).result()  # came back, and goes again
    assert log.erase("films", "u", "key", ["1"]) == 1
    found = log.erased("films", "key")
    assert found is not None
    assert (found.n_events, found.releases) == (3, ["1", "2"])
    assert abs(found.erased_at - time.time()) < 5
    assert [one.user_key for one in log.erasures("films")] == ["other", "key"]
    assert log.erasures("books") == []


def test_an_erased_user_is_nowhere_in_the_file(tmp_path: Path):
    log = FeedbackLog(tmp_path / "f.db")
    events = [event(f"e{n}", user="somebody-secret", item=f"item-{n}") for n in range(300)]
    log.append("films", [*events, event("last", user="other")]).result()
    log.erase("films", "somebody-secret", "key", [])
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"somebody-secret" not in left
    assert b"other" in left
    log.close()


def test_several_processes_may_make_the_log_at_once(address: Path | str):
    code = (
        "from crossrec.serving.feedback_log import FeedbackLog\n"
        "from crossrec.serving.messages import FeedbackEvent\n"
        "import sys\n"
        f"log = FeedbackLog({str(address)!r})\n"
        "one = FeedbackEvent(event_id=sys.argv[1], user_id='u', item_id='i', event='like')\n"
        "assert log.append('films', [one]).result() == 1\n"
        "log.close()\n"
    )
    commands = [[sys.executable, "-c", code, str(number)] for number in range(4)]
    processes = [subprocess.Popen(command) for command in commands]
    assert [process.wait() for process in processes] == [0] * 4
    log = FeedbackLog(address)
    assert len(log.recent("films", "u")) == 4
    log.close()


def test_a_log_of_before_versions_keeps_what_it_holds(tmp_path: Path):
    """The table as it was made when there was no version table."""
    with contextlib.closing(sqlite3.connect(tmp_path / "f.db")) as database, database:
        database.execute(
            "CREATE TABLE feedback (domain TEXT NOT NULL, event_id TEXT NOT NULL,"
            " user_id TEXT NOT NULL, item_id TEXT NOT NULL, event TEXT NOT NULL,"
            " timestamp INTEGER NOT NULL, value REAL, request_id TEXT, received_at REAL NOT NULL,"
            " UNIQUE (domain, event_id))"
        )
        database.execute("INSERT INTO feedback VALUES ('films','a','u','x','like',7,NULL,NULL,7)")
    for _ in range(2):
        log = FeedbackLog(tmp_path / "f.db")
        assert [(e.item_id, e.timestamp) for e in log.recent("films", "u")] == [("x", 7)]
        assert log.append("films", [event("a")]).result() == 0
        assert log.erasures("films") == []
        log.close()


def test_a_log_of_a_newer_crossrec_is_refused(address: Path | str):
    FeedbackLog(address).close()
    connection = storage_at(address).connect()
    connection.change("INSERT INTO feedback_version VALUES (?)", [(99,)])
    connection.close()
    with pytest.raises(ServiceError, match=r"version 99.*newer crossrec"):
        FeedbackLog(address)


def test_a_server_that_was_away_is_found_again(postgres_server: Server, postgres_url: str):
    log = FeedbackLog(postgres_url)
    log.append("films", [event("a", item="x")]).result()
    postgres_server.stop()
    with pytest.raises(ServiceError, match="cannot be read"):
        log.recent("films", "u")
    with pytest.raises(ServiceError, match="could not be stored"):
        log.append("films", [event("b")]).result()
    postgres_server.start()
    assert [one.item_id for one in log.recent("films", "u")] == ["x"]
    assert log.append("films", [event("b")]).result() == 1
    log.close()


def test_a_password_is_in_no_message(postgres_server: Server):
    with pytest.raises(ServiceError, match="no_such_log") as raised:
        FeedbackLog(postgres_server.url("no_such_log"))
    assert "secret" not in str(raised.value)


def test_an_address_of_another_kind_is_refused():
    with pytest.raises(ServiceError, match=r"'mysql://…'; expected the path of a file or postgres"):
        FeedbackLog("mysql://host/log")


def test_a_file_that_is_no_log_is_refused(tmp_path: Path):
    path = tmp_path / "f.db"
    path.write_text("hello " * 1000)
    with pytest.raises(ServiceError, match="cannot be opened"):
        FeedbackLog(path)


def test_a_caller_that_goes_away_neither_loses_its_events_nor_ends_the_writer(
    tmp_path: Path,
) -> None:
    log = FeedbackLog(tmp_path / "feedback.db")
    gone = log.append("films", [event("1")])
    assert not gone.cancel()
    assert gone.result(timeout=10) == 1
    assert log.append("films", [event("2")]).result(timeout=10) == 1
    log.close()
