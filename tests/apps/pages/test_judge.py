"""Pages that judge releases (Compare, Quality, Fairness), by AppTest against a real service."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from urllib.parse import parse_qs

import pytest

from crossrec.serving.client import Client
from crossrec.serving.insight_client import InsightClient
from crossrec.serving.insight_messages import (
    ArmList,
    ArmState,
    Comparison,
    MetricGap,
    ReleaseList,
    ReleaseReport,
)
from crossrec.serving.live_messages import ArmResults
from crossrec.serving.messages import DomainCard
from tests.apps.pages.opened import Open, said
from tests.small_home import N_CASES


def test_two_releases_are_set_beside_each_other(open_page: Open, versions: list[str]) -> None:
    app = open_page("compare")
    assert app.selectbox(key="b").value == versions[1]
    assert app.selectbox(key="a").value == versions[0]
    assert f"over {N_CASES} users" in said(app)
    assert re.search(r"protocol leave_one_out · data [0-9a-f]{1,12}$", said(app), re.MULTILINE)
    assert {"NDCG@10", "Recall@10", "MRR@10"} <= {one.label for one in app.metric}
    assert len(app.get("vega_lite_chart")) == 3
    app.selectbox(key="one").set_value(app.selectbox(key="one").options[3]).run()
    assert not app.exception
    app.selectbox(key="a").set_value(versions[1]).run()
    assert "+0.0000" in said(app)


def test_comparing_goes_on_in_another_domain(open_page: Open, versions: list[str]) -> None:
    app = open_page("compare")
    app.session_state["item"] = None  # as choosing a domain leaves it
    app.run()
    assert not app.exception
    assert app.selectbox(key="one").value


def test_a_link_names_domain_and_releases_that_nobody_chose(
    open_page: Open, versions: list[str]
) -> None:
    app = open_page("compare", who="user-1")
    [link] = [one.value for one in app.markdown if "Link to this view" in one.value]
    asked = parse_qs(link.partition("?")[2].removesuffix(")"))
    assert {asked["a"][0], asked["b"][0]} == set(versions)
    assert asked["domain"]


def test_releases_that_were_judged_otherwise_are_not_compared(
    open_page: Open, versions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    releases = InsightClient.releases

    def other_data(self: InsightClient, domain: str) -> ReleaseList:
        found = releases(self, domain)
        found.releases[-1] = found.releases[-1].model_copy(update={"data_hash": "d" * 64})
        return found

    monkeypatch.setattr(InsightClient, "releases", other_data)
    app = open_page("compare")
    assert app.selectbox(key="a").options == [versions[1]]
    assert "1 left out: judged by another protocol or data." in said(app)
    assert "Nothing else was judged as this release was" in said(app)
    assert not app.error


def test_arms_of_an_experiment_are_shown_and_compared(
    open_page: Open, versions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = {"n_answers": 90, "n_anonymous": 0, "n_impressions": 0, "n_positive": 30}
    lift = {"rate": 1 / 3, "rate_ci95": (0.2, 0.4), "lift": 0.1, "lift_ci95": (-0.1, 0.3)}
    control = ArmResults(arm="control", n_users=30, rate=0.3, **counted)
    newer = ArmResults(arm="newer", n_users=30, **counted, **lift)
    arms = [
        ArmState(name="control", release=versions[0], share=0.5, results=control),
        ArmState(name="newer", release=versions[1], share=0.5, results=newer),
    ]
    told = ArmList(experiment="exp-1", running=True, arms=arms)
    monkeypatch.setattr(InsightClient, "arms", lambda self, domain: told)
    app = open_page("compare", b=versions[0], a=versions[1])
    assert "Experiment exp-1 runs." in said(app)
    assert list(app.dataframe[0].value["lift_high"])[1] == 0.3
    app.button(key="arm.newer").click().run()
    assert not app.exception
    assert (app.selectbox(key="b").value, app.selectbox(key="a").value) == (
        versions[1],
        versions[0],
    )


def test_quality_shows_peers_groups_and_what_was_not_run(open_page: Open) -> None:
    app = open_page("quality")
    assert "60 test users" in said(app)
    assert len(app.get("vega_lite_chart")) == 4
    assert "--reasons 100" in said(app)
    assert list(app.dataframe[0].value["model"]) == ["crossrec", "popularity"]


OF_TASKS = {
    "rate": {"rmse": 0.9, "mae": 0.7},
    "classify": {"accuracy": 0.6, "macro_f1": 0.5},
    "rank": {"set_ndcg@10": 0.4},
}
"""Task → figures that its reports have beside those of the ranking (`set_ndcg@10`: of requests)."""
FIRST = {"rate": "RMSE", "classify": "macro-F1", "rank": "NDCG@10, all right answers"}


def of_task(task: str) -> Callable[[InsightClient, str, str], ReleaseReport]:
    """In place of `InsightClient.report`: our model has the figures of the task too."""
    report = InsightClient.report

    def told(self: InsightClient, domain: str, version: str = "current") -> ReleaseReport:
        found = report(self, domain, version)
        found.report["rows"][0]["figures"] |= OF_TASKS[task]
        return found

    return told


@pytest.mark.parametrize("task", OF_TASKS)
def test_figures_of_a_task_stand_beside_the_peers(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    monkeypatch.setattr(InsightClient, "report", of_task(task))
    app = open_page("quality")
    from app_pages import view

    choice = app.segmented_control(key="metric")
    assert choice.value == choice.options[0] == FIRST[task]
    assert choice.options[-3:] == ["NDCG@10", "Recall@10", "MRR@10"]
    parts = app.session_state[view.PARTS]
    spec = parts["chart", "Metric of each model with its interval"].to_dict()
    better = "lower" if task == "rate" else "higher"
    title = spec["layer"][0]["encoding"]["x"]["title"]
    assert title == f"{FIRST[task]} ({better} is better)"
    assert "Not shown, as they have no such figure: popularity." in said(app)
    choice.set_value("NDCG@10").run()
    assert "Not shown" not in said(app)


def test_a_figure_that_another_release_lacks_gives_way_to_its_first(
    open_page: Open, versions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    report, rated = InsightClient.report, of_task("rate")
    monkeypatch.setattr(
        InsightClient,
        "report",
        lambda self, domain, v: (rated if v == versions[1] else report)(self, domain, v),
    )
    app = open_page("quality", metric="MAE")
    assert app.segmented_control(key="metric").value == "MAE"
    app.selectbox(key="release").set_value(versions[0]).run()
    assert not app.exception
    assert app.segmented_control(key="metric").value == "NDCG@10"


@pytest.mark.parametrize("task", OF_TASKS)
@pytest.mark.parametrize("lang", ["English", "中文"])
def test_tables_of_every_task_have_headings(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, task: str, lang: str
) -> None:
    monkeypatch.setattr(InsightClient, "report", of_task(task))
    app = open_page("quality", lang=lang)
    table = app.dataframe[0]
    labels = json.loads(table.proto.columns)
    heads = {name: labels[name]["label"] for name in table.value.columns}
    from app_pages.headings import HEADINGS

    assert heads.keys() <= HEADINGS.keys()
    if lang == "中文":
        english = {one for one in heads.values() if not re.search("[\u4e00-\u9fff]", one)}
        assert english <= {"NDCG@10", "Recall@10", "MRR@10", "RMSE", "MAE"}


def test_a_chosen_figure_stays_chosen_in_the_other_language(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InsightClient, "report", of_task("classify"))
    app = open_page("quality", metric="accuracy")
    assert app.segmented_control(key="metric").value == "accuracy"
    app.segmented_control(key="lang").set_value("中文").run()
    assert app.segmented_control(key="metric").value == "准确率"


def test_releases_are_compared_by_the_figures_of_their_task(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = InsightClient.compare

    def rated(self: InsightClient, domain: str, a: str, b: str) -> Comparison:
        found = compare(self, domain, a, b)
        found.metrics.insert(0, MetricGap(metric="rmse", a=1.0, b=0.9, gap=-0.1))
        return found

    monkeypatch.setattr(InsightClient, "compare", rated)
    app = open_page("compare")
    assert app.metric[0].label == "RMSE (lower is better)"
    assert "no interval, because an evaluation of before kept no errors of single" in said(app)


def test_a_domain_is_known_by_the_figures_of_its_task(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Client.card

    def rated(self: Client, domain: str) -> DomainCard:
        found = card(self, domain)
        figures = found.metrics["metrics"] | OF_TASKS["rate"]
        return found.model_copy(update={"metrics": found.metrics | {"metrics": figures}})

    monkeypatch.setattr(Client, "card", rated)
    shown = [one.label for one in open_page("domains").metric]
    assert shown == ["RMSE (lower is better)", "MAE (lower is better)", "NDCG@10"]


def test_fairness_compares_groups_that_are_large_enough(open_page: Open) -> None:
    app = open_page("fairness")
    assert "at least 20 users" in said(app)
    assert list(app.dataframe[0].value["value"]) == ["f", "m"]
    assert set(app.dataframe[1].value["provider"]) == {"comedy", "space", "horror"}


def test_a_group_apart_is_named_as_it_is_written(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = InsightClient.report

    def apart(self: InsightClient, domain: str, version: str = "current") -> ReleaseReport:
        found = report(self, domain, version)
        for row in found.groups:
            row |= {"value": f"*{row['value']}*", "ndcg@10_gap": [0.2, 0.1, 0.3]}
        return found

    monkeypatch.setattr(InsightClient, "report", apart)
    [warning] = open_page("fairness").warning
    assert r"each by itself\: \*f\* \(\+0.200\), \*m\* \(\+0.200\). Of 2 groups" in warning.value
