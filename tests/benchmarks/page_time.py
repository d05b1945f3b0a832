"""Seconds until a page of the app shows data, and until it has run again after a widget moved.

Real Chromium, the app and a real service of `movies` on this machine. A first paint is a new
session that opens the page by its address; answers that the service has given before may come from
the app's cache, as they do for the second analyst of a day. Every control of every page is moved;
of each page its slowest control counts, and the worst page is the figure (rows `page_time`).
`$CROSSREC_HOME` is used as it is; releases that are missing are trained first.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page

import crossrec
from crossrec.data.importing import imported
from crossrec.evaluation.saved import path_of
from crossrec.releases.store import ReleaseStore
from crossrec.serving.insight import experiments, transfers
from crossrec.serving.insight_client import InsightClient
from crossrec.serving.launch import serve_domains
from tests.apps.running import DATA, EXCEPTION, App, chromium_at, go, running_app, settle
from tests.apps.walk import MOVES, Move
from tests.benchmarks.rows import write_rows
from tests.ports import free_port

DOMAIN, SOURCE = "movies", "travel"
N_ROUNDS = 3
WATCH = """() => {
  const app = document.querySelector('[data-test-script-state]');
  window.ended = 0; window.began = 0;
  if (window.watched === app) return;
  window.watched = app;
  new MutationObserver(() => {
    const state = app.getAttribute('data-test-script-state');
    if (state === 'notRunning') window.ended = performance.now(); else if (!window.began)
      window.began = performance.now();
  }).observe(app, {attributes: true, attributeFilter: ['data-test-script-state']});
}"""
"""Notes when a run of the page's script begins and ends."""


@contextmanager
def served() -> Iterator[tuple[App, Browser]]:
    """The app over a service of the domain, and a browser."""
    prepare()
    with serve_domains([DOMAIN], port=free_port(), open_on_loopback=True) as service:
        with InsightClient(service.address) as client:
            while client.item_map(DOMAIN).state != "ready" or client.data(DOMAIN).state != "ready":
                time.sleep(0.5)
        with running_app(service.address) as app, chromium_at(_chromium()) as browser:
            yield app, browser


def prepare() -> None:
    """Two evaluated releases, a search and a transfer, so that every page has something to show."""
    store = ReleaseStore()
    known = [one.version for one in store.list(DOMAIN)] if DOMAIN in store.domains() else []
    for seed in range(2 - len(known)):
        overrides = ["training.max_epochs=1", f"training.seed={seed}"]
        crossrec.train(DOMAIN, overrides=overrides)
    for release in store.list(DOMAIN)[-2:]:
        if not path_of(DOMAIN, release.version).is_file():
            crossrec.evaluate(DOMAIN, release=release.version, baselines=["popularity"])
    small = ["training.max_epochs=2", "model.dim=16"]
    if all(one.domain != DOMAIN for one in experiments().experiments):
        crossrec.tune(DOMAIN, trials=4, overrides=small)
    if not transfers().transfers:
        imported(SOURCE)
        crossrec.transfer(SOURCE, to=DOMAIN, shares=[0.01], overrides=small, source_users=300)


def _chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    assert found, "the benchmark needs Chromium"
    return found


def first_paint(browser: Browser, app: App, name: str) -> tuple[Page, float]:
    """A new visitor opens a page; the page, and seconds until there are data on it."""
    page = browser.new_page(viewport={"width": 1366, "height": 768})
    start = time.perf_counter()
    path = "" if name == "explore" else name
    page.goto(f"{app.address}/{path}?domain={DOMAIN}&user=7", wait_until="commit")
    page.wait_for_selector(DATA, timeout=60_000)
    taken = time.perf_counter() - start
    settle(page)
    return page, taken


def run_again(page: Page, move: Move) -> float | None:
    """Seconds from a move to the end of the run that it causes; None where it causes none."""
    page.evaluate(WATCH)
    page.wait_for_timeout(300)
    page.evaluate("window.began = 0; window.ended = 0")
    move(page)
    page.wait_for_timeout(400)
    settle(page)
    began, ended = page.evaluate("[window.began || 0, window.ended || 0]")
    return (ended - began) / 1000 if ended > began > 0 else None


def main() -> None:
    """Measure and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=N_ROUNDS)
    rounds = parser.parse_args().rounds
    paints: dict[str, list[float]] = {}
    again: dict[str, dict[str, list[float]]] = {name: {} for name in MOVES}
    exceptions = 0
    with served() as (app, browser):
        for name in MOVES:  # the first visitor of the day
            go(browser.new_page(), app.address, name, domain=DOMAIN)
        for _ in range(rounds):
            for name, moves in MOVES.items():
                page, taken = first_paint(browser, app, name)
                paints.setdefault(name, []).append(taken)
                for move in moves:
                    found = run_again(page, move)
                    if found is not None:
                        again[name].setdefault(move.name, []).append(found)
                exceptions += page.locator(EXCEPTION).count()
                page.close()
    assert not exceptions, f"{exceptions} pages raised"
    slowest = {name: _slowest(found) for name, found in again.items() if found}
    runs = {f"{name}, {move}": found for name, (move, found) in slowest.items()}
    n = sum(len(times) for found in again.values() for times in found.values())
    visits = sum(map(len, paints.values()))
    write_rows(
        "page_time",
        [
            row("first paint with data: slowest page, median of its visits", paints, visits),
            row("run again after each control of each page: slowest control, median", runs, n),
        ],
    )


def _slowest(found: dict[str, list[float]]) -> tuple[str, list[float]]:
    """The control of a page with the largest median, and its times."""
    return max(found.items(), key=lambda one: statistics.median(one[1]))


def row(what: str, times: dict[str, list[float]], n: int) -> dict[str, object]:
    """The worst by its median, its range, and all in words."""
    medians = {name: statistics.median(found) for name, found in times.items()}
    worst = max(medians, key=lambda name: medians[name])
    told = "; ".join(f"{name} {value:.2f}" for name, value in medians.items())
    return {
        "name": "page_time",
        "domain": DOMAIN,
        "value": round(medians[worst], 3),
        "unit": "s",
        "n": n,
        "ci95": [round(min(times[worst]), 3), round(max(times[worst]), 3)],
        "protocol": f"{what} ({worst}), range in ci95; real Chromium, app, service and browser on"
        f" one machine, whose load average was {os.getloadavg()[1]:.1f}; by page: {told}",
    }


if __name__ == "__main__":
    main()
