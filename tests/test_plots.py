"""Charts: what is drawn, in which colour, and clear errors for frames that do not fit."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crossrec import chart_parts, plots
from crossrec.errors import ConfigError, DataError
from crossrec.models.signals import SIGNALS

PARTS = pl.DataFrame(
    [
        {"kind": "history", "label": "Alien", "value": 0.5},
        {"kind": "history", "label": "Alien", "value": -0.125},
        {"kind": "base", "label": "base", "value": -0.25},
        {"kind": "request", "label": "space", "value": 0.25},
        {"kind": "popularity", "label": "popularity", "value": 0.125},
    ]
)


def rows(chart: chart_parts.Chart) -> list[dict[str, Any]]:
    """The data a chart carries, as drawn."""
    (data,) = chart.to_dict()["datasets"].values()
    return list(data)


def test_waterfall_steps_touch_and_end_at_the_score() -> None:
    steps = rows(plots.explanation(PARTS))
    assert [step["label"] for step in steps[:2]] == ["base", "popularity"]
    for before, after in itertools.pairwise(steps[:-1]):
        assert after["start"] == before["end"]
    assert steps[-1]["label"] == "score"
    assert steps[-1]["end"] == steps[-2]["end"] == 0.5


def test_parts_beyond_the_limit_are_one_bar_and_the_score_stays() -> None:
    steps = rows(plots.explanation(PARTS, n_parts=2))
    assert [step["label"] for step in steps] == ["base", "popularity", "3 more", "score"]
    assert steps[2]["value"] == 0.5 - 0.125 + 0.25
    assert steps[3]["end"] == 0.5


def test_two_items_of_one_title_keep_their_own_bars() -> None:
    axis = plots.explanation(PARTS).to_dict()["layer"][0]["encoding"]["y"]["axis"]
    assert axis["labelExpr"].count('"Alien"') == 2


def test_a_domain_has_one_colour_in_every_chart() -> None:
    curves = pl.DataFrame({"domain": ["movies"], "epoch": [1], "loss": [2.0], "metric": [0.1]})
    scores = pl.DataFrame({"domain": ["movies"], "model": ["m"], "kind": ["ours"], "value": [0.1]})
    colour = chart_parts.domain_colour("movies")
    for chart in (plots.learning_curves(curves), plots.metrics(scores)):
        assert colour in str(chart.to_dict())


def test_demo_domains_have_different_colours() -> None:
    names = ("movies", "grocery", "restaurants_sim")
    assert len({chart_parts.domain_colour(name) for name in names}) == 3


def test_metrics_names_the_users_and_draws_one_panel_a_domain() -> None:
    row = {"model": "ours", "kind": "ours", "value": 0.1, "low": 0.09, "high": 0.11}
    frame = pl.DataFrame(
        [{**row, "domain": "movies", "n_users": 943}, {**row, "domain": "grocery", "n_users": 1200}]
    )
    panels = plots.metrics(frame).to_dict()["vconcat"]
    assert {panel["title"] for panel in panels} == {"movies, 943 users", "grocery, 1,200 users"}


def test_metrics_says_which_way_is_better_and_intervals_only_where_there_are_some() -> None:
    row = {"domain": "movies", "model": "m", "kind": "ours", "value": 0.1}

    def drawn(*more: str, **options: bool) -> tuple[str, str]:
        frame = pl.DataFrame([{**row, **dict.fromkeys(more, 0.1)}])
        spread = plots.metrics(frame, "RMSE", **options).to_dict()["layer"][0]["encoding"]
        return spread["x"]["title"], spread["y"]["sort"]["order"]

    higher = "RMSE (higher is better)"
    assert drawn() == (higher, "descending")
    assert drawn("low", "high") == (f"{higher}, 95 % intervals", "descending")
    assert drawn(lower_is_better=True) == ("RMSE (lower is better)", "ascending")


def test_best_so_far_skips_trials_without_a_figure() -> None:
    frame = pl.DataFrame({"trial": [2, 0, 1], "value": [0.2, 0.1, None]})
    assert [row["best"] for row in rows(plots.trials(frame))] == [0.1, 0.1, 0.2]


def test_timeline_keeps_the_newest_in_front() -> None:
    frame = pl.DataFrame(
        {
            "title": ["old", "new"],
            "event": ["rating", "like"],
            "timestamp": [10, 20],
            "source": ["training", "feedback"],
        }
    )
    assert [row["title"] for row in rows(plots.timeline(frame, n_items=1))] == ["new"]


def test_activity_counts_users_in_bins_that_double() -> None:
    frame = pl.DataFrame({"domain": ["movies"] * 5, "n_interactions": [1, 2, 3, 4, 7]})
    assert {row["low"]: row["n_rows"] for row in rows(plots.activity(frame))} == {1: 1, 2: 2, 4: 2}


def test_signal_bars_sum_to_the_score_from_zero() -> None:
    frame = pl.DataFrame(
        {"rank": [1, 1], "title": ["Alien"] * 2, "signal": ["text", "sequence"], "value": [1, 2]}
    )
    spec = plots.signals(frame).to_dict()
    assert spec["encoding"]["x"]["stack"] == "zero"
    assert spec["encoding"]["color"]["scale"]["domain"] == ["sequence", "text"]


def test_a_misspelt_column_is_named_with_its_near_match() -> None:
    with pytest.raises(DataError, match=r"needs a column 'label'.*did you mean 'labels'"):
        plots.explanation(PARTS.rename({"label": "labels"}))


def test_an_empty_frame_is_refused_in_words() -> None:
    with pytest.raises(DataError, match="without rows"):
        plots.trials(pl.DataFrame({"trial": [], "value": []}))


@pytest.mark.parametrize(("ending", "magic"), [(".png", b"\x89PNG"), (".svg", b"<svg")])
def test_save_writes_a_picture(tmp_path: Path, ending: str, magic: bytes) -> None:
    path = plots.save(plots.explanation(PARTS), tmp_path / f"parts{ending}")
    assert path.read_bytes().startswith(magic)


def test_save_names_the_endings_it_knows(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected \.png or \.svg"):
        plots.save(plots.explanation(PARTS), tmp_path / "parts.pdf")


def test_every_signal_of_a_model_has_a_colour_of_its_own() -> None:
    names = [signal.name for signal in SIGNALS]
    assert len({chart_parts.SIGNAL_COLOURS[name] for name in names}) == len(names)
