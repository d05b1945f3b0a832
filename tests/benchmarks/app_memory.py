"""Memory of the app's process after 200 interactions, and its growth over the last 100.

One analyst's session in real Chromium goes from page to page and moves their widgets, in the order
of `tests.apps.running.MOVES`, again and again; the process's resident set is read after each. The
growth is between the means of interactions 81 to 100 and 181 to 200 (rows `app_memory`).
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Iterator

import psutil
from playwright.sync_api import Error, Page

from tests.apps.running import EXCEPTION, MOVES, Move, go, settle
from tests.benchmarks.page_time import DOMAIN, served
from tests.benchmarks.rows import write_rows

N = 200
TAIL = 20


def interactions(app: str) -> Iterator[Move]:
    """Open a page, move its widgets, open the next one, for ever."""

    def opens(name: str) -> Move:
        return lambda page: go(page, app, name, domain=DOMAIN, user="7")

    for name, moves in itertools.cycle(MOVES.items()):
        yield opens(name)
        yield from moves


def main() -> None:
    """Measure and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interactions", type=int, default=N)
    n = parser.parse_args().interactions
    sizes: list[float] = []
    missed = 0
    with served() as (app, browser):
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.set_default_timeout(15_000)
        process = psutil.Process(app.process.pid)
        for move in itertools.islice(interactions(app.address), n):
            missed += not moved(page, move)
            sizes.append(process.memory_info().rss / 2**20)
    half, whole = (statistics.mean(sizes[end - TAIL : end]) for end in (n // 2, n))
    protocol = (
        f"{n} interactions of one session in real Chromium over {len(MOVES)} pages ({missed} found"
        " their widget not there); resident set of the app's process"
    )
    row = {"name": "app_memory", "domain": DOMAIN, "unit": "MiB", "n": n}
    write_rows(
        "app_memory",
        [
            row | {"value": round(max(sizes[-TAIL:]), 1), "protocol": f"after: {protocol}"},
            row | {"value": round(whole - half, 1),
                   "protocol": f"growth over the last half: {protocol}"},
        ],
    )  # fmt: skip


def moved(page: Page, move: Move) -> bool:
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
