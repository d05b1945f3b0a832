"""The app in a real browser against a really served domain: what AppTest cannot see.

Leaves a screenshot of each width under `artifacts/`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from crossrec.models.encoder import TextEncoder
from crossrec.releases.store import ReleaseStore
from crossrec.serving.client import Client
from crossrec.serving.launch import serve_domains
from tests.apps.conftest import APPS
from tests.apps.running import ALERT, DATA, EXCEPTION, chromium_at, go, running_app, settle
from tests.apps.walk import MOVES, PLACES, Move, pick, press
from tests.models.tiny import make_tiny_encoder
from tests.ports import free_port
from tests.small_home import add_places, small_home, small_service
from tests.small_release import make_small_domain

pytestmark = [pytest.mark.browser, pytest.mark.ray]

ARTIFACTS = APPS.parent / "artifacts"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a service of one small domain, open on loopback."""
    home = tmp_path_factory.mktemp("looked_at")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSREC_HOME", str(home))
        encoder = TextEncoder.load(make_tiny_encoder(home / "tiny"), precision="fp32")
        films = make_small_domain(home / "data" / "films", "films", encoder.encode)
        films.publish(ReleaseStore(), encoder.name, encoder.fingerprint)
        with serve_domains(["films"], port=free_port(), open_on_loopback=True) as service:
            yield service.address


@pytest.fixture(scope="module")
def app(api: str) -> Iterator[str]:
    """Address of the app, run as the README says but on a free port."""
    with running_app(api) as found:
        yield found.address


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """The system's Chromium."""
    with chromium_at(chromium) as found:
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A laptop's screen."""
    found = browser.new_page(viewport={"width": 1366, "height": 768})
    found.set_default_timeout(30_000)
    yield found
    found.close()


def _first_titles(page: Page, n: int = 3) -> list[str]:
    cards = page.locator("[data-testid=stMarkdown] strong")
    return cards.all_inner_texts()[1 : 1 + n]  # the first is the heading of the list


def test_a_visitor_asks_gives_thumbs_and_sees_the_list_change(
    app: str, api: str, page: Page
) -> None:
    outside: list[str] = []
    page.on("request", lambda sent: None if "127.0.0.1" in sent.url else outside.append(sent.url))
    page.goto(f"{app}/?user=user-1&k=5")
    expect(page.get_by_text("Top 5 for user user-1", exact=True)).to_be_visible(timeout=60_000)
    expect(
        page.locator("[data-testid=stVegaLiteChart] canvas, .vega-embed svg").first
    ).to_be_visible()
    first = _first_titles(page)[0].removeprefix("1. ")
    page.get_by_role("button", name="Like", exact=True).first.click()
    expect(
        page.get_by_text(f"Stored the like of {first} and asked for the list again.")
    ).to_be_visible()
    assert first not in " ".join(_first_titles(page, 5))
    with Client(api) as client:
        assert client.user("films", "user-1").history[0].title == first
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / "explore_1366.png")
    assert [url for url in outside if not url.startswith(("data:", "blob:"))] == []


def test_choices_are_in_the_address_and_the_address_brings_them_back(app: str, page: Page) -> None:
    page.goto(app)
    page.get_by_label("Wish in words").fill("horror")
    page.keyboard.press("Enter")
    page.get_by_role("combobox", name="Weather").click()
    page.get_by_role("option").first.click()
    expect(page.get_by_text("based on request, context")).to_be_visible()
    page.get_by_role("button", name="Why?").nth(1).click()
    page.wait_for_url("**item=**")
    assert "wish=horror" in page.url
    assert "context.weather=" in page.url
    titles = _first_titles(page)
    page.goto(page.url)
    expect(page.get_by_text("based on request, context")).to_be_visible()
    expect(page.get_by_label("Wish in words")).to_have_value("horror")
    assert _first_titles(page) == titles


def test_a_language_stays_in_the_address_that_it_came_with(app: str, page: Page) -> None:
    page.goto(f"{app}/?lang=中文")
    expect(page.get_by_text("前 10 名，新访客", exact=True)).to_be_visible(timeout=60_000)
    page.get_by_role("slider").last.focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**k=9**")
    assert "lang=" in page.url
    assert page.get_by_text("本视图的链接").get_attribute("href").count("lang=") == 1


