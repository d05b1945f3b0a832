"""The service's own log: on disk at once, as JSON, with the request it is about."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from crossrec.serving import logs
from crossrec.serving.logs import ASKED, Asked, LogFile, keep_log, keep_replica_log
from crossrec.serving.messages import RecommendRequest
from tests.service_log import logged

log = logging.getLogger("crossrec.serving.anywhere")


def test_a_line_says_when_where_what_and_of_which_request(log_file: LogFile):
    async def request() -> None:
        ASKED.set(Asked("mine-1", "crossrec: films"))
        await asyncio.to_thread(log.warning, "the %s is odd", "thing")

    asyncio.run(request())
    log.error("no request at all")
    first, second = logged()
    assert abs(datetime.now(UTC) - datetime.fromisoformat(first.pop("at"))).seconds < 60
    assert first == {
        "level": "WARNING",
        "logger": "crossrec.serving.anywhere",
        "application": "domains",
        "service": "crossrec: films",
        "request_id": "mine-1",
        "message": "the thing is odd",
    }
    assert (second["request_id"], second["service"]) == (None, None)


def test_an_error_has_its_traceback_and_a_very_long_one_its_end(log_file: LogFile):
    for reason in ("short", "x" * 100_000 + "end"):
        try:
            raise ZeroDivisionError(reason)
        except ZeroDivisionError:
            log.exception("it failed")
    short, long = (line["exception"] for line in logged())
    assert short.startswith("Traceback")
    assert short.endswith("ZeroDivisionError: short\n")
    assert long.endswith("xend\n")
    assert len(long) == logs.MAX_TRACEBACK_CHARS


def test_values_of_a_message_that_is_none_are_not_in_the_log(log_file: LogFile):
    values = {"user_id": 12345678, "text": "a secret" * 9999}
    try:
        RecommendRequest.model_validate(values)
    except ValidationError:
        log.exception("it failed")
    [line] = logged()
    assert "valid string" in line["exception"]
    assert "12345678" not in line["exception"]
    assert "secret" not in line["exception"]


def test_files_are_bounded_in_length_and_number(
    log_file: LogFile, fresh_home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(logs, "MAX_BYTES", 2_000)
    monkeypatch.setattr(logs, "KEPT_FILES", 5)
    assert not (fresh_home / "logs").exists()  # whoever has nothing to say leaves no file
    for n in range(40):
        log.error("number %d", n)
    own = sorted(path.name for path in log_file.path.parent.iterdir())
    assert own == ["domains-one.jsonl", "domains-one.jsonl.1"]
    assert max(path.stat().st_size for path in log_file.path.parent.iterdir()) < 2_300
    assert log_file.path.stat().st_mode & 0o077 == 0
    for n in range(9):
        LogFile("domains", str(n)).handle(logging.makeLogRecord({"msg": "a line"}))
    assert len(list(log_file.path.parent.iterdir())) == 5
    log.error("the last one")  # its file was the oldest, and is made anew
    assert "the last one" in log_file.path.read_text()


def test_a_log_that_cannot_be_written_stops_nobody(log_file: LogFile, fresh_home: Path, capsys):
    (fresh_home / "logs").write_text("no folder")
    log.error("it failed")
    assert "Logging error" in capsys.readouterr().err


def test_a_process_keeps_one_log_and_only_replicas_begin_one(
    fresh_home: Path, monkeypatch: pytest.MonkeyPatch
):
    logger = logging.getLogger("crossrec")
    monkeypatch.setattr(logger, "handlers", [])
    keep_replica_log()
    assert logger.handlers == []
    keep_log("service", "1")
    keep_log("service", "1")
    [handler] = logger.handlers
    assert isinstance(handler, LogFile)
    assert handler.path == fresh_home / "logs" / "service-1.jsonl"
