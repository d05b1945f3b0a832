"""Checks of the app while its service is stopped, slow, broken or refuses (rows `app_failures`).

Every page is opened in real Chromium while a proxy before a real small service is stopped, waits
5 s before each answer, answers 500, or 403. Expected: one clear sentence and no exception (while
it is slow: that the service is being asked), and that the page shows its data by itself once the
service is well again. Each is a check; the value is how many failed.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from playwright.sync_api import Browser, Error, Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.apps.running import ALERT, DATA, EXCEPTION, chromium_at, running_app
from tests.apps.walk import MOVES
from tests.benchmarks.rows import write_rows
from tests.ports import free_port
from tests.small_home import small_home, small_service

SLOW_S = 5.0
RECOVERED_MS = 60_000
SAID = {
    "stopped": "no crossrec service answers at",
    "slow": "Asking the service",
    "broken": "the service answered 500 without a reason",
    "refused": "Set CROSSREC_API_KEY to a key of this service",
}
"""State → what a page says of it."""
NOTE = """setInterval(() => {
  const spinner = document.querySelector('[data-testid=stSpinner]');
  if (spinner) window.asking = spinner.innerText;
}, 100)"""
"""Remembers what a page said while it waited: by the time one looks it may be done."""


class Proxy:
    """Passes requests on, or does not; `state` says which."""

    def __init__(self, target: str) -> None:
        self.state = "well"
        self._http = httpx.AsyncClient(base_url=target, timeout=60)
        self.port = free_port()

    async def answer(self, request: Request) -> Response:
        """One request."""
        if self.state == "broken":
            return Response("Internal Server Error", 500)
        if self.state == "refused":
            body = '{"error": "this key lacks the scope read.", "kind": "AuthError"}'
            return Response(body, 403, media_type="application/json")
        if self.state == "slow":
            await asyncio.sleep(SLOW_S)
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        kind = {"content-type": request.headers.get("content-type", "application/json")}
        found = await self._http.request(
            request.method, path, content=await request.body(), headers=kind
        )
        return Response(found.content, found.status_code, media_type="application/json")

    @contextmanager
    def listening(self) -> Iterator[str]:
        """Its address; nobody listens there before and after."""
        route = Route("/{path:path}", self.answer, methods=["GET", "POST"])
        config = uvicorn.Config(
            Starlette(routes=[route]), "127.0.0.1", self.port, log_config=None, access_log=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        try:
            yield self.address
        finally:
            server.should_exit = True
            thread.join(10)

    @property
    def address(self) -> str:
        """Where it listens, or would."""
        return f"http://127.0.0.1:{self.port}"


def main() -> None:
    """Check every page in every state, and write the row."""
    with tempfile.TemporaryDirectory() as folder, small_home(Path(folder)):
        path = shutil.which("chromium") or shutil.which("chromium-browser") or ""
        with small_service() as target, chromium_at(path) as browser:
            made(target)
            failed = [one for state in SAID for one in check(Proxy(target), state, browser)]
    n = 2 * len(SAID) * len(MOVES)
    told = "; ".join(failed) or "none"
    write_rows(
        "app_failures",
        [
            {
                "name": "app_failures",
                "value": len(failed),
                "unit": "failed checks",
                "n": n,
                "protocol": f"{len(MOVES)} pages while the service is {', '.join(SAID)}: one clear"
                f" sentence without an exception, and data by itself afterwards; failed: {told}",
            }
        ],
    )


def made(target: str) -> None:
    """What is made at the first question is made before."""
    for what in ("map", "data"):
        while httpx.get(f"{target}/v1/insight/films/{what}").json()["state"] != "ready":
            time.sleep(0.5)


def check(proxy: Proxy, state: str, browser: Browser) -> list[str]:
    """All pages in one state, with an app whose cache is empty."""
    proxy.state = state
    with running_app(proxy.address) as app:
        if state == "stopped":
            pages = opened(app.address, browser)
            failed = [one for name, page in pages.items() for one in saying(page, name, state)]
            with proxy.listening():
                proxy.state = "well"
                failed += recovering(pages, state)
        else:
            with proxy.listening():
                pages = opened(app.address, browser)
                failed = [one for name, page in pages.items() for one in saying(page, name, state)]
                proxy.state = "well"
                failed += recovering(pages, state)
        for page in pages.values():
            page.close()
    return failed


def opened(app: str, browser: Browser) -> dict[str, Page]:
    """Every page in a tab."""
    pages = {}
    for name in MOVES:
        pages[name] = browser.new_page()
        pages[name].add_init_script(NOTE)
        pages[name].goto(f"{app}/{'' if name == 'explore' else name}", wait_until="commit")
    return pages


def saying(page: Page, name: str, state: str) -> list[str]:
    """Whether it says what is the matter, once."""
    try:
        page.wait_for_selector(DATA if state == "slow" else ALERT, timeout=120_000)
        if state == "slow":
            text, n = str(page.evaluate("window.asking")), 1
        else:
            text, n = page.locator(ALERT).first.inner_text(), page.locator(ALERT).count()
        if SAID[state] in text and n == 1 and not page.locator(EXCEPTION).count():
            return []
        return [f"{name} while {state}: {n} sentences, '{text[:60]}'"]
    except Error as err:
        return [f"{name} while {state}: {type(err).__name__}"]


def recovering(pages: dict[str, Page], state: str) -> list[str]:
    """Which pages do not show their data by themselves."""
    failed = []
    for name, page in pages.items():
        try:
            page.wait_for_selector(DATA, timeout=RECOVERED_MS)
        except Error:
            failed.append(f"{name} after {state}: no data")
    return failed


if __name__ == "__main__":
    main()
