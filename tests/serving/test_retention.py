"""What is older than an operator keeps is forgotten by the service itself, and nothing else."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from crossrec.errors import ConfigError
from crossrec.serving import feedback_log
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.learning_service import Learners
from crossrec.serving.messages import FeedbackEvent
from crossrec.serving.retention import (
    AGAIN_S,
    DAY_S,
    EVERY_S,
    KEEP_FEEDBACK_DAYS,
    Retention,
    keep_feedback_days,
)


@pytest.fixture
def log(fresh_home: Path) -> Iterator[FeedbackLog]:
    with closing(FeedbackLog()) as log:
        yield log


def _store(log: FeedbackLog, domain: str, n: int) -> None:
    for number in range(n):
        event = FeedbackEvent(
            event_id=f"{time.time()}-{number}", user_id="u", item_id="i", event="click"
        )
        log.append(domain, [event]).result()


@pytest.mark.parametrize(("given", "days"), [("90", 90.0), (" 0.5 ", 0.5), ("", None)])
def test_the_environment_says_how_long(monkeypatch: pytest.MonkeyPatch, given: str, days):
    monkeypatch.setenv(KEEP_FEEDBACK_DAYS, given)
    assert keep_feedback_days() == days


@pytest.mark.parametrize("given", ["0", "-1", "ninety", "inf", "nan"])
def test_what_is_no_number_of_days_is_said_at_once(monkeypatch: pytest.MonkeyPatch, given: str):
    monkeypatch.setenv(KEEP_FEEDBACK_DAYS, given)
    with pytest.raises(ConfigError, match=r"got \$CROSSREC_KEEP_FEEDBACK_DAYS=.*expected a number"):
        keep_feedback_days()


def test_it_is_done_every_hour(log: FeedbackLog):
    now = time.time()
    retention = Retention(1, lambda: now)
    _store(log, "films", 2)
    _store(log, "books", 1)
    assert retention.step() == 0  # of today
    now += DAY_S + 10
    assert retention.step() == 3
    assert log.counts() == []
    now -= DAY_S + 10
    _store(log, "films", 1)
    now += DAY_S + 10 + EVERY_S / 2
    assert retention.step() == 0  # half an hour later
    now += EVERY_S / 2
    assert retention.step() == 1


def test_nothing_is_forgotten_where_nobody_says_so(log: FeedbackLog):
    _store(log, "films", 1)
    assert Retention(None, lambda: time.time() + 1000 * DAY_S).step() == 0
    assert len(log.counts()) == 1


def test_many_events_are_forgotten_some_at_a_time(
    log: FeedbackLog, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(feedback_log, "PAGE_ROWS", 2)
    _store(log, "films", 5)
    _store(log, "books", 4)
    assert log.prune(time.time() + 1, "books") == 4
    assert [(one.domain, one.n_events) for one in log.counts()] == [("films", 5)]
    assert log.prune(time.time() + 1) == 5


def test_a_failure_is_logged_and_tried_again(
    log: FeedbackLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    now = time.time()
    retention = Retention(1, lambda: now)
    _store(log, "films", 1)
    now += 2 * DAY_S
    with monkeypatch.context() as away:
        away.setenv("CROSSREC_FEEDBACK_URL", "postgresql://nobody@127.0.0.1:1/none")
        with caplog.at_level(logging.ERROR):
            assert retention.step() == 0
    assert "feedback of more than 1 days was not forgotten" in caplog.text
    assert retention.step() == 0  # not at once
    now += AGAIN_S
    assert retention.step() == 1


def test_the_learners_process_does_it(log: FeedbackLog, monkeypatch: pytest.MonkeyPatch):
    _store(log, "films", 3)
    monkeypatch.setenv(KEEP_FEEDBACK_DAYS, "1e-9")
    with closing(Learners(poll_s=0.01)):
        until = time.monotonic() + 20
        while log.counts() and time.monotonic() < until:
            time.sleep(0.02)
    assert log.counts() == []
