"""Two evaluations beside each other: only such as are alike, and only their common cases."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from crossrec.errors import ReleaseError
from crossrec.evaluation import saved
from crossrec.evaluation.detail import CaseNotes, Detail
from crossrec.serving.comparing import compare, compare_item

ITEMS = [("a", "A"), ("b", "B"), ("c", "C")]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSREC_HOME", str(tmp_path))


def keep(
    version: str,
    tops: dict[str, int],
    protocol: str = "leave_one_out",
    data: str = "c",
    errors: list[float] | None = None,
    **figures: float,
):
    """Save an evaluation: user → the one item of their list; everybody chose item b."""
    n = len(tops)
    notes = CaseNotes(n)
    notes.ranks[:] = 1
    notes.top[:, 0] = list(tops.values())
    ones = np.ones(n, np.int64)
    warm, off = ones.astype(np.bool_), None if errors is None else np.array(errors)
    detail = Detail(list(tops), ones, ones, warm, notes, np.array([5, 4, 1]), off)
    rows = [{"model": "crossrec", "origin": "ours", "figures": figures}]
    report = {"protocol": protocol, "data_hash": data * 64, "rows": rows}
    saved.save("films", version, {"report": report}, detail, ITEMS)


def test_places_are_counted_over_common_cases_alone():
    keep("v1", {"u1": 0, "u2": 0, "only here": 2})
    keep("v2", {"u1": 1, "u2": 0, "only there": 2, "nor here": 2})
    found = compare("films", "v1", "v2")
    assert (found.n, found.n_a, found.n_b) == (2, 3, 4)
    changes = {row["item_id"]: (row["shown_a"], row["shown_b"]) for row in found.items}
    assert changes == {"a": (2, 1), "b": (0, 1), "c": (0, 0)}
    one = compare_item("films", "v1", "v2", "a")
    assert (one.shown_a, one.shown_b, one.n_targets) == (2, 1, 0)
    assert compare_item("films", "v1", "v2", "b").hits_a == 2


RANKING = ["ndcg@10", "recall@10", "mrr@10"]


def test_figures_of_labels_are_compared_with_their_intervals():
    keep("v1", {"u1": 0, "u2": 0}, accuracy=0.0, macro_f1=0.0)
    keep("v2", {"u1": 1, "u2": 0}, accuracy=0.5, macro_f1=1 / 3)
    found = compare("films", "v1", "v2").metrics
    assert [one.metric for one in found] == ["macro_f1", "accuracy", *RANKING]
    # Of v2 the label b is told once and is true twice, a is told once and never true.
    assert (found[0].a, found[0].b) == (0.0, (2 * 1 / 3 + 0) / 2)
    assert (found[1].a, found[1].b, found[1].gap) == (0.0, 0.5, 0.5)
    for one in found[:2]:  # draws of u1 alone, of u2 alone
        assert (one.low, one.high) == (0.0, 1.0)


def test_errors_of_ratings_are_compared_with_their_intervals():
    keep("v1", {"u1": 0, "u2": 0}, errors=[2.0, -2.0], rmse=2.0, mae=2.0)
    keep("v2", {"u1": 0, "u2": 0}, errors=[1.0, 0.0], rmse=0.5**0.5, mae=0.5)
    rmse, mae = compare("films", "v1", "v2").metrics[:2]
    assert (rmse.metric, rmse.a, rmse.b) == ("rmse", 2.0, 0.5**0.5)
    assert (mae.metric, mae.a, mae.b, mae.gap) == ("mae", 2.0, 0.5, -1.5)
    for one in (rmse, mae):  # draws of u2 alone, of u1 alone
        assert (one.low, one.high) == (-2.0, -1.0)


def test_an_evaluation_of_before_errors_were_kept_is_compared_without_an_interval():
    keep("v1", {"u1": 0}, errors=[1.0], rmse=1.0, mae=1.0)
    keep("v2", {"u1": 0}, errors=[1.0], rmse=1.5, mae=1.25)
    with closing(sqlite3.connect(saved.path_of("films", "v2"))) as database:
        database.execute("ALTER TABLE cases DROP COLUMN error")
    found = compare("films", "v1", "v2").metrics
    assert [(one.metric, one.gap, one.low) for one in found[:2]] == [
        ("rmse", 0.5, None),
        ("mae", 0.25, None),
    ]


def test_ratings_without_errors_of_single_cases_are_compared_as_they_were_measured():
    keep("v1", {"u1": 0}, rmse=1.5, mae=1.0)
    keep("v2", {"u1": 0}, rmse=1.25, mae=1.0)
    found = compare("films", "v1", "v2").metrics
    assert [(one.metric, one.gap) for one in found[:2]] == [("rmse", -0.25), ("mae", 0.0)]
    keep("v3", {"u1": 0})  # of another task
    assert [one.metric for one in compare("films", "v1", "v3").metrics] == RANKING


@pytest.mark.parametrize("other", [{"protocol": "by_time"}, {"data": "d"}])
def test_releases_that_were_judged_in_different_ways_are_not_compared(other: dict[str, str]):
    keep("v1", {"u1": 0})
    keep("v2", {"u1": 0}, **other)
    way = f"'{other.get('protocol', 'leave_one_out')}' on data {other.get('data', 'c') * 12};"
    for ask in (compare, lambda *which: compare_item(*which, "a")):
        with pytest.raises(
            ReleaseError, match=f"'leave_one_out' on data cccccccccccc, v2 by {way}"
        ):
            ask("films", "v1", "v2")
