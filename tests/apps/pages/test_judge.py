"""Pages that judge releases (Compare, Quality, Fairness), by AppTest against a real service."""

from __future__ import annotations

import re
from urllib.parse import parse_qs

import pytest

from crossrec.serving.insight_client import InsightClient
from crossrec.serving.insight_messages import (
    ArmList,
    ArmState,
    ReleaseList,
    ReleaseReport,
)
from crossrec.serving.live_messages import ArmResults
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
    assert r"each by itself: \*f\* (+0.200), \*m\* (+0.200). Of 2 groups" in warning.value
