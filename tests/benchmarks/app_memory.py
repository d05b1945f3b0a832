"""Memory of the app's process after 200 interactions, and its growth over 100 more, later.

One analyst's session in real Chromium goes from page to page and moves their controls, in the order
of `tests.apps.walk.MOVES`, again and again; the process's resident set is read after each. A page
that is opened for the first time brings code and answers that stay, so the growth is of the last
100 interactions of a walk that has been through all pages several times: between the means of
twenty interactions at their beginning and at their end (rows `app_memory`).
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Iterator

import psutil
from playwright.sync_api import Error, Page

from tests.apps.running import EXCEPTION, go, settle
from tests.apps.walk import MOVES, Act
from tests.benchmarks.page_time import DOMAIN, served
from tests.benchmarks.rows import write_rows

N = 400
AFTER = 200
LAST = 100
TAIL = 20


def interactions(app: str) -> Iterator[Act]:
    """Open a page, move its widgets, open the next one, for ever."""

    def opens(name: str) -> Act:
        return lambda page: go(page, app, name, domain=DOMAIN, user="7")

    for name, moves in itertools.cycle(MOVES.items()):
        yield opens(name)
        yield from moves


def main() -> None:
    """Measure and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interactions", type=int, default=N)
    n = max(AFTER, parser.parse_args().interactions)
    sizes: list[float] = []
    missed = 0
    with served() as (app, browser):
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.set_default_timeout(15_000)
        process = psutil.Process(app.process.pid)
        for move in itertools.islice(interactions(app.address), n):
            missed += not moved(page, move)
            sizes.append(process.memory_info().rss / 2**20)
    write_rows("app_memory", rows(sizes, missed))


def rows(sizes: list[float], missed: int) -> list[dict[str, object]]:
    """Size after 200 interactions (largest of the last twenty), and growth of the last 100."""
    n, cycle = len(sizes), sum(1 + len(moves) for moves in MOVES.values())

    def mean(end: int) -> float:
        return statistics.mean(sizes[end - TAIL : end])

    path = ", ".join(f"{end}: {mean(end):.0f}" for end in range(50, n + 1, 50))
    protocol = (
        f"of one session in real Chromium over {len(MOVES)} pages, once through all of them in"
        f" {cycle} interactions ({missed} of {n} found their widget not there); resident set of the"
        f" app's process, mean of the {TAIL} interactions before number {path}"
    )
    row: dict[str, object] = {"name": "app_memory", "domain": DOMAIN, "unit": "MiB"}
    after = max(sizes[AFTER - TAIL : AFTER])
    growth = mean(n) - mean(n - LAST)
    return [
        row | {"value": round(after, 1), "n": AFTER,
               "protocol": f"after {AFTER} interactions {protocol}"},
        row | {"value": round(growth, 1), "n": n,
               "protocol": f"growth over the last {LAST} of {n} interactions {protocol}"},
    ]  # fmt: skip


def moved(page: Page, move: Act) -> bool:
    """Do it; False where the widget is not there, as after a search without a find."""
    try:
        move(page)
    except (Error, AssertionError):
        return False
    page.wait_for_timeout(100)
    settle(page)
    assert page.locator(EXCEPTION).count() == 0
    return True


if __name__ == "__main__":
    main()
