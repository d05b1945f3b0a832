"""The record of trials survives a cut, the best is chosen, and its YAML trains."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from crossrec import plots
from crossrec.config import RunConfig, load_config
from crossrec.errors import TrainingError
from crossrec.tuning.selection import TRIALS_FILE, TrialRecord, append_trial, read_trials, select
from crossrec.tuning.spaces import Options, Space, Span

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
    rows = [line for line in text.splitlines() if "│" in line]
    assert "0.0800" in rows[0]
    assert "failed" in rows[-1]


def test_the_trials_can_be_drawn(tmp_path: Path):
    result = select("movies", "r", RunConfig(), SPACE, _recorded(tmp_path))
    drawn = plots.trials(result.frame()).to_dict()
    [rows] = drawn["datasets"].values()
    assert [row["best"] for row in rows] == [0.05, 0.08, 0.08]


def test_without_a_figure_the_first_error_is_told(tmp_path: Path):
    append_trial(tmp_path, TRIALS[2])
    with pytest.raises(TrainingError, match=r"no trial of 'movies' gave a figure \(1 ran\): boom"):
        select("movies", "r", RunConfig(), SPACE, tmp_path)
