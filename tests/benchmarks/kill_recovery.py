"""`kill -9` of each kind of process under load: requests that fail though they are asked once more.

Rows `kill_recovery`, one a process: `value` is the failed requests, the protocol has the seconds
until the last request that was hit had its answer. Clients do as `serving.client.Client` does: a
request that was cut off waits until the domain answers again, and is asked once more. Leaves to
others: load (load.py), what is asked (live_changes.py), the domains (served.py).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import threading
import time
from typing import Any

import psutil

from crossrec.releases.store import ReleaseStore
from crossrec.serving.client import Client
from crossrec.serving.launch import Service
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


VICTIMS = {
    "replica": "ServeReplica:domains:",
    "controller": "ServeController",
    "proxy": "haproxy.cfg",
    "proxy actor": "HAProxyManager",
    "encoder": "ServeReplica:encoder",
    "learner": "ServeReplica:learner",
    "system": "ServeReplica:system",
}
"""What is killed → what its command line holds."""


def kill(service: Service, pattern: str) -> int:
    """End all processes of the service with that in their command line; how many there were."""
    found = 0
    for process in tree_of(service.pid):
        with contextlib.suppress(psutil.Error):
            if pattern in " ".join(process.cmdline()):
                os.kill(process.pid, signal.SIGKILL)
                found += 1
    return found


def measure(service: Service, domains: list[str], users: list[str], pattern: str) -> dict[str, Any]:
    """What came of a kill under load."""
    found: list[Outcome] = []
    load = Load(asks(service.address, domains, users), N_CLIENTS, SECONDS, PATIENCE_S)
    thread = threading.Thread(target=lambda: found.append(offered(load)))
    thread.start()
    time.sleep(BEFORE_S)
    at = time.time()
    n_killed = kill(service, pattern)
    thread.join()
    outcome = found[0]
    hit = [moment - at for moment in outcome.hit_at if moment > at]
    last = max(hit, default=0.0)
    print(f"{pattern}: {n_killed} killed, first {outcome.first_errors}, then {outcome.errors}")
    print(f"the last hit after {last:.1f} s, of {len(outcome.times_ms)}", flush=True)
    return {"killed": n_killed, "outcome": outcome, "recovery_s": last}


def wait_until_ready(service: Service) -> None:
    """Until everything runs again."""
    until = time.monotonic() + READY_S
    with Client(service.address, timeout_s=20) as client:
        while time.monotonic() < until:
            with contextlib.suppress(Exception):
                if client.ready().ready:
                    return
            time.sleep(0.5)
    raise SystemExit("the service did not recover")


def main() -> None:
    """Kill them in turn and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[])
    given = parser.parse_args()
    store = ReleaseStore()
    domains = copies(store, 2)
    users = store.load(DOMAIN).catalogue.example_users(N_USERS)
    data_hash = store.show(domains[0]).manifest.data_hash
    made = []
    with running(domains, n_noops=0) as service:
        for what, pattern in VICTIMS.items():
            if given.only and what not in given.only:
                continue
            result = measure(service, domains, users, pattern)
            if not result["killed"]:
                print(f"no {what} runs")
                continue
            wait_until_ready(service)
            made.append(row(what, result) | {"data_hash": data_hash})
    write_rows("kill_recovery", made)


def row(what: str, result: dict[str, Any]) -> dict[str, Any]:
    """Failed requests, with the seconds to recover."""
    outcome: Outcome = result["outcome"]
    n_again = sum(outcome.first_errors.values())
    p99 = statistics.quantiles(outcome.times_ms, n=100)[-1]
    return {
        "name": "kill_recovery",
        "domain": DOMAIN,
        "value": sum(outcome.errors.values()),
        "unit": "failed requests",
        "n": len(outcome.times_ms),
        "protocol": (
            f"{what}: killed under load of {N_CLIENTS} kept-alive clients of another process on 2"
            f" copies of {DOMAIN}, 1 replica each, 1 request in {EVERY_WORDS} in words;"
            f" {result['recovery_s']:.1f} s until the last request that was hit had its answer,"
            f" {n_again} asked once more after at most {PATIENCE_S:.0f} s; p99 of all {p99:.0f} ms;"
            " HAProxy mode"
        ),
    }


if __name__ == "__main__":
    main()
