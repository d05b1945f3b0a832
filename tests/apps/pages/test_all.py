"""What all pages do, and those that look at data, searches and the service, by AppTest."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from crossrec.errors import CrossrecError
from crossrec.serving.auth import KeyRing
from crossrec.serving.insight_client import InsightClient
from crossrec.serving.insight_messages import (
    DataProfile,
)
from tests.apps.conftest import APPS
from tests.apps.pages.opened import WORDS, Open, made, said
from tests.small_home import RUN, small_service

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


def test_data_says_what_was_rejected_and_how_it_is_distributed(open_page: Open) -> None:
    app = made(open_page, "data")
    assert "No row was rejected." in said(app)
    app.selectbox(key="dist0").set_value("categories").run()
    assert not app.exception


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
    assert "further tables features\\_image 8, kg 6, links 5" in said(app)


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
    assert "行中的" in html
