"""`kill -9` of each kind of process under load: requests that fail though they are asked once more.

Rows `kill_recovery`, one a process: `value` is the failed requests; the protocol has the seconds
until another process was in its place and did its work again, and until the last request that was
hit had its answer. Clients do as `serving.client.Client` does: a request that was cut off waits
until the domain answers again, and is asked once more. Meanwhile somebody new chooses all the time
in a domain that learns: row `kill_choices` is the acknowledged choices that were not learned from,
or more than once. Leaves to others: load (load.py), what is asked (live_changes.py), the domains
(served.py).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil

from crossrec.domains.spec import Learning
from crossrec.releases.store import ReleaseStore
from crossrec.serving.client import Client
from crossrec.serving.launch import Service
from crossrec.serving.messages import FeedbackEvent
from crossrec.serving.process_tree import tree_of
from tests.benchmarks.live_changes import EVERY_WORDS, N_CLIENTS, N_USERS, asks
from tests.benchmarks.load import Load, Outcome, offered
from tests.benchmarks.rows import write_rows
from tests.benchmarks.served import DOMAIN, copies, running

PATIENCE_S = 30.0
BEFORE_S = 5.0
SECONDS = 45.0
"""Of load on each process, the kill after BEFORE_S; the longest start is that of the encoder."""
READY_S = 120.0
LOOK_S = 0.1
CHOOSE_EVERY_S = 0.1
LEARNING = Learning(per_address=0)
"""All choices come from one address."""
LEARNED_S = 30.0
"""Until everything acknowledged is learned from, once the load has ended."""

Works = Callable[[], bool]
"""Whether a process does its work; may raise where it does not."""


@dataclass(frozen=True)
class Victim:
    """A kind of process."""

    pattern: str
    """What its command line holds."""
    works: Callable[[Client, str], Works]
    """Made of a client and a domain once the process is dead."""
    word: str
    """What `works` finds."""


def answers_users(client: Client, domain: str) -> Works:
    """The domain answers by user id."""
    return lambda: bool(client.recommend(domain, user_id="anybody").items)


def answers_words(client: Client, domain: str) -> Works:
    """The domain answers words that nobody asked before."""
    return lambda: bool(client.recommend(domain, text=f"a film, {time.time_ns()}").items)


def tells_status(client: Client, domain: str) -> Works:
    """The system says what the controller runs."""
    return lambda: bool(client.operations.status().domains)


def is_ready(client: Client, domain: str) -> Works:
    """The system finds everything ready."""
    return lambda: client.ready().ready


def learns(client: Client, domain: str) -> Works:
    """Answers have weights that were learned since."""

    def version() -> int:
        return client.recommend(domain, user_id="anybody").weights_version or 0

    last = version()  # replicas read what is on disk before each answer
    return lambda: version() > last


VICTIMS = {
    "replica": Victim("ServeReplica:domains:", answers_users, "answered by user id"),
    "controller": Victim("ServeController", tells_status, "said what runs"),
    "proxy": Victim("haproxy.cfg", answers_users, "let a new client through"),
    "proxy actor": Victim("HAProxyManager", answers_users, "let a new client through"),
    "encoder": Victim("ServeReplica:encoder", answers_words, "read new words"),
    "learner": Victim("ServeReplica:learner", learns, "had new weights in answers"),
    "system": Victim("ServeReplica:system", is_ready, "found everything ready"),
}


def matching(service: Service, pattern: str) -> set[int]:
    """Numbers of the service's processes with that in their command line."""
    found = set()
    for process in tree_of(service.pid):
        with contextlib.suppress(psutil.Error):
            if pattern in " ".join(process.cmdline()):
                found.add(process.pid)
    return found


