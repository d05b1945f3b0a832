"""The app in a real browser against a really served domain: what AppTest cannot see.

Leaves a screenshot of each width under `artifacts/`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from crossrec.models.encoder import TextEncoder
from crossrec.releases.store import ReleaseStore
from crossrec.serving.client import Client
from crossrec.serving.launch import serve_domains
from tests.apps.conftest import APPS
from tests.models.tiny import make_tiny_encoder
from tests.ports import free_port
from tests.small_release import make_small_domain

pytestmark = [pytest.mark.browser, pytest.mark.ray]

ARTIFACTS = APPS.parent / "artifacts"
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
]


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
def app(api: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the app, run as the README says but on a free port."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(APPS / "streamlit_app.py")]
    flags = ["--server.port", str(port), "--server.headless", "true"]
    log = tmp_path_factory.mktemp("app") / "log.txt"
    with log.open("w") as output:
        environment = os.environ | {"CROSSREC_API": api}
        process = subprocess.Popen(
            [*command, *flags], stdout=output, stderr=output, env=environment
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/_stcore/health", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(address).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    pytest.fail(f"the app did not come up:\n{log.read_text()}")


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """The system's Chromium."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield found
        found.close()


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
    expect(page.get_by_text("Top 5 for user user-1")).to_be_visible(timeout=60_000)
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


def test_the_page_fits_a_phone(app: str, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{app}/?user=user-2&k=3")
    expect(page.get_by_text("Top 3 for user user-2")).to_be_visible(timeout=60_000)
    expect(page.locator("[data-testid=stVegaLiteChart]").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / "explore_390.png")
