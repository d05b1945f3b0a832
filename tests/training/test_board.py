"""The board keeps order and forgets what was taken; the bars say epoch, loss and quality."""

from __future__ import annotations

import io

from rich.console import Console

from crossrec.training.board import Bars, Board


def test_events_are_taken_once_and_in_order():
    board = Board()
    for epoch in range(3):
        board.post({"domain": "movies", "epoch": epoch})
    assert [event["epoch"] for event in board.drain()] == [0, 1, 2]
    assert board.drain() == []


def _told(terminal: bool, show: bool) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=140)
    with Bars({"movies": 5}, show, console) as bars:
        bars.update({"domain": "movies", "stage": "preparing", "rank": 0, "pid": 1})
        bars.update({"domain": "movies", "stage": "preparing, second worker", "rank": 1, "pid": 2})
        texts = {"stage": "encoding texts 3/9", "completed": 3, "total": 9}
        bars.update({"domain": "movies", **texts})
        metrics = {"epoch": 2.0, "loss": 4.25, "validation_ndcg@10": 0.0815, "best": 0.0815}
        bars.update({"domain": "movies", "metrics": metrics})
        bars.done("movies", "done, 2 epochs")
    return text.getvalue()


def test_a_log_file_gets_one_line_an_event_of_the_first_worker():
    assert _told(terminal=False, show=True).splitlines() == [
        "movies: preparing",
        "movies: encoding texts 3/9",
        "movies: epoch 2/5  loss 4.250  NDCG@10 0.0815",
        "movies: done, 2 epochs",
    ]


def test_encoding_has_a_bar_of_its_own_before_the_epochs():
    console = Console(file=io.StringIO(), force_terminal=True, width=140)
    with Bars({"movies": 5}, True, console) as bars:
        bars.update({"domain": "movies", "stage": "encoding", "completed": 3, "total": 9})
        [task] = bars._progress.tasks
        assert (task.completed, task.total) == (3, 9)
        metrics = {"epoch": 1.0, "loss": 1.0}
        bars.update({"domain": "movies", "metrics": metrics})
        assert (task.completed, task.total) == (1, 5)


def test_a_terminal_gets_a_bar_with_time_left():
    drawn = _told(terminal=True, show=True)
    assert "movies" in drawn
    assert "done, 2 epochs" in drawn
    assert "left" in drawn


def test_nothing_is_written_unless_asked_for():
    assert _told(terminal=False, show=False) == ""