class Chooser:
    """Somebody new all the time, who takes the second item of what is shown, as a context manager.

    Attributes:
        n_acknowledged: choices that the service said are stored.
        errors: kind of error → how often a request failed though it was asked once more.
    """

    def __init__(self, service: Service, domain: str) -> None:
        self._address, self._domain = service.address, domain
        self.n_acknowledged = 0
        self.errors: Counter[str] = Counter()
        self._name = f"chooser-{time.time_ns()}"  # ids of an earlier run would be known already
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Chooser:
        self._thread.start()
        return self

    def __exit__(self, *ended: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with Client(self._address, patience_s=PATIENCE_S) as client:
            n = 0
            while not self._ended.wait(CHOOSE_EVERY_S):
                n += 1
                try:
                    self._choose(client, f"{self._name}-{n}")
                except Exception as err:
                    self.errors[type(err).__name__] += 1

    def _choose(self, client: Client, user: str) -> None:
        answer = client.recommend(self._domain, user_id=user, k=5)
        event = FeedbackEvent(
            event_id=user, user_id=user, event="click", item_id=answer.items[1].item_id,
            request_id=answer.request_id,
        )  # fmt: skip
        stored = client.feedback(self._domain, [event])
        self.n_acknowledged += stored.accepted + stored.duplicates


@dataclass(frozen=True)
class Killed:
    """What came of a kill under load."""

    outcome: Outcome
    errors: Counter[str]
    """Of whoever chose."""
    n_acknowledged: int
    n_learned: int
    back_s: float
    """Until another process did the work."""
    last_hit_s: float

    @property
    def n_failed(self) -> int:
        """Requests that failed though they were asked once more."""
        return sum(self.outcome.errors.values()) + sum(self.errors.values())


def measure(service: Service, domains: list[str], users: list[str], victim: Victim) -> Killed:
    """Kill under load, look when it is back, and count what was lost."""
    found: list[Outcome] = []
    load = Load(asks(service.address, domains, users), N_CLIENTS, SECONDS, PATIENCE_S)
    thread = threading.Thread(target=lambda: found.append(offered(load)))
    before = n_learned(service, domains[0])
    with Chooser(service, domains[0]) as chooser:
        thread.start()
        time.sleep(BEFORE_S)
        at = time.time()
        back_s = kill(service, domains[0], victim)
        thread.join()
    acknowledged = chooser.n_acknowledged
    hits = [moment - at for moment in found[0].hit_at if moment > at]
    killed = Killed(
        outcome=found[0],
        errors=chooser.errors,
        n_acknowledged=acknowledged,
        n_learned=learned_of(service, domains[0], before + acknowledged) - before,
        back_s=back_s,
        last_hit_s=max(hits, default=0.0),
    )
    print(f"first {found[0].first_errors}, then {found[0].errors} and {dict(chooser.errors)}")
    print(f"back after {back_s:.1f} s, the last hit after {killed.last_hit_s:.1f} s")
    print(f"learned from {killed.n_learned} of {acknowledged} choices", flush=True)
    return killed


def kill(service: Service, domain: str, victim: Victim) -> float:
    """End the processes of that kind; seconds until another one does their work.

    Raises:
        SystemExit: no such process runs, or none comes back.
    """
    doomed = matching(service, victim.pattern)
    if not doomed:
        raise SystemExit(f"no {victim.pattern} runs")
    began = time.monotonic()
    for pid in doomed:
        os.kill(pid, signal.SIGKILL)
    with Client(service.address, patience_s=PATIENCE_S) as patient:
        works = victim.works(patient, domain)
        while time.monotonic() < began + READY_S:
            if matching(service, victim.pattern) - doomed:
                with contextlib.suppress(Exception):
                    if works():
                        return time.monotonic() - began
            time.sleep(LOOK_S)
    raise SystemExit(f"no other {victim.pattern} works after {READY_S:.0f} s")


def n_learned(service: Service, domain: str) -> int:
    """Choices that the domain's learner has learned from, of this and earlier runs."""
    with Client(service.address) as client:
        return client.learner(domain).counts.get("learned", 0)


def learned_of(service: Service, domain: str, wanted: int) -> int:
    """The same, once it is as many as wanted, or LEARNED_S later."""
    until = time.monotonic() + LEARNED_S
    while (found := n_learned(service, domain)) < wanted and time.monotonic() < until:
        time.sleep(LOOK_S)
    time.sleep(1.0)  # more would be some that counted twice
    return max(found, n_learned(service, domain))


def wait_until_ready(service: Service, domain: str) -> None:
    """Until everything runs, the learner of the domain among them."""
    until = time.monotonic() + READY_S
    with Client(service.address, timeout_s=20) as client:
        while time.monotonic() < until:
            with contextlib.suppress(Exception):
                if client.ready().ready and client.learner(domain).learning:
                    return
            time.sleep(0.5)
    raise SystemExit("the service is not ready")


def main() -> None:
    """Kill them in turn and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(VICTIMS), choices=list(VICTIMS))
    given = parser.parse_args()
    store = ReleaseStore()
    domains = copies(store, 2, learning=LEARNING)
    users = store.load(DOMAIN).catalogue.example_users(N_USERS)
    data_hash = store.show(domains[0]).manifest.data_hash
    killed: dict[str, Killed] = {}
    with running(domains, n_noops=0) as service:
        for what in given.only:
            wait_until_ready(service, domains[0])
            print(what, flush=True)
            killed[what] = measure(service, domains, users, VICTIMS[what])
    rows = [*(row(what, one) for what, one in killed.items()), row_of_choices(killed)]
    write_rows("kill_recovery", [one | {"data_hash": data_hash} for one in rows])


def row(what: str, killed: Killed) -> dict[str, Any]:
    """Failed requests, with the seconds to recover."""
    outcome = killed.outcome
    n_again = sum(outcome.first_errors.values())
    p99 = statistics.quantiles(outcome.times_ms, n=100)[-1]
    return {
        "name": "kill_recovery",
        "domain": DOMAIN,
        "value": killed.n_failed,
        "unit": "failed requests",
        "n": len(outcome.times_ms),
        "protocol": (
            f"{what}: killed under load of {N_CLIENTS} kept-alive clients of another process on 2"
            f" copies of {DOMAIN} that learn and share a replica, 1 request in {EVERY_WORDS} in"
            f" words; {killed.back_s:.1f} s until another process {VICTIMS[what].word},"
            f" {killed.last_hit_s:.1f} s until the last request that was hit (asked once more, or"
            f" over a second) had its answer; {n_again} asked once more after at most"
            f" {PATIENCE_S:.0f} s; p99 of all {p99:.0f} ms; HAProxy mode"
        ),
    }


def row_of_choices(killed: dict[str, Killed]) -> dict[str, Any]:
    """Choices that were acknowledged around the kills, and not learned from once each."""
    lost = {what: one.n_acknowledged - one.n_learned for what, one in killed.items()}
    told = ", ".join(f"{what} {one.n_acknowledged}" for what, one in killed.items())
    return {
        "name": "kill_choices",
        "domain": DOMAIN,
        "value": sum(map(abs, lost.values())),
        "unit": "choices",
        "n": sum(one.n_acknowledged for one in killed.values()),
        "protocol": (
            f"somebody new chooses {CHOOSE_EVERY_S} s after the last, under load, from"
            f" {BEFORE_S:.0f} s before each kill to {SECONDS - BEFORE_S:.0f} s after; choices"
            f" acknowledged: {told}; `value`: by how many what the learner says to have learned"
            " from differs, at the end of each"
        ),
    }


if __name__ == "__main__":
    main()
