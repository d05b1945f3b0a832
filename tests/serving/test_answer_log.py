from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crossrec.serving.answer_log import NOBODY, AnswerLog
from crossrec.serving.feedback_log import FeedbackLog, SeenBy
from crossrec.serving.messages import FeedbackEvent


@pytest.fixture
def feedback(tmp_path: Path) -> Iterator[FeedbackLog]:
    log = FeedbackLog(tmp_path / "feedback.db")
    yield log
    log.close()


@pytest.fixture
def answers(tmp_path: Path) -> Iterator[AnswerLog]:
    log = AnswerLog("films", tmp_path / "feedback.db")
    yield log
    log.close()


def event(number: int, user: str, kind: str = "like") -> FeedbackEvent:
    return FeedbackEvent(event_id=f"{number}", user_id=user, item_id="film-1", event=kind)


def flush(log: AnswerLog) -> None:
    written = log.flush()
    assert written is not None
    written.result(10)


def test_answers_stand_beside_what_came_of_them(feedback: FeedbackLog, answers: AnswerLog):
    assert answers.flush() is None
    assert answers.latest() is None
    assert answers.count("x", "b", "jane")
    assert not answers.count("x", "b", "jane")
    answers.count("x", "control", "john")
    answers.count("x", "control", None)
    flush(answers)
    assert answers.count("x", "b", "jane")  # the first since
    flush(answers)
    feedback.append("films", [event(1, "jane"), event(2, "jane")], SeenBy("x", "b")).result(10)
    feedback.append("films", [event(3, "jane")]).result(10)  # before the experiment
    feedback.append("films", [event(4, "john")], SeenBy("x", "b")).result(10)  # of another arm
    found = {(one.arm, one.user_id): one for one in answers.responses("x")}
    assert {key: (one.n_answers, one.events) for key, one in found.items()} == {
        ("b", "jane"): (3, {"like": 2}),
        ("control", "john"): (1, {}),
        ("control", NOBODY): (1, {}),
    }
    assert answers.latest() == "x"
    assert answers.responses("another") == []


def test_whoever_is_erased_is_in_no_experiment(feedback: FeedbackLog, answers: AnswerLog):
    answers.count("x", "b", "jane")
    answers.count("x", "b", "john")
    flush(answers)
    feedback.erase("films", "jane", "hashed", [])
    assert [one.user_id for one in answers.responses("x")] == ["john"]
    feedback.prune(before=1e9)
    assert [one.user_id for one in answers.responses("x")] == ["john"]
    feedback.prune(before=4e9)
    assert answers.responses("x") == []
