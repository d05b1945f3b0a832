"""Every page beside Explore, run by AppTest against a real small service."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from crossrec.serving.auth import KeyRing
from crossrec.serving.client import Client
from crossrec.serving.insight_client import InsightClient
from crossrec.serving.insight_messages import ArmList, ArmState, ReleaseList, ReleaseReport
from crossrec.serving.live_messages import ArmResults
from crossrec.serving.messages import RecommendRequest, RecommendResponse
from tests.apps.conftest import APPS
from tests.small_home import N_CASES, RUN, make_small_home, small_service

PAGES = (
    *("whatif", "compare", "quality", "fairness", "item_map", "data"),
    *("domains", "experiments", "transfer", "live"),
)
Open = Callable[..., AppTest]


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSREC_HOME", str(home))
        yield make_small_home(home)


@pytest.fixture(scope="module")
def service(versions: list[str]) -> Iterator[str]:
    with small_service() as address:
        yield address


@pytest.fixture
def open_page(service: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens a page at an address: `open_page("compare", a="…")`."""
    monkeypatch.syspath_prepend(str(APPS))
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setenv("CROSSREC_API", os.environ.get("CROSSREC_API", service))
    st.cache_data.clear()
    st.cache_resource.clear()

    def visit(page: str, **query: str) -> AppTest:
        app = AppTest.from_file(str(APPS / "streamlit_app.py"), default_timeout=60)
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
        for name, value in query.items():
            app.query_params[name] = value
        # AppTest (Streamlit 1.67) hands a page its bound values from the second run on.
        app.switch_page(f"app_pages/{page}.py").run()
        app.run()
        assert not app.exception, app.exception[0].value
        return app

    yield visit
    st.cache_data.clear()
    st.cache_resource.clear()


def said(app: AppTest) -> str:
    """All words on the page."""
    kinds = (app.subheader, app.markdown, app.caption, app.info, app.success, app.error, app.metric)
    words = [one.value if kind is not app.metric else one.label for kind in kinds for one in kind]
    return "\n".join([*map(str, words), *(str(one.value) for one in app.metric)])


def made(open_page: Open, page: str, **query: str) -> AppTest:
    """A page whose data the service makes at the first question."""
    for _ in range(200):
        app = open_page(page, **query)
        if not any("hourglass" in one.icon for one in app.info):  # in any language
            return app
    raise AssertionError("it was never made")


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_with_its_question_and_can_be_taken_home(
    open_page: Open, page: str
) -> None:
    app = made(open_page, page)
    assert not app.error
    assert app.subheader[0].value
    assert app.caption[0].value.endswith(("?", "release."))
    assert any(one.label == "This view as HTML" for one in app.get("download_button"))


@pytest.mark.parametrize("page", PAGES)
def test_every_page_speaks_chinese(open_page: Open, page: str) -> None:
    app = made(open_page, page, lang="中文")
    assert ord(app.subheader[0].value[0]) >= 0x4E00
    assert any(one.label == "将此视图存为 HTML" for one in app.get("download_button"))


def test_charts_speak_chinese_too(open_page: Open) -> None:
    titles: set[str] = set()
    for page in ("whatif", "compare", "quality", "experiments", "transfer"):
        app = open_page(page, lang="中文", user="user-1", wish2="horror")
        for chart in app.get("vega_lite_chart"):
            titles |= set(titles_of(json.loads(chart.proto.spec)))
    known = {"NDCG@10", "Recall@10", "MRR@10", "NDCG@10, 95 %"}
    english = {one for one in titles if one.strip() and not re.search("[\u4e00-\u9fff]", one)}
    assert english <= known
    assert {"名次", "模型", "起始于"} <= titles


def titles_of(spec: object) -> Iterator[str]:
    """Titles of axes, legends and charts, wherever they stand."""
    parts = spec.items() if isinstance(spec, dict) else enumerate(spec)
    for name, value in parts:
        if name == "title" and isinstance(value, str):
            yield value
        elif isinstance(value, dict | list) and name not in ("tooltip", "datasets", "data"):
            yield from titles_of(value)


def test_users_are_found_by_what_they_had(open_page: Open) -> None:
    app = open_page("whatif")
    app.text_input(key="find_user").set_value("horror number 2").run()
    found = [one for one in app.button if (one.key or "").startswith("found.")]
    assert found
    assert "horror number 2" in found[0].label
    found[0].click().run()
    assert not app.exception
    assert app.selectbox(key="user").value == found[0].key.removeprefix("found.")
    app.text_input(key="find_user").set_value("zzz").run()
    assert "Nobody was found." in said(app)


def test_somebody_is_described_by_what_they_had_and_words(open_page: Open) -> None:
    app = open_page("whatif")
    app.switch_page("app_pages/explore.py").run()
    app.segmented_control(key="asker").set_value("Described").run()
    app.text_input(key="find_had").set_value("horror number 2").run()
    app.multiselect(key="had").set_value(app.multiselect(key="had").options[:1]).run()
    app.text_input(key="wish").set_value("a friend of space films").run()
    assert not app.exception
    assert "for the user described" in said(app)
    assert "based on history, request" in said(app)


def test_an_item_is_shown_with_all_its_fields(open_page: Open) -> None:
    app = open_page("explore", user="user-1", panel="Item")
    fields = dict(app.dataframe[0].value.values.tolist())
    assert fields["item_id"].startswith("film-")
    assert {"category", "year", "price", "studio", "tags"} <= fields.keys()


