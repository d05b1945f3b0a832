"""What a page says stands in its report too, and says what it is of; by AppTest."""

from __future__ import annotations

import html
import re

import pytest
from streamlit.testing.v1 import AppTest

from crossrec.serving.client import Client
from crossrec.serving.messages import DomainCard, DomainSummary
from tests.apps.conftest import APPS
from tests.apps.pages.opened import WORDS, Open, made

OF_A_DOMAIN = ("whatif", "compare", "quality", "fairness", "item_map", "data")
PAGES = (*OF_A_DOMAIN, "domains", "experiments", "transfer", "live")
QUESTION = {"user": "user-1", "wish": "space", "view": "Table"}
"""Of Explore; what cards of items say is a table in the report."""
VIEWS = [
    *((page, {}) for page in PAGES),
    *(("explore", {**QUESTION, "panel": panel}) for panel in ("", "Item", "Signals", "History")),
    ("live", {"live.domain": "films"}),
    *((page, {"lang": "中文"}) for page in ("fairness", "compare", "whatif", "live", "domains")),
    ("explore", {**QUESTION, "view": "表格", "lang": "中文"}),
]
"""Page, address."""


def shown(app: AppTest) -> list[str]:
    """Every sentence in the main part of the page, as it is read."""
    kinds = ("subheader", "markdown", "caption", "info", "success", "warning", "error")
    found = [str(one.value) for kind in kinds for one in getattr(app.main, kind)]
    found += [text for one in app.main.metric for text in (one.label, str(one.value))]
    return [_read(text) for text in found if ":material/link:" not in text]


def _read(text: str) -> str:
    """Without the signs of Markdown."""
    text = re.sub(r"^#+ |:material/\w+:|:(small|\w+-badge)\[|(?<!\\)[\]*]", "", text)
    return re.sub(r"\\(.)", r"\1", text).strip()


def reported(app: AppTest) -> str:
    """What the page's report says; its charts are not drawn."""
    from app_pages import report, view

    parts = [
        {"kind": kind, "title": title, "content": view._plain(kind, content)}
        for (kind, title), content in app.session_state[view.PARTS].items()
        if kind != "chart"
    ]
    return html.unescape(re.sub("<[^>]*>", "\n", report.page(parts, "", **WORDS)))


@pytest.mark.parametrize(("page", "query"), VIEWS)
def test_all_that_a_page_says_is_in_its_report(
    open_page: Open, page: str, query: dict[str, str]
) -> None:
    app = made(open_page, page, **query)
    told = shown(app)
    assert len(told) > 3
    report = reported(app)
    assert [text for text in told if text not in report] == []


def test_the_report_of_explore_names_the_question_and_the_answer(open_page: Open) -> None:
    query = {"user": "user-1", "wish": "space", "context.weather": "rain", "filters": "year"}
    report = reported(open_page("explore", **query, **{"filter.year.min": "1985"}))
    asked = "User user-1 · “space” · Weather rain · Hour now ("
    assert asked in report
    assert "year 1985 …" in report
    assert "based on history, request, context · 24 items · 20 users · release " in report
    assert re.search(r"Top \d+ for user user-1: ", report)  # above its table
    chinese = reported(open_page("explore", **QUESTION, lang="中文"))
    assert "依据：历史, 愿望" in chinese


@pytest.mark.parametrize("page", OF_A_DOMAIN)
def test_pages_name_their_domain_and_release(
    open_page: Open, versions: list[str], page: str
) -> None:
    app = made(open_page, page)
    [line] = [text for text in reported(app).split("\n") if text.startswith("Films · ")]
    told = {
        "compare": f"B: release {versions[1]} · A: release {versions[0]}",
        "data": "data cccccccccccc",
    }.get(page, f"release {versions[1]}")
    assert line == f"Films · {told}"
    assert shown(app).index("Films") < 6  # a badge, above all that is of this domain


@pytest.mark.parametrize("page", [*PAGES, "explore"])
def test_figures_of_simulated_data_say_so(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    card, domains = Client.card, Client.domains
    simulated = {"simulated": True}

    def of_card(self: Client, domain: str) -> DomainCard:
        return card(self, domain).model_copy(update=simulated)

    def of_list(self: Client) -> list[DomainSummary]:
        return [one.model_copy(update=simulated) for one in domains(self)]

    monkeypatch.setattr(Client, "card", of_card)
    monkeypatch.setattr(Client, "domains", of_list)
    app = made(open_page, page, **({"live.domain": "films"} if page == "live" else {}))
    assert "simulated data" in shown(app)
    assert "simulated data" in reported(app)


def test_of_what_runs_again_by_itself_the_report_holds_the_newest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(APPS))

    def page() -> None:
        from app_pages import view

        view.begin()
        view.heading("Live", "Is everything running?")
        parts = view.st.session_state[view.PARTS]
        for sentence in ("Nothing is wrong.", "films: 3 of 9 requests failed"):
            with view.again():
                view.tell("error", sentence)
        assert view.st.session_state[view.PARTS] is parts  # what a click reads

    app = AppTest.from_function(page).run()
    assert not app.exception
    report = reported(app)
    assert "Nothing is wrong." not in report
    assert "Is everything running?" in report
    assert "films: 3 of 9 requests failed" in report
