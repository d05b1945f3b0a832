"""The capacity model against services that are asked for all they can give.

Rows `capacity` at points that differ in domains, size of the catalogue, replicas and words:
requests a second that were answered over those that the model says, and memory of the whole tree
over what it plans for as many replicas. The costs are measured first, on the same domains with few
clients, one replica each; then the services are asked by 16 clients from a second process, whose
own processor time is taken off what the service has.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import psutil

from crossrec.releases.store import LoadedRelease, ReleaseStore
from crossrec.serving.capacity import BUSY, Costs, Demand, most_per_second, plan
from crossrec.serving.capacity_probe import measure
from crossrec.serving.process_tree import tree_of
from tests.benchmarks.load import Ask, Load, Outcome, offered
from tests.benchmarks.rows import write_rows
from tests.benchmarks.served import copies, running, trained

N_CLIENTS, SECONDS, ROUNDS = 16, 10.0, 3
N_ASKS = 40_000
N_USERS, N_TITLES = 400, 1000
SMALL = "restaurants_sim"
MIB = 2**20


@dataclass(frozen=True)
class Point:
    """What is served, and asked."""

    domains: list[str]
    replicas: int
    """That the domains share."""
    text_share: float

    def demands(self, requests_per_s: float) -> dict[str, Demand]:
        """So many requests, spread evenly."""
        each = requests_per_s / len(self.domains)
        demand = Demand(requests_per_s=each, text_share=self.text_share)
        return dict.fromkeys(self.domains, demand)


@dataclass(frozen=True)
class Found:
    """What came of a point."""

    outcomes: list[Outcome]
    asking_cores: float
    """That asking took."""
    memory_bytes: float
    """Of the tree (proportional set size), after the load."""


def asks(
    releases: dict[str, LoadedRelease], address: str, text_share: float, salt: str
) -> Iterator[Ask]:
    """Requests of the domains in turn; every one with words has other words."""
    users = {
        name: [user for user, _ in one.catalogue.histories(N_USERS)]
        for name, one in releases.items()
    }
    titles = {
        name: one.catalogue.titles(list(range(min(N_TITLES, one.catalogue.n_items))))
        for name, one in releases.items()
    }
    for number in range(N_ASKS):
        name = list(releases)[number % len(releases)]
        turn = number // len(releases)
        body: dict[str, Any] = {"user_id": users[name][turn % len(users[name])]}
        if (turn + 1) * text_share % 1 < text_share:
            title = titles[name][turn % len(titles[name])]
            body = {"text": f"something like {title}, {salt} {number}"}
        yield Ask(f"{address}/v1/domains/{name}/recommendations", body)


def answered(point: Point) -> Found:
    """What came of ROUNDS rounds."""
    releases = {name: ReleaseStore().load(name) for name in point.domains}
    with running(point.domains, 0, point.replicas) as service:
        found, before, wall = [], _children_s(), 0.0
        for number in range(1 + ROUNDS):  # the first warms up
            several = asks(releases, service.address, point.text_share, f"{number}")
            found.append(offered(Load(list(islice(several, N_ASKS)), N_CLIENTS, SECONDS)))
            wall += found[-1].seconds
        used = (_children_s() - before) / wall
        time.sleep(1.0)
        memory = _memory_of(service.pid)
    assert not any(outcome.errors for outcome in found), [outcome.errors for outcome in found]
    return Found(found[1:], used, memory)


def _children_s() -> float:
    """Processor seconds of processes that were started here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _memory_of(pid: int) -> float:
    total = 0.0
    for process in tree_of(pid):
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total


def planned_bytes(costs: Costs, point: Point) -> float:
    """Memory that is planned for a load that wants as many replicas as the point has."""
    alone = point.demands(1.0)
    busy = sum(
        one.requests_per_s
        * costs.domains[name].seconds(one.text_share, costs.domains[name].n_items)
        for name, one in alone.items()
    )
    wanted = point.demands((point.replicas - 0.5) * BUSY / busy)
    found = plan(costs, wanted, node_cores=64, node_memory_bytes=2**40)
    assert found.shared == point.replicas
    # The service has one encoder, however many the load would want.
    return found.memory_bytes - (found.encoders - 1) * costs.encoder_bytes


def rows(costs: Costs, point: Point) -> list[dict[str, Any]]:
    """Requests a second and memory at one point, measured over predicted."""
    found = answered(point)
    values = sorted(outcome.per_second for outcome in found.outcomes)
    median = values[len(values) // 2]
    cores = len(os.sched_getaffinity(0)) - found.asking_cores
    predicted = most_per_second(costs, point.demands(1.0), cores, point.replicas)
    planned = planned_bytes(costs, point)
    sizes = "/".join(str(costs.domains[name].n_items) for name in point.domains)
    where = (
        f"{'+'.join(point.domains)} ({sizes} items) on {point.replicas} shared replica(s),"
        f" {point.text_share:.0%} of the requests with words, {N_CLIENTS} clients"
    )
    common = {
        "name": "capacity",
        "domain": point.domains[0].removesuffix("_1"),
        "peer": "the capacity model",
        "n": sum(len(outcome.times_ms) for outcome in found.outcomes),
    }
    speed = {
        "value": median,
        "unit": "requests/s",
        "peer_value": predicted,
        "ratio": median / predicted,
        "ci95": [values[0], values[-1]],
        "protocol": f"{where}; median of {ROUNDS} rounds of {SECONDS:.0f} s, [least, most];"
        f" asking took {found.asking_cores:.2f} cores",
    }
    memory = {
        "value": round(found.memory_bytes / MIB),
        "unit": "MiB",
        "peer_value": round(planned / MIB),
        "ratio": found.memory_bytes / planned,
        "protocol": f"{where}; memory of the whole tree after that load, proportional set size",
    }
    return [common | speed, common | memory]


def main() -> None:
    """Measure the costs, then each point."""
    store = ReleaseStore()
    trained(store, SMALL).close()
    films = copies(store, 2)
    costs = measure([SMALL, *films])
    points = [
        Point([SMALL], replicas=1, text_share=0.0),
        Point(films, replicas=2, text_share=0.0),
        Point(films, replicas=2, text_share=0.5),
    ]
    write_rows("capacity", [row for point in points for row in rows(costs, point)])


if __name__ == "__main__":
    main()
