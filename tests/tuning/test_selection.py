"""The record of trials survives a cut, the best is chosen, and its YAML trains."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import polars as pl
import pytest
from rich.console import Console

from crossrec import plots
from crossrec.config import RunConfig, load_config
from crossrec.errors import TrainingError
from crossrec.tuning.selection import TRIALS_FILE, TrialRecord, append_trial, read_trials, select
from crossrec.tuning.spaces import Options, Space, Span, default_space

SPACE: Space = {
    "model.dropout": Span(low=0.0, high=0.5),
    "model.dim": Options(options={"small": 32, "large": 64}),
}
TRIALS = [
    TrialRecord(2, {"model.dropout": 0.3, "model.dim": "large"}, 0.08, "complete", 9, 2.0),
    TrialRecord(1, {"model.dropout": 0.1, "model.dim": "small"}, 0.05, "stopped early", 3, 1.0),
    TrialRecord(3, {"model.dropout": 0.4, "model.dim": "small"}, None, "failed", 0, 0.5, "boom"),
]


def _recorded(folder: Path) -> Path:
    for one in TRIALS:
        append_trial(folder, one)
    return folder


def test_a_line_that_was_cut_off_is_left_out_and_replaced(tmp_path: Path):
    path = _recorded(tmp_path) / TRIALS_FILE
    path.write_text(path.read_text()[:-5])
    assert read_trials(tmp_path) == TRIALS[:2]
    append_trial(tmp_path, TRIALS[2])
    assert read_trials(tmp_path) == TRIALS
    assert read_trials(tmp_path / "empty") == []


def test_records_of_former_versions_are_read_without_what_is_kept_no_more(tmp_path: Path):
    append_trial(tmp_path, TRIALS[0])
    path = tmp_path / TRIALS_FILE
    path.write_text(path.read_text().replace('"figures": []', '"curve": [0.1]'))
    assert read_trials(tmp_path) == TRIALS[:1]


def test_the_best_config_is_one_yaml_that_training_takes(tmp_path: Path):
    base = load_config(overrides=["training.max_epochs=7"])
    result = select("movies", "r", base, SPACE, _recorded(tmp_path))
    assert result.value == 0.08
    loaded = load_config(result.config_file)
    assert loaded == result.config
    assert (loaded.model.dropout, loaded.model.dim, loaded.training.max_epochs) == (0.3, 64, 7)


def test_the_table_has_a_row_a_trial_in_order_of_start(tmp_path: Path):
    result = select("movies", "r", RunConfig(), SPACE, _recorded(tmp_path))
    frame = result.frame()
    assert frame["trial"].to_list() == [1, 2, 3]
    assert frame["model.dim"].to_list() == ["small", "large", "small"]
    assert pl.read_parquet(tmp_path / "trials.parquet").equals(frame)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(result.table())
    text = console.export_text()
    assert "NDCG@10 of the sequence model before fusion" in " ".join(text.split())
    best, _, last = [line for line in text.splitlines() if line[:1].isdigit()]
    assert "0.0800" in best
    assert "failed" in last


@pytest.mark.parametrize("mode", ["frozen", "adapted"])
def test_figures_are_whole_on_a_narrow_terminal(tmp_path: Path, mode: Literal["frozen", "adapted"]):
    space = default_space(mode)
    point = {
        name: next(iter(way.options)) if isinstance(way, Options) else 0.0123
        for name, way in space.items()
    }
    append_trial(tmp_path, TrialRecord(1, point, 0.0912, "stopped early", 12, 1.0))
    table = select("movies", "r", load_config(), space, tmp_path).table()
    console = Console(width=80, record=True, file=io.StringIO(), soft_wrap=True)
    console.print(table)
    text = console.export_text()
    assert "0.0912" in text
    assert mode == "adapted" or max(map(len, text.splitlines())) <= 80
    assert text.count("0.0123") == sum(isinstance(way, Span) for way in space.values())
    assert "…" not in text
    headings = [str(column.header) for column in table.columns]
    assert len(set(headings)) == len(headings)


def test_the_trials_can_be_drawn(tmp_path: Path):
    result = select("movies", "r", RunConfig(), SPACE, _recorded(tmp_path))
    drawn = plots.trials(result.frame()).to_dict()
    [rows] = drawn["datasets"].values()
    assert [row["best"] for row in rows] == [0.05, 0.08, 0.08]


def test_without_a_figure_the_first_error_is_told(tmp_path: Path):
    append_trial(tmp_path, TRIALS[2])
    with pytest.raises(TrainingError, match=r"no trial of 'movies' gave a figure \(1 ran\): boom"):
        select("movies", "r", RunConfig(), SPACE, tmp_path)
