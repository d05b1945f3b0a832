"""What all pages do, and those that look at data, searches and the service, by AppTest."""

from __future__ import annotations

import io
import itertools
import json
import re
import zipfile
from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from crossrec.errors import CrossrecError
from crossrec.serving.auth import KeyRing
from crossrec.serving.insight_client import InsightClient
from crossrec.serving.insight_messages import DataProfile, LiveState, TransferList
from crossrec.serving.learning_messages import LearnedWeight, LearnerStatus, LearnerVersion
from tests.apps.conftest import APPS
from tests.apps.pages.opened import WORDS, Open, made, opened, said
from tests.small_home import RUN, small_service
from tests.small_release import N_ITEMS

PAGES = (
    *("whatif", "compare", "quality", "fairness", "item_map", "data"),
    *("domains", "experiments", "transfer", "live"),
)


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
    for page in (*PAGES, "explore"):
        app = made(open_page, page, lang="中文", user="user-1", wish2="horror")
        for chart in app.get("vega_lite_chart"):
            titles |= set(titles_of(json.loads(chart.proto.spec)))
    known = {"NDCG@10", "Recall@10", "MRR@10", "NDCG@10, 95 %"}
    english = {one for one in titles if one.strip() and not re.search("[\u4e00-\u9fff]", one)}
    assert english <= known
    assert {"名次", "模型", "起始于"} <= titles  # of axes and legends
    assert {"部分", "种类", "标题", "上限"} <= titles  # of tooltips


def test_cells_of_tooltips_speak_chinese_too(open_page: Open) -> None:
    from app_pages import view
    from app_pages.chart_words import LABELS

    cells: set[str] = set()
    for page, query in (*((page, {}) for page in PAGES), ("explore", {}), ("explore", SIGNALS)):
        app = made(open_page, page, lang="中文", user="user-1", wish2="horror", **query)
        parts = app.session_state[view.PARTS]
        for spec in (one.to_dict() for (kind, _), one in parts.items() if kind == "chart"):
            rows = itertools.chain.from_iterable(spec.get("datasets", {}).values())
            cells |= set(cells_of(spec, list(rows)))
    assert cells & set(LABELS) <= {"popularity"}  # a model of that name
    wanted = {"历史", "近邻", "基线", "之前", "上升或新增", "展示", "新进入前 10", "完成"}
    assert wanted - cells == set()


SIGNALS = {"panel": "Signals"}


def cells_of(spec: object, rows: list[dict[str, object]]) -> Iterator[str]:
    """Words in the cells of tooltips, wherever they stand, as Vega finds them in these rows."""
    parts = spec.items() if isinstance(spec, dict) else enumerate(spec)
    for name, value in parts:
        if name == "encoding" and isinstance(value.get("tooltip"), list):
            looked_up = {
                one["as"]: json.loads(one["calculate"].partition("[datum")[0])
                for one in spec.get("transform", [])
                if one.get("as", "").endswith("_said")
            }
            for field in (one["field"] for one in value["tooltip"] if "field" in one):
                words = looked_up.get(field, {})
                found = (row.get(field.removesuffix("_said")) for row in rows)
                yield from (words.get(one, one) for one in found if isinstance(one, str))
        elif isinstance(value, dict | list) and name not in ("datasets", "data"):
            yield from cells_of(value, rows)


def titles_of(spec: object) -> Iterator[str]:
    """Titles of axes, legends, charts and tooltips, wherever they stand; in a tooltip the name of
    a field takes the place of a title that lacks.
    """
    parts = spec.items() if isinstance(spec, dict) else enumerate(spec)
    for name, value in parts:
        if name == "title" and isinstance(value, str):
            yield value
        elif name == "tooltip" and isinstance(value, list):
            yield from (one.get("title", one.get("field")) for one in value)
        elif isinstance(value, dict | list) and name not in ("tooltip", "datasets", "data"):
            yield from titles_of(value)


FROM_DATA = {"year", "studio", "price", "tags", "model.dropout", "model.dim"}
"""Columns of items and settings of a search, which have no other name."""


