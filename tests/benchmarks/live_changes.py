"""Changes under load: hot swap, roll back, a domain that is added and removed (row `live_changes`).

Kept-alive clients in other processes ask all the time, by user id and in words, and ask nothing
twice: a request that is answered with anything but 200 has failed. The domain that comes and goes
is asked from its return on, and may be answered 404 from when its removal is asked for. Leaves to
others: load (load.py), the domains (served.py).
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, cycle, islice
from typing import Any

from crossrec.releases.store import ReleaseStore
from crossrec.serving.client import Client
from tests.benchmarks.load import Ask, Load, Outcome, offered
from tests.benchmarks.rows import write_rows
from tests.benchmarks.served import DOMAIN, copies, running

N_CLIENTS, N_USERS, N_ASKS = 8, 200, 200_000
EVERY_WORDS = 9
"""One request in so many is in words; odd, so that words reach both of two domains."""
SETTLE_S = 2.0
_numbers = count()
"""Of requests, through all loads: an answer that is remembered would not need the encoder."""


def asks(address: str, domains: Sequence[str], users: Sequence[str]) -> list[Ask]:
    """Domains and users in turn; some in words, each text once."""
    urls = cycle(f"{address}/v1/domains/{domain}/recommendations" for domain in domains)

    def body(user: str) -> dict[str, Any]:
        number = next(_numbers)
        if number % EVERY_WORDS:
            return {"user_id": user}
        return {"text": f"a quiet film about music, number {number}"}

    several = islice(zip(urls, cycle(users), strict=False), N_ASKS)
    return [Ask(url, body(user)) for url, user in several]


@contextmanager
def load_on(
    address: str, domains: Sequence[str], users: Sequence[str], seconds: float
) -> Iterator[Callable[[], Outcome]]:
    """Load from a second process in the background; what is given waits for its end."""
    found: list[Outcome] = []
    load = Load(asks(address, domains, users), N_CLIENTS, seconds)
    thread = threading.Thread(target=lambda: found.append(offered(load)))
    thread.start()

    def outcome() -> Outcome:
        thread.join()
        return found[0]

    try:
        yield outcome
    finally:
        thread.join()


def main() -> None:
    """Change a running service under load and write the row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    store = ReleaseStore()
    stay, moving, guest = copies(store, 3)
    copies(store, 2)  # a second release of the one that moves
    users = store.load(DOMAIN).catalogue.example_users(N_USERS)
    # Counted from the first round's times; a change waits for Serve, not for the load.
    seconds = given.rounds * 60.0
    took: dict[str, list[float]] = {"swap": [], "roll back": [], "add": [], "remove": []}
    guests: list[Guest] = []
    with running([stay, moving], n_noops=0) as service:
        live = Client(service.address, timeout_s=60).operations

        def change(what: str, make: Callable[[], object]) -> None:
            began = time.perf_counter()
            make()
            took[what].append(time.perf_counter() - began)
            time.sleep(SETTLE_S)

        earlier = [one.version for one in store.list(moving)][-2]
        live.deploy(moving, earlier)
        newest = store.list(moving)[-1].version
        with load_on(service.address, [stay, moving], users, seconds) as outcome:
            began = time.perf_counter()
            while len(took["remove"]) < given.rounds and time.perf_counter() - began < seconds:
                change("swap", lambda: live.deploy(moving, newest))
                change("roll back", lambda: live.deploy(moving, previous=True))
                change("add", lambda: live.deploy(guest))
                with load_on(service.address, [guest], users, 15.0) as of_guest:
                    time.sleep(SETTLE_S)
                    removed_at = time.time()
                    change("remove", lambda: live.undeploy(guest))
                    guests.append(Guest(of_guest(), removed_at))
            left = seconds - (time.perf_counter() - began)
            print(f"changes made, {left:.0f} s of load left", flush=True)
            whole = outcome()
    data_hash = store.show(stay).manifest.data_hash
    write_rows("live_changes", [row(whole, guests, took) | {"data_hash": data_hash}])


@dataclass(frozen=True)
class Guest:
    """One stay of the domain that comes and goes."""

    outcome: Outcome
    removed_at: float
    """When its removal was asked for, by the clock."""

    @property
    def n_failed(self) -> int:
        """Requests that failed; that it is no longer served is said, and nothing else."""
        told = [at for at in self.outcome.failed_at.get("404", []) if at >= self.removed_at]
        return sum(self.outcome.errors.values()) - len(told)


def row(whole: Outcome, guests: list[Guest], took: dict[str, list[float]]) -> dict[str, Any]:
    """Failed requests of all, and how long changes took."""
    failed = sum(whole.errors.values()) + sum(guest.n_failed for guest in guests)
    of_guests = [(guest.outcome.errors, guest.n_failed) for guest in guests]
    print(f"errors {whole.errors}; of the domain that comes and goes, failed: {of_guests}")
    seconds = ", ".join(f"{what} {statistics.median(s):.1f}" for what, s in took.items())
    p99 = statistics.quantiles(whole.times_ms, n=100)[-1]
    n_guest = sum(len(guest.outcome.times_ms) for guest in guests)
    return {
        "name": "live_changes",
        "domain": DOMAIN,
        "value": failed,
        "unit": "failed requests",
        "n": len(whole.times_ms) + n_guest,
        "protocol": (
            f"3 copies of {DOMAIN}, each with an adapter: hot swap, roll back, add and remove a"
            f" domain over HTTP, {len(took['remove'])} rounds; {N_CLIENTS} kept-alive clients of"
            f" another process on the two that stay, {N_CLIENTS} on the one that comes and goes"
            " (404 counts as failed until its removal is asked for),"
            f" 1 request in {EVERY_WORDS} in words, none asked twice; median seconds of a change:"
            f" {seconds}; p99 of all {p99:.0f} ms; HAProxy mode"
        ),
    }


if __name__ == "__main__":
    main()
