"""Runs the app as the README says, and walks through it in the system's Chromium.

Shared by the browser tests and the benchmarks of the app. Leaves to others: what is expected.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Error, Page, sync_playwright

from tests.ports import free_port

ENTRY = Path(__file__).resolve().parents[2] / "apps" / "streamlit_app.py"
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
]
STARTUP_S = 90
IDLE = "document.querySelector('[data-test-script-state=\"notRunning\"]') !== null"
EXCEPTION = "[data-testid=stException]"
ALERT = "[data-testid=stAlert]"
DATA = (
    "[data-testid=stVegaLiteChart] svg, [data-testid=stVegaLiteChart] canvas,"
    " [data-testid=stDataFrame] canvas, [data-testid=stMetricValue]"
)
"""What a page shows once it has data."""
MENU = "[data-testid=stTopNavLink], [data-testid=stTopNavSection]"


@dataclass(frozen=True)
class App:
    """A running app."""

    address: str
    process: subprocess.Popen[bytes]


@contextmanager
def running_app(api: str, **environment: str) -> Iterator[App]:
    """The app in a process of its own, on a free port of this machine, asking `api`."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(ENTRY)]
    flags = ["--server.port", str(port), "--server.headless", "true"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*command, *flags],
            stdout=log,
            stderr=log,
            env=os.environ | {"CROSSREC_API": api, **environment},
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/_stcore/health", process)
            yield App(f"http://127.0.0.1:{port}", process)
        finally:
            process.terminate()
            process.wait(20)


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + STARTUP_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(address).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise RuntimeError(f"the app did not come up (exit code {process.poll()})")


@contextmanager
def chromium_at(path: str) -> Iterator[Browser]:
    """The system's Chromium, without a window."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield found
        found.close()


def settle(page: Page, timeout_ms: float = 60_000) -> None:
    """Wait until the page's script has ended."""
    page.wait_for_function(IDLE, timeout=timeout_ms)


def go(page: Page, app: str, name: str, **query: str) -> None:
    """Open a page of the app and wait until it shows data."""
    path = "" if name == "explore" else name
    text = "&".join(f"{key}={value}" for key, value in query.items())
    page.goto(f"{app}/{path}?{text}")
    page.wait_for_selector(DATA, timeout=120_000)  # a map is made at the first question
    settle(page)


Move = Callable[[Page], None]


def press(label: str) -> Move:
    """Press a button, or one of the choices of a segmented control, or a tab."""
    return lambda page: (
        page.locator("[data-testid=stMain], [data-testid=stSidebar]")
        .get_by_text(label, exact=True)
        .first.click()
    )


def slide(label: str) -> Move:
    """Move a slider one step to the right."""

    def move(page: Page) -> None:
        handle = page.get_by_role("slider", name=label).first
        handle.focus()
        handle.press("ArrowRight")

    return move


def weigh(page: Page) -> None:
    """Move the slider of the last objective one step; which there are is the domain's affair."""
    handle = page.locator("[data-testid=stExpander]").get_by_role("slider").last
    handle.focus()
    handle.press("ArrowRight")


def pick(label: str, position: int = 1) -> Move:
    """Choose another option of a select box."""

    def move(page: Page) -> None:
        box = page.get_by_role("combobox", name=label).first
        option = page.get_by_role("option").nth(position)
        for _ in range(3):  # a run of the page that comes in between closes the list again
            box.click()
            try:
                option.click(timeout=5_000)
            except Error:
                page.keyboard.press("Escape")
            else:
                return
        raise AssertionError(f"'{label}' offers no option number {position}")

    return move


def write(label: str, text: str) -> Move:
    """Type into a text field."""

    def move(page: Page) -> None:
        page.get_by_label(label, exact=True).first.fill(text)
        page.keyboard.press("Enter")

    return move


def take_found(page: Page) -> None:
    """Take the first user whom the search found."""
    page.locator("[data-testid=stPopoverBody] button").first.click(timeout=10_000)
    page.keyboard.press("Escape")


MOVES: dict[str, list[Move]] = {
    "explore": [
        slide("Number of items"), press("Only items new to the user"), press("Table"),
        press("Cards"), press("Signals"), press("History"), press("Reasons"), press("Why?"),
        pick("Item", 2), pick("Compare with", 1), press("zh"), write("Wish in words", "space"),
        press("Item"), press("Find users"), write("Part of an id, or of what they had", "number"),
        take_found, slide("Hour"), press("Filters"), pick("Filter by", 0),
        press("What matters beside relevance"), weigh, press("Described"),
        write("Find items they had", "horror"), pick("They had", 0),
        write("The user, or a wish, in words", "a friend of the sea"), press("A stored user"),
    ],
    "whatif": [
        slide("Number of items"), pick("Leave out of the history", 0),
        write("Find items to add", "horror"), pick("Add to the history", 0),
        write("Wish in words, before", "space"), write("Wish in words, after", "comedy"),
        slide("Days later"), slide("Hour"),
    ],
    "compare": [pick("One item in both", 2), press("Lose"), press("Gain"),
                pick("Look closer at", 0), pick("against this one (A)", 0),
                pick("This release (B)", 1)],
    "quality": [press("Recall@10"), press("MRR@10"), pick("Release", 1)],
    "fairness": [press("Recall@10"), press("NDCG@10"), pick("Groups by", 0), pick("Release", 1)],
    "item_map": [press("before training, texts alone"), write("Find items", "horror"),
                 write("Only this category", "none of them")],
    "data": [pick("Show", 2), pick("Show", 0)],
    "domains": [],
    "experiments": [pick("Search", 0)],
    "transfer": [pick("Share of the users who are learned from", 0)],
    "live": [pick("Domain", 1), press("Ask again every 10 s")],
}  # fmt: skip
"""Page → its controls, each moved once; what stores or leaves the page has tests of its own."""
