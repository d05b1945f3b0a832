"""Results of real, very small runs: a simulated city, one or two epochs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import crossrec
from crossrec.domains import load_domain
from crossrec.evaluation.report import Report
from crossrec.monitoring.alarm import Rule
from crossrec.monitoring.report import watch_labels
from crossrec.shown.base import shown_as
from crossrec.shown.results import Tuned
from crossrec.shown.watched import Watched
from crossrec.training.runs import TrainResult
from crossrec.tuning.selection import TrialRecord, TuneResult
from crossrec.verbs.refreshing import Comparison, RefreshReport

SMALL = ["model.dim=16", "training.max_epochs=2", "training.max_users=60"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        patch.setenv("CROSSREC_HOME", str(home))
        crossrec.domain("restaurants_sim").data()
        other = load_domain("restaurants_sim")
        options = {"n_users": 60, "n_items": 100, "seed": 1}
        source = other.source.model_copy(update={"options": options})
        renamed = other.model_copy(update={"name": "other_city", "source": source})
        crossrec.init_domain(renamed)
        crossrec.import_data("other_city")
        yield crossrec.train("restaurants_sim", overrides=SMALL)


def test_a_training_shows_its_curves_and_its_release(trained: Any):
    [one] = trained
    assert isinstance(one, TrainResult)
    assert one.to_polars()["epoch"].to_list() == [1, 2]
    assert one.as_dict()["release"] == one.release
    shown = trained._repr_html_()
    assert f"release {one.release}" in shown
    assert "data:image/svg+xml" in shown
    assert trained.to_pandas().shape[0] == 2
    assert crossrec.release("restaurants_sim").chart() is not None


def test_a_judged_release_shows_models_and_differences(trained: Any):
    judged = crossrec.evaluate("restaurants_sim", baselines=["popularity", "itemknn"])
    assert isinstance(judged, Report)
    frame = judged.to_polars()
    assert set(frame["model"]) == {"crossrec", "popularity", "itemknn"}
    assert frame.filter(model="crossrec")["ours_minus"].item() is None
    assert frame.filter(model="popularity")["ours_minus"].item() is not None
    assert judged.targets().filter(targets="all").height == 3
    assert "simulated, leave_one_out, test, 60 cases" in judged._repr_html_()


def test_folds_show_mean_and_spread(trained: Any):
    report = crossrec.cross_validate("restaurants_sim", folds=3, overrides=SMALL)
    assert report.to_polars()["fold"].to_list() == [1, 2, 3]
    assert "over 3 folds by user" in report._repr_html_()


def test_a_transfer_shows_a_column_a_start(trained: Any, tmp_path: Path):
    report = crossrec.transfer("other_city", to="restaurants_sim", shares=[0.1], overrides=SMALL)
    assert {"scratch", "other_city", "best peer"} <= set(report.rows_shown().columns)
    assert report.to_polars().filter("chosen").height == 1
    gain = report.to_polars().filter(start="other_city").row(0, named=True)
    assert gain["gain_low"] <= gain["gain"] <= gain["gain_high"]
    noise = gain["gain_low"] <= 0 <= gain["gain_high"]
    told = f"({gain['gain']:+.4f})" if noise else f"{gain['gain']:+.4f}"
    assert report.rows_shown()["other_city"].item() == f"{gain['ndcg']:.4f} {told}"
    assert "nearness of other_city" in report._repr_html_()


def test_a_search_shows_its_best_trial_first(tmp_path: Path):
    trials = [
        TrialRecord(1, {"model.dim": 32}, 0.1, "complete", 3),
        TrialRecord(2, {"model.dim": 64}, 0.2, "stopped early", 1),
        TrialRecord(3, {"model.dim": 96}, None, "failed", 0, error="it <broke>"),
    ]
    found = TuneResult("movies", "run", crossrec.settings(), 0.2, trials, tmp_path)
    tuned = shown_as(Tuned, found)
    assert tuned.rows_shown()["trial"].to_list() == [2, 1, 3]
    assert tuned.facts() == {"trial": 2, "model.dim": 64}
    assert "it &lt;broke&gt;" in tuned._repr_html_()
    assert tuned.config_file == found.config_file


def test_a_refresh_says_its_decision():
    few = Comparison(3, 0.1, 0.2, 0.1, (0.05, 0.15))
    report = RefreshReport("movies", "v1", None, 7, few, "nothing published: only 3 cases")
    assert report.to_polars().row(0) == (3, 0.1, 0.2, 0.1, 0.05, 0.15)
    assert "nothing published: only 3 cases" in report._repr_html_()
    nothing = RefreshReport("movies", "v1", None, 0, None, "no feedback")
    assert nothing.to_polars().is_empty()
    assert isinstance(nothing.to_polars(), pl.DataFrame)


def test_a_watched_stream_shows_its_alarms_and_a_panel_a_topic():
    days = [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 31)]
    bad = [5 if day.day == 30 else 1 for day in days]
    rows = [
        {"time": day, "topics": ["<b>"], "label": "negative" if n < n_bad else "positive"}
        for day, n_bad in zip(days, bad, strict=True)
        for n in range(5)
    ]
    labels, rule = ["negative", "positive"], Rule()
    found = watch_labels(
        pl.DataFrame(rows), labels, label="negative", every="1d", rule=rule, n_topics=3
    )
    watched = shown_as(Watched, found)
    assert watched.rows_shown()["start"].dt.day().to_list() == [30]
    assert watched.to_polars().height == 30
    shown = watched._repr_html_()
    assert "negative: 1 of 30 topics&#x27; periods of 1d raise an alarm" in shown
    assert "data:image/svg+xml" in shown
