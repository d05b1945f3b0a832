from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from crossrec.errors import ServiceError
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.messages import FeedbackEvent


def event(event_id: str, user: str = "u", item: str = "i", **fields) -> FeedbackEvent:
    return FeedbackEvent(event_id=event_id, user_id=user, item_id=item, event="like", **fields)


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


def test_two_replicas_see_each_others_events_at_once(tmp_path: Path):
    first, second = FeedbackLog(tmp_path / "f.db"), FeedbackLog(tmp_path / "f.db")
    for n in range(5):
        first.append("films", [event(f"a{n}")]).result()
        second.append("films", [event(f"b{n}")]).result()
        assert len(first.recent("films", "u")) == len(second.recent("films", "u")) == 2 * n + 2
    first.close()
    second.close()


def test_acknowledged_events_survive_a_kill(tmp_path: Path):
    """The process prints an id only after its event was acknowledged; then it is killed."""
    path = tmp_path / "f.db"
    code = (
        "from pathlib import Path\n"
        "from crossrec.serving.feedback_log import FeedbackLog\n"
        "from crossrec.serving.messages import FeedbackEvent\n"
        f"log, n = FeedbackLog(Path({str(path)!r})), 0\n"
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
    log = FeedbackLog(path)
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
