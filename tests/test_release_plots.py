"""Charts of releases, data, searches and transfers: what is in the drawn specification."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from crossrec import record_plots as records
from crossrec import release_plots as charts
from crossrec.errors import DataError

SHARES = {"interactions": [0.0, 0.8, 1.0], "shown": [0.0, 0.9, 1.0]}
SPREAD = {"label": ["a", "b"], "value": [0.1, 0.2], "low": [0.0, 0.1], "high": [0.2, 0.3]}
TRIALS = {"trial": [1, 2], "value": [0.1, 0.2], "seconds": [5.0, 6.0]}
MAP = {
    "x": [0.0, 1.0],
    "y": [0.0, 1.0],
    "title": ["A", "B"],
    "category": ["c", "d"],
    "found": [True, False],
    "item_id": ["1", "2"],
}
STAGES = {"domain": ["d"], "route": ["r"], "stage": ["s"], "n": [2], "mean_ms": [3.0]}
CALIBRATION = {"n": [9], "predicted": [0.5], "observed": [0.4], "error": [0.1]}
CASES: dict[str, tuple[Callable[..., Any], dict[str, list[Any]], tuple[Any, ...]]] = {
    "rank_changes": (
        charts.rank_changes, {"title": ["A", "B"], "before": [1, None], "after": [2, 1]}, (),
    ),
    "intervals": (charts.intervals, SPREAD, ("NDCG@10",)),
    "counts": (charts.counts, {"label": ["a"], "n": [3]}, ("kind", "users")),
    "popularity": (charts.popularity, {"items": [0.0, 0.5, 1.0], **SHARES}, ("movies",)),
    "calibration": (charts.calibration, CALIBRATION, ("movies",)),
    "exposure": (charts.exposure, {"provider": ["a", "b", "c"], **SHARES}, ()),
    "item_map": (charts.item_map, MAP, ()),
    "parallel": (records.parallel, {**TRIALS, "model.dim": ["x", "y"]}, ("NDCG@10",)),
    "cost": (records.cost, TRIALS, ("NDCG@10",)),
    "trial_curves": (
        records.trial_curves, {"trial": [1], "epoch": [1], "value": [0.1]}, ("NDCG@10",),
    ),
    "matrix": (records.matrix, {"source": ["a"], "target": ["b"], "gain": [-0.1]}, ("gain",)),
    "course": (records.course, {"at": [1.0, 2.0], "n": [3, None]}, ("n", "requests")),
    "feedback": (records.feedback, {"day": ["2026-01-01"], "event": ["like"], "n": [2]}, ()),
    "stages": (records.stages, STAGES, ()),
    "words": (charts.words, {"label": ["dark", "dark", "film"], "value": [0.2, -0.1, 0.3]}, ()),
    "weights": (
        records.weights,
        {"at": [1.0, 2.0], "version": [1, 2], "objective": ["price"] * 2, "weight": [0.1, 0.3]},
        (),
    ),
}  # fmt: skip


def values(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """All rows that a chart holds."""
    return [row for rows in spec["datasets"].values() for row in rows]


@pytest.mark.parametrize("name", CASES)
def test_every_chart_holds_its_figures_and_can_be_saved(name: str, tmp_path) -> None:
    draw, columns, more = CASES[name]
    chart = draw(pl.DataFrame(columns), *more)
    assert values(chart.to_dict())
    chart.save(str(tmp_path / "chart.svg"))
    assert b"<svg" in (tmp_path / "chart.svg").read_bytes()


@pytest.mark.parametrize("name", CASES)
def test_a_frame_that_cannot_be_drawn_is_named(name: str) -> None:
    draw, columns, more = CASES[name]
    frame = pl.DataFrame(columns)
    with pytest.raises(DataError, match="without rows"):
        draw(frame.clear(), *more)
    with pytest.raises(DataError, match="needs a column"):
        draw(frame.drop(frame.columns[0]), *more)


def test_an_item_that_left_the_list_ends_below_it() -> None:
    frame = pl.DataFrame({"title": ["A", "B"], "before": [1, 2], "after": [1, None]})
    rows = values(charts.rank_changes(frame).to_dict())
    [gone] = [row for row in rows if row["title"] == "B" and row["side"] == "after"]
    assert (gone["rank"], gone["listed"], gone["change"]) == (3, False, "down or gone")


def test_settings_whose_last_words_are_alike_are_axes_of_their_own() -> None:
    settings = {"model.dropout": [0.1, 0.2], "adapter.dropout": [0.5, 0.0]}
    frame = pl.DataFrame({"trial": [1, 2], "value": [0.1, 0.2], **settings})
    rows = values(records.parallel(frame, "NDCG@10").to_dict())
    points = {(row["trial"], row["axis"]): row["place"] for row in rows}
    assert len(points) == len(rows) == 2 * 3  # a trial has one point on an axis
    assert (points[1, "model.dropout"], points[1, "adapter.dropout"]) == (0.0, 1.0)


def test_cost_adds_up_the_seconds_and_keeps_the_best() -> None:
    frame = pl.DataFrame({"trial": [1, 2, 3], "value": [0.2, None, 0.1], "seconds": [5, 5, 5]})
    rows = values(records.cost(frame, "NDCG@10").to_dict())
    assert [(row["spent"], row["best"]) for row in rows] == [(5, 0.2), (10, 0.2), (15, 0.2)]


def test_stages_are_means_over_all_that_came_in() -> None:
    frame = pl.DataFrame(
        {
            "domain": ["d", "d"],
            "route": ["r", "r"],
            "stage": ["rank", "encode"],
            "n": [10, 5],  # half of the requests had words
            "mean_ms": [2.0, 8.0],
        }
    )
    rows = values(records.stages(frame).to_dict())
    assert {row["stage"]: row["ms"] for row in rows} == {"rank": 2.0, "encode": 4.0}


def test_a_gain_whose_interval_holds_nothing_is_marked() -> None:
    ends = {"low": [0.01, -0.01, None], "high": [0.03, 0.05, None]}
    frame = pl.DataFrame({"source": list("abc"), "target": ["t"] * 3, "gain": [0.02] * 3, **ends})
    spec = records.matrix(frame, "gain").to_dict()
    assert [row["noise"] for row in values(spec)] == [False, True, False]
    figures = spec["layer"][1]["transform"][0]["calculate"]
    assert figures.startswith("if(datum.noise,")
    assert "'('" in figures
