"""Runs the app as the README says, and the system's Chromium to look at it.

Shared by the browser tests and the benchmarks of the app. Leaves to others: moving its controls
(walk.py), what is expected.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

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
