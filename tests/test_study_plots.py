"""Charts of studies: what is drawn, and clear errors for frames that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from crossrec import study_plots
from crossrec.chart_parts import Chart
from crossrec.errors import DataError

TARGETS = pl.DataFrame(
    {"model": ["a", "a", "b"], "targets": ["warm", "cold", "cold"], "value": [0.2, 0.1, 0.3]}
).with_columns(n=pl.lit(40))
ROUNDS = pl.DataFrame({"round": [1, 2], "arm": ["before", "before"], "value": [0.1, 0.2]})
TRADE = pl.DataFrame({"way": ["frozen", "LoRA"], "x": [3.0, 60.0], "y": [0.2, 0.21]})
POINTS = pl.DataFrame({"label": ["soup", "ice cream"], "x": [1.0, -1.0], "y": [0.3, 0.1]})
TRIALS = pl.DataFrame(
    {
        "value": [0.1, 0.2, None],
        "state": ["complete", "stopped early", "failed"],
        "training.learning_rate": [1e-4, 1e-2, 1e-3],
        "adapter.targets": ["query", "dense", "query"],
    }
)
PARTS = pl.DataFrame(
    {"rank": [1, 1, 2], "kind": ["history", "history", "context"], "value": [1.0, 2.0, -1.0]}
)
DELETED = pl.DataFrame({"removed": [0, 2], "order": ["as explained"] * 2, "score": [3.0, 1.0]})


def rows(chart: Chart, number: int = 0) -> list[dict[str, Any]]:
    """A data set of the chart, as drawn."""
    return list(list(chart.to_dict()["datasets"].values())[number])


def test_targets_say_how_many_cases_are_behind_them():
    assert {row["label"] for row in rows(study_plots.targets(TARGETS))} == {
        "warm (40 cases)",
        "cold (40 cases)",
    }


def test_kinds_are_mean_sizes_over_all_items_also_those_without_them():
    found = {row["kind"]: row["value"] for row in rows(study_plots.kinds(PARTS))}
    assert found == {"history": 1.5, "context": 0.5}


def test_a_kind_that_raises_one_item_and_lowers_another_is_not_nothing():
    parts = pl.DataFrame({"rank": [1, 2], "kind": ["context"] * 2, "value": [1.0, -1.0]})
    [found] = rows(study_plots.kinds(parts))
    assert found["value"] == 1.0


def test_a_setting_of_words_has_an_axis_of_categories_and_a_wide_one_a_logarithm():
    chart = study_plots.settings(TRIALS, ["training.learning_rate", "adapter.targets"]).to_dict()
    rate, targets = (panel["encoding"]["x"] for panel in chart["vconcat"][0]["hconcat"])
    assert rate["scale"]["type"] == "log"
    assert (rate["title"], targets["type"]) == ("learning rate", "nominal")


def test_settings_whose_last_words_are_alike_have_titles_of_their_own():
    names = ["model.dropout", "adapter.dropout", "adapter.rank"]
    values = dict.fromkeys(names, 0.5)
    frame = pl.DataFrame({"value": [0.1], "state": ["complete"], **values})
    found = study_plots.settings(frame, names).to_dict()["vconcat"]
    titles = [one["encoding"]["x"]["title"] for row in found for one in row["hconcat"]]
    assert titles == ["model.dropout", "adapter.dropout", "rank"]


def test_rounds_are_called_what_they_are_and_may_have_a_level():
    chart = study_plots.rounds(ROUNDS, "NDCG@10", best=0.5, steps="epoch").to_dict()
    assert chart["layer"][0]["encoding"]["x"]["title"] == "epoch"
    assert [{"y": 0.5}] in chart["datasets"].values()


DRAWN: list[tuple[Callable[[pl.DataFrame], Chart], pl.DataFrame, str]] = [
    (study_plots.targets, TARGETS, "targets"),
    (lambda frame: study_plots.rounds(frame, "value"), ROUNDS, "arm"),
    (lambda frame: study_plots.tradeoff(frame, "cost", "gain"), TRADE, "way"),
    (lambda frame: study_plots.agreement(frame, "true", "said"), POINTS, "label"),
    (lambda frame: study_plots.settings(frame, ["adapter.targets"]), TRIALS, "state"),
    (study_plots.kinds, PARTS, "kind"),
    (study_plots.deletion, DELETED, "order"),
]


@pytest.mark.parametrize(("draw", "frame", "column"), DRAWN)
def test_each_chart_can_be_drawn_and_says_what_a_frame_lacks(
    draw: Callable[[pl.DataFrame], Chart], frame: pl.DataFrame, column: str
):
    vl_convert = pytest.importorskip("vl_convert")
    assert "<svg" in vl_convert.vegalite_to_svg(draw(frame).to_json())
    with pytest.raises(DataError, match=f"needs a column '{column}'"):
        draw(frame.drop(column))
    with pytest.raises(DataError, match="without rows"):
        draw(frame.clear())