def test_headings_of_tables_are_chinese_but_for_names_from_data(open_page: Open) -> None:
    found: set[str] = set()
    for page in (*PAGES, "explore"):
        app = made(open_page, page, lang="中文", user="user-1", view="表格", find="horror")
        for table in app.dataframe:
            labels = json.loads(table.proto.columns)
            found |= {labels.get(name, {}).get("label", name) for name in table.value.columns}
    figures = {"NDCG@10", "Recall@10", "MRR@10"}
    english = {one for one in found if not re.search("[\u4e00-\u9fff]", one)}
    assert english - figures <= FROM_DATA
    assert {"物品编号", "名次", "提供者", "试验", "字段名"} <= found


def test_items_are_found_on_the_map(open_page: Open) -> None:
    app = made(open_page, "item_map", find="horror number 2")
    assert "horror" in app.dataframe[0].value["title"].iloc[0]
    app.text_input(key="category").set_value("nothing of the kind").run()
    assert "No item of the map has this category" in said(app)


def test_all_places_of_the_map_are_a_table_once_it_is_opened(open_page: Open) -> None:
    app = made(open_page, "item_map", find="")
    assert not app.dataframe
    frame = opened(app, "map").dataframe[0].value
    assert list(frame.columns) == ["title", "category", "n_train", "item_id"]
    assert len(frame) == N_ITEMS


PARTS = ["kind", "label", "value"]
"""Columns of what is drawn of parts of a score."""
NUMBERS = {
    "explore": {"reasons": PARTS, "contrast": PARTS},
    "explore?panel=Item": {"words": ["label", "value"]},
    "explore?panel=Signals": {"signals": ["rank", "title", "signal", "value"]},
    "data": {"distribution-1": ["label", "n"], "distribution-2": ["label", "n"]},
    "compare": {
        "gaps": ["label", "value", "low", "high", "n"],
        "overlap": ["shared", "n"],
        "moves": ["move", "n"],
    },
    "quality": {
        "history-groups": ["label", "n", "value", "low", "high"],
        "popularity": ["catalogue", "interactions", "shown"],
        "calibration": ["n", "predicted", "observed", "standard_error"],
    },
    "experiments": {"learning-curves": ["trial", "epoch", "value"]},
    "live": {
        "stages": ["domain", "route", "stage", "n", "mean_ms"],
        "course": ["at", "per_second", "mean_ms"],
        "learned-weights": ["label", "value", "low", "high"],
        "weights-over-time": ["at", "version", "objective", "weight"],
    },
}
"""Page, and the panel of it → what its charts without a table of their own are drawn from."""


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("page", NUMBERS)
def test_charts_have_their_numbers_to_open_and_take_home(open_page: Open, page: str) -> None:
    name, _, panel = page.partition("?panel=")
    chosen = {"user": "user-1", "live.domain": "films", "panel": panel}
    app = made(open_page, name, **{key: value for key, value in chosen.items() if value})
    for name, columns in NUMBERS[page].items():
        before = len(app.dataframe)
        opened(app, name)
        tables = [list(one.value.columns) for one in app.dataframe]
        assert columns in tables
        assert len(tables) == before + 1
        keys = [one.key for one in app.get("download_button")]
        assert f"download.{name}.csv" in keys


def test_cards_have_their_ranking_to_take_home_too(open_page: Open) -> None:
    app = open_page("explore", user="user-1")
    assert not app.dataframe
    [table] = opened(app, "ranking").dataframe
    assert {"rank", "title", "score", "reason"} <= set(table.value.columns)
    assert "download.ranking.csv" in [one.key for one in app.get("download_button")]


def test_data_says_what_was_rejected_and_how_it_is_distributed(open_page: Open) -> None:
    app = made(open_page, "data")
    assert "No row was rejected." in said(app)
    app.selectbox(key="dist0").set_value("categories").run()
    assert not app.exception