def test_words_of_an_items_own_text_are_weighed(open_page: Open) -> None:
    app = open_page("explore", user="user-1", panel="Item")
    assert "Words of its own text" in said(app)
    assert len(app.get("vega_lite_chart")) == 1


def test_what_if_the_user_had_not_seen_it(open_page: Open) -> None:
    app = open_page("whatif", user="user-1")
    assert "Nothing is changed yet" in said(app)
    history = app.multiselect(key="out").options
    app.multiselect(key="out").set_value(history[:1]).run()
    assert not app.exception
    assert "Nothing is changed yet" not in said(app)
    frame = app.dataframe[0].value
    assert history[0] in set(frame["title"].dropna())  # what one has not had may be recommended
    app.text_input(key="wish2").set_value("horror").run()
    assert not app.dataframe[0].value.equals(frame)


def test_an_item_is_found_and_added_to_the_history(open_page: Open) -> None:
    app = open_page("whatif", user="user-1", find="horror number 2", k="50")
    first = app.multiselect(key="add").options[0]
    item_id = first.rpartition("(")[2].removesuffix(")")
    assert item_id in set(app.dataframe[0].value["item_id"])
    app.multiselect(key="add").set_value([first]).run()
    assert not app.exception
    assert item_id not in set(app.dataframe[0].value.dropna(subset=["after"])["item_id"])
    again = open_page("whatif", user="user-1", add=first)  # from the address alone
    assert again.multiselect(key="add").value == [first]
    assert open_page("whatif", user="user-1", add="No such (x)").multiselect(key="add").value == []


def test_what_if_asks_twice_alike_and_says_where_two_arms_answered(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[RecommendRequest] = []
    recommend = Client.recommend

    def in_turns(self: Client, domain: str, request: RecommendRequest) -> RecommendResponse:
        asked.append(request)
        answer = recommend(self, domain, request)
        return answer.model_copy(update={"arm": "ab"[len(asked) % 2]})

    monkeypatch.setattr(Client, "recommend", in_turns)
    app = open_page("whatif", user="user-1", wish2="horror")
    before, after = asked[-2:]
    assert (before.text, after.text) == (None, "horror")
    assert before.objectives == after.objectives
    assert before.objectives["relevance"] == 1
    assert any("Two releases or arms answered" in one.value for one in app.warning)


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


def test_items_are_found_on_the_map(open_page: Open) -> None:
    app = made(open_page, "item_map", find="horror number 2")
    assert "horror" in app.dataframe[0].value["title"].iloc[0]
    app.text_input(key="category").set_value("nothing of the kind").run()
    assert "No item of the map has this category" in said(app)


def test_data_says_what_was_rejected_and_how_it_is_distributed(open_page: Open) -> None:
    app = made(open_page, "data")
    assert "No row was rejected." in said(app)
    app.selectbox(key="dist0").set_value("categories").run()
    assert not app.exception


def test_experiments_show_each_trial(open_page: Open) -> None:
    app = open_page("experiments")
    assert app.selectbox(key="search").value == f"films · {RUN}"
    assert len(app.get("vega_lite_chart")) == 4
    assert list(app.dataframe[0].value["trial"]) == [3, 2, 1]


def test_transfer_shows_what_a_start_gains(open_page: Open) -> None:
    app = open_page("transfer")
    gains = app.dataframe[0].value.set_index("start")["gain"]
    assert gains["books"] == pytest.approx(0.03)


def test_live_shows_feedback_and_says_that_nothing_is_wrong(open_page: Open) -> None:
    app = open_page("live")
    assert "Nothing is wrong." in said(app)
    assert "2 / 2" in said(app)


def test_without_the_right_key_there_is_one_sentence(
    open_page: Open, versions: list[str], tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = KeyRing(tmp_path / "keys.json")
    sender = keys.create("sender", ["feedback"])
    with small_service(keys) as address:
        monkeypatch.setenv("CROSSREC_API", address)
        monkeypatch.setenv("CROSSREC_API_KEY", sender)
        app = AppTest.from_file(str(APPS / "streamlit_app.py"), default_timeout=60).run()
    assert not app.exception
    [error] = app.error
    assert "Set CROSSREC_API_KEY to a key of this service." in error.value


def test_a_view_becomes_one_html_file_that_needs_nothing_else(open_page: Open) -> None:
    app = open_page("fairness")
    from app_pages import view

    parts = app.session_state[view.PARTS]
    html = view._made("html", parts, "http://127.0.0.1/fairness").decode()
    assert html.count("<svg") == 4
    assert "<table>" in html
    assert "Fairness" in html
    assert "http://127.0.0.1/fairness" in html
    assert "<script" not in html
    with zipfile.ZipFile(io.BytesIO(view._made("svg", parts, ""))) as archive:
        assert len(archive.namelist()) == 4
        assert all(archive.read(name).startswith(b"<svg") for name in archive.namelist())


def test_reasons_are_chinese_where_the_interface_is(open_page: Open) -> None:
    app = open_page("explore", user="user-1", lang="中文")
    assert "因为您选择过" in said(app)
    assert "Because" not in said(app)
    app.segmented_control(key="language").set_value("en").run()
    assert "Because you chose" in said(app)