def test_the_page_fits_a_phone(app: str, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{app}/?user=user-2&k=3")
    expect(page.get_by_text("Top 3 for user user-2", exact=True)).to_be_visible(timeout=60_000)
    expect(page.locator("[data-testid=stVegaLiteChart]").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / "explore_390.png")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an app whose service has something to show on every page."""
    home = tmp_path_factory.mktemp("whole")
    with small_home(home):
        add_places(home)
        with small_service() as address, running_app(address) as found:
            yield found.address


CHOSEN = """() => [...document.querySelectorAll(
  '[data-testid=stTextInput], [data-testid=stNumberInput], [data-testid=stSelectbox],'
  + '[data-testid=stMultiSelect], [data-testid=stSlider], [data-testid=stCheckbox],'
  + '[data-testid=stButtonGroup], [data-testid=stTabs]')].map(widget => {
  const inner = selector => [...widget.querySelectorAll(selector)];
  return [
    widget.dataset.testid, widget.querySelector('label')?.textContent || '',
    ...inner('input').map(one => one.type === 'checkbox' ? one.checked : one.value),
    ...inner('[role=slider]').map(one => one.getAttribute('aria-valuetext')),
    widget.dataset.testid.match(/[sS]elect/) ? widget.innerText : '',
    ...inner('button[aria-checked=true], [role=tab][aria-selected=true]').map(one => one.innerText),
  ].join(' | ');
})"""
"""What every control of the page is set to."""


def _walk(page: Page, moves: list[Move]) -> None:
    for move in moves:
        move(page)
        page.wait_for_timeout(200)
        settle(page)
        assert page.locator(EXCEPTION).count() == 0, move.name


def _fits(page: Page) -> bool:
    """Whether nothing is wider than the screen."""
    widths = [page.evaluate("document.documentElement.scrollWidth")]
    widths.append(page.locator("[data-testid=stMain]").evaluate("e => e.scrollWidth"))
    return max(widths) <= page.viewport_size["width"]


def _open_link(page: Page) -> None:
    """Open the page's *Link to this view*, as somebody else would: in a new session."""
    page.goto(page.get_by_text("Link to this view").get_attribute("href") or "")
    _ready(page)


def _ready(page: Page) -> None:
    """Wait until the page shows what there is: a map is made at the first question."""
    page.get_by_text("Link to this view").wait_for(timeout=120_000)
    page.wait_for_timeout(500)
    settle(page)


def _in_chinese(page: Page) -> str:
    """What the page says, once it is to speak Chinese."""
    press("中文")(page)
    page.wait_for_timeout(500)
    settle(page)
    assert page.locator(EXCEPTION).count() == 0
    return page.locator("[data-testid=stMain]").inner_text()


@pytest.mark.parametrize("name", MOVES)
def test_every_control_moves_and_a_link_brings_all_of_it_back(
    whole: str, page: Page, name: str
) -> None:
    go(page, whole, name, user="user-1")
    assert _fits(page)
    _walk(page, MOVES[name])
    _ready(page)
    assert _fits(page)
    chosen = page.evaluate(CHOSEN)
    _open_link(page)
    assert page.evaluate(CHOSEN) == chosen
    assert re.search("[一-鿿]", _in_chinese(page))


@pytest.mark.parametrize("name", PLACES)
def test_numbers_and_places_are_given_and_what_nobody_evaluated_says_so(
    whole: str, page: Page, name: str
) -> None:
    page.goto(f"{whole}/{'' if name == 'explore' else name}?domain=places&user=user-1")
    page.wait_for_selector(f"{DATA}, {ALERT}", timeout=60_000)
    page.wait_for_timeout(500)
    settle(page)
    _walk(page, PLACES[name])
    _ready(page)
    chosen = page.evaluate(CHOSEN)
    _open_link(page)
    assert page.evaluate(CHOSEN) == chosen
    if name in ("compare", "quality", "fairness"):
        assert "crossrec evaluate places" in page.locator(ALERT).inner_text()
    assert re.search("[一-鿿]", _in_chinese(page))


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_a_phone(whole: str, browser: Browser, name: str, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    go(page, whole, name, user="user-1")
    assert _fits(page)
    assert page.locator(EXCEPTION).count() == 0
    context.close()


def test_the_link_of_live_follows_its_domain(whole: str, page: Page) -> None:
    go(page, whole, "live")
    link = page.get_by_text("Link to this view")
    press("Ask again every 10 s")(page)  # else the page would run again by itself
    expect(link).to_have_attribute("href", re.compile("follow=false"))
    pick("Domain", 1)(page)
    expect(link).to_have_attribute("href", re.compile("live.domain=films"))
    _open_link(page)
    expect(page.get_by_text("Domain: films", exact=True)).to_be_visible()


def test_pages_are_reached_and_moved_by_keyboard_alone(whole: str, page: Page) -> None:
    go(page, whole, "quality")
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("document.activeElement.innerText || document.activeElement.ariaLabel")
        )
    names = " ".join(str(one) for one in reached)
    assert "Fairness" in names
    assert "Recall@10" in names
    assert "CSV" in names


SEEN = """e => {
  const style = getComputedStyle(e);
  const ring = style.outlineStyle !== 'none' || style.boxShadow !== 'none'
    || e.matches('input, main, canvas');  // their frame shows it, by Streamlit
  let opacity = 1;
  for (let part = e; part; part = part.parentElement) opacity *= getComputedStyle(part).opacity;
  return ring && opacity > 0.5;
}"""
"""Whether one sees that an element has the focus."""


def test_a_keyboard_shows_where_it_is(whole: str, page: Page) -> None:
    go(page, whole, "quality")
    hidden, tools = [], 0
    for _ in range(60):
        page.keyboard.press("Tab")
        page.wait_for_timeout(50)
        at = page.locator(":focus")
        if at.count():
            label = at.evaluate("e => e.ariaLabel || e.innerText")
            tools += label.startswith("Download as PNG")
            hidden += [] if at.evaluate(SEEN) else [label]
    assert hidden == []
    assert tools


def test_a_view_and_its_tables_are_taken_home(whole: str, page: Page) -> None:
    go(page, whole, "fairness")
    for label, ending in (
        ("CSV", ".csv"),
        ("Parquet", ".parquet"),
        ("This view as HTML", ".html"),
        ("Charts as SVG", ".zip"),
    ):
        with page.expect_download(timeout=60_000) as found:
            buttons = page.locator("[data-testid=stDownloadButton] button")
            buttons.filter(has_text=label).first.click()
        assert found.value.suggested_filename.endswith(ending)
        assert found.value.path().stat().st_size > 100


def test_a_file_that_cannot_be_made_is_told_of_in_one_sentence(
    api: str, page: Page, tmp_path: Path
) -> None:
    (tmp_path / "vl_convert.py").write_text("raise ImportError('nothing draws here')\n")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    with running_app(api, PYTHONPATH=path) as found:
        go(page, found.address, "domains")
        for language, sentence in (
            ("English", "This file could not be made; try again,"),
            ("中文", "无法生成此文件；请重试，"),
        ):
            press(language)(page)
            page.wait_for_timeout(500)
            settle(page)
            page.get_by_test_id("stDownloadButton").get_by_role("button").first.click()
            box = page.get_by_test_id("stDownloadButtonError")
            expect(box).to_be_visible()
            size, said = box.evaluate(
                "e => [getComputedStyle(e).fontSize, getComputedStyle(e, '::after').content]"
            )
            assert (size, said.startswith(f'"{sentence}')) == ("0px", True)
            expect(box).to_have_count(0, timeout=20_000)  # it goes by itself


@pytest.mark.parametrize("way", ["What if", "Quality"])
def test_context_is_forgotten_where_another_domain_is_chosen_on_another_page(
    whole: str, page: Page, way: str
) -> None:
    def to(name: str) -> None:
        page.get_by_role("link", name=name, exact=True).first.click()
        page.wait_for_timeout(500)
        _ready(page)

    go(page, whole, "explore")
    pick("Weather", 0)(page)
    expect(page.get_by_text("based on context")).to_be_visible()
    to(way)
    pick("Domain", 1)(page)
    page.wait_for_url("**domain=places**")
    to("Explore")
    expect(page.get_by_text("based on popularity")).to_be_visible()
    assert "context" not in page.url