def test_data_says_in_chinese_why_rows_were_rejected(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = InsightClient.data
    rejected = [{"table": "interactions", "reason": "unknown item_id", "n": 2, "rows": [3, 4]}]
    repaired = {"interactions": {"timestamp in milliseconds, taken to seconds": 5}}

    def with_rejected(self: InsightClient, domain: str) -> DataProfile:
        found = real(self, domain)
        card = {**found.card, "repaired": repaired}
        return found.model_copy(update={"card": card, "rejected": rejected})

    monkeypatch.setattr(InsightClient, "data", with_rejected)
    first, second = made(open_page, "data", lang="中文").dataframe[:2]
    assert list(first.value["reason"]) == ["未知的 item_id"]
    assert list(second.value["what"]) == ["毫秒时间戳，已换算为秒"]


def test_data_tells_of_people_before_pictures(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crossrec.serving.insight_client import InsightClient

    real = InsightClient.data
    tables = {"items": 9, "features_image": 8, "interactions": 7, "kg": 6, "links": 5, "users": 4}

    def with_tables(self: InsightClient, domain: str) -> DataProfile:
        found = real(self, domain)
        return found.model_copy(update={"card": {**found.card, "tables": tables}})

    monkeypatch.setattr(InsightClient, "data", with_tables)
    app = made(open_page, "data")
    assert [one.label for one in app.metric] == ["items", "users", "interactions"]
    assert "further tables features_image 8, kg 6, links 5" in said(app)


def test_experiments_show_each_trial(open_page: Open) -> None:
    app = open_page("experiments")
    assert app.selectbox(key="search").value == f"films · {RUN}"
    assert len(app.get("vega_lite_chart")) == 4
    assert list(app.dataframe[0].value["trial"]) == [3, 2, 1]


def test_learning_curves_are_the_figures_of_each_epoch(open_page: Open) -> None:
    app = open_page("experiments")
    assert "Validation figure of each trial after each epoch." in said(app)
    from app_pages import view

    drawn = app.session_state[view.PARTS]["chart", "Figure of each trial by epoch"].to_dict()
    [rows] = drawn["datasets"].values()
    assert [row["value"] for row in rows if row["trial"] == 1] == [0.02, 0.01]


def test_transfer_shows_what_a_start_gains(open_page: Open) -> None:
    app = open_page("transfer")
    gains = app.dataframe[0].value.set_index("start")["gain"]
    assert gains["books"] == pytest.approx(0.03)
    ends = app.dataframe[0].value.set_index("start").loc["books"]
    assert (ends["gain_low"], ends["gain_high"]) == (-0.01, 0.07)
    assert "it may be noise" in said(app)
    assert "run them again" not in said(app)


def test_transfers_without_an_interval_say_so(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = InsightClient.transfers

    def of_before(self: InsightClient) -> TransferList:
        found = real(self)
        for run in found.transfers:
            del run["shares"][0]["starts"]["books"]["gain_ci95"]
        return found

    monkeypatch.setattr(InsightClient, "transfers", of_before)
    app = open_page("transfer")
    assert "run them again" in said(app)
    assert "it may be noise" not in said(app)


def test_live_shows_feedback_and_says_that_nothing_is_wrong(open_page: Open) -> None:
    app = open_page("live")
    assert "Nothing is wrong." in said(app)
    assert "2 / 2" in said(app)


def test_live_offers_domains_that_nobody_asked_yet(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = InsightClient.live
    quiet = {"feedback": [], "requests": []}
    monkeypatch.setattr(InsightClient, "live", lambda self: real(self).model_copy(update=quiet))
    assert open_page("live").selectbox(key="live.domain").options == ["all", "films"]


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty requests from refresh to refresh, ten seconds each, and a learner that has learned."""
    real, asked = InsightClient.live, itertools.count(1)

    def live(self: InsightClient) -> LiveState:
        step = next(asked)
        row = {"domain": "films", "route": "recommendations", "status": "200", "n": 20 * step}
        times = {"mean_ms": 5.0, "p50_ms": 5.0, "p95_ms": 5.0}
        stage = {"domain": "films", "route": "recommendations", "stage": "rank", "n": 20 * step}
        told = {"requests": [{**row, **times}], "stages": [{**stage, "mean_ms": 4.0}]}
        return real(self).model_copy(update={"at": 10.0 * step, **told})

    versions = [
        LearnerVersion(version=n, at=10.0 * n, why="learned", weights={"price": 0.1 * n})
        for n in (2, 1)
    ]
    bounds = {"low": -0.1, "high": 0.5, "least": -3.0, "most": 3.0}
    found = LearnerStatus(
        domain="films",
        version=2,
        at=20.0,
        why="learned",
        learning=True,
        live=False,
        explore_share=0.1,
        explore_most=0.2,
        weights={"price": LearnedWeight(declared=0.1, weight=0.2, **bounds)},
        counts={},
        flagged_users={},
        flagged_addresses={},
        versions=versions,
    )
    monkeypatch.setattr(InsightClient, "live", live)
    monkeypatch.setattr(InsightClient, "learner", lambda self, domain: found)


@pytest.mark.usefixtures("busy")
def test_live_shows_the_course_of_requests_from_refresh_to_refresh(open_page: Open) -> None:
    app = open_page("live")
    from app_pages import course, view

    drawn = app.session_state[view.PARTS]["chart", "Requests a second"].to_dict()
    [rows] = drawn["datasets"].values()
    assert {row["value"] for row in rows} == {2.0}
    assert ("chart", "Mean time of a request") in app.session_state[view.PARTS]
    seen = [
        (10.0, {"films": (9, 1.0)}),
        (20.0, {"films": (19, 41.0)}),
        (30.0, {"films": (19, 41.0)}),
    ]
    frame = course.frame(seen, "films")
    assert frame.rows() == [(20.0, 1.0, 4.0), (30.0, 0.0, None)]


@pytest.mark.usefixtures("busy")
def test_live_says_that_learned_weights_are_on_trial(open_page: Open) -> None:
    app = open_page("live", **{"live.domain": "films"})
    assert "learning · on trial: the declared weights answer" in said(app)


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
    html = view._made("html", parts, "http://127.0.0.1/fairness", WORDS).decode()
    assert html.count("<svg") == 4
    assert "<table>" in html
    assert "Fairness" in html
    assert "http://127.0.0.1/fairness" in html
    assert "<script" not in html
    with zipfile.ZipFile(io.BytesIO(view._made("svg", parts, "", WORDS))) as archive:
        assert len(archive.namelist()) == 4
        assert all(archive.read(name).startswith(b"<svg") for name in archive.namelist())


def test_a_file_that_cannot_be_made_says_why(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_page("domains")
    from app_pages import view

    parts = {("figures", "no figures"): "one word"}
    with pytest.raises(CrossrecError, match=r"could not be made: ValueError: not enough values"):
        view._made("html", parts, "", WORDS)
    monkeypatch.setattr(view, "REPORT_TIMEOUT_S", 0)
    with pytest.raises(CrossrecError, match="not ready within 0 s; try again"):
        view._made("html", {}, "", WORDS)


def test_every_domain_is_in_the_report_of_domains(open_page: Open) -> None:
    app = open_page("domains")
    from app_pages import view

    html = view._made("html", app.session_state[view.PARTS], "", WORDS).decode()
    assert html.count("<dl>") == 1  # of the one domain that is served
    assert "NDCG@10" in html
    assert "films" in html


def test_a_report_is_chinese_where_the_interface_is(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app_pages import view

    files = {}
    monkeypatch.setattr(view, "_download", lambda _, file, data, key: files.update({key: data}))
    open_page("transfer", lang="中文")
    html = files["download.report"]().decode()
    assert "<html lang=zh>" in html
    assert "所有数值: 2 行中的 2 行" in html


def test_the_ranking_is_in_the_report_of_cards_as_in_that_of_the_table(open_page: Open) -> None:
    from app_pages import report, view

    tables = []
    for look in ("卡片", "表格"):
        app = open_page("explore", lang="中文", user="user-1", view=look)
        table = view._plain("table", app.session_state[view.PARTS]["table", "ranking"])
        tables.append((table["columns"], table["rows"], table["n"]))
        assert {"名次", "物品编号", "标题"} <= set(table["columns"])
    assert tables[0] == tables[1]
    html = report.table({**table, "title": "排名"}, "{n} / {all}")
    assert "排名: 10 / 10" in html
    assert "item_id" not in html
