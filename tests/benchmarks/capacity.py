"""The capacity model against a service that is asked for all it can give, at two points.

Rows `capacity`: requests a second that were answered over those that the model says, one for
requests by user id and one where half have words. The costs are measured first, on the same two
domains with few clients; then the service is asked by 16 clients from a second process, whose own
processor time is taken off what the service has.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from itertools import islice
from typing import Any

from crossrec.releases.store import LoadedRelease, ReleaseStore
from crossrec.serving.capacity import Costs, Demand, most_per_second
from crossrec.serving.capacity_probe import measure
from tests.benchmarks.load import Ask, Load, Outcome, offered
from tests.benchmarks.rows import write_rows
from tests.benchmarks.served import copies, running

N_CLIENTS, SECONDS, ROUNDS = 16, 10.0, 3
N_REPLICAS = 2
"""That the domains share."""
N_ASKS = 40_000


def asks(
    releases: dict[str, LoadedRelease], address: str, text_share: float, salt: str
) -> Iterator[Ask]:
    """Requests of the domains in turn; every one with words has other words."""
    users = {
        name: [user for user, _ in one.catalogue.histories(400)] for name, one in releases.items()
    }
    titles = {name: one.catalogue.titles(list(range(1000))) for name, one in releases.items()}
    for number in range(N_ASKS):
        name = list(releases)[number % len(releases)]
        turn = number // len(releases)
        body: dict[str, Any] = {"user_id": users[name][turn % 400]}
        if (turn + 1) * text_share % 1 < text_share:
            body = {"text": f"something like {titles[name][turn % 1000]}, {salt} {number}"}
        yield Ask(f"{address}/v1/domains/{name}/recommendations", body)


def answered(domains: list[str], text_share: float) -> tuple[list[Outcome], float]:
    """What came of ROUNDS rounds, and the cores that asking took."""
    releases = {name: ReleaseStore().load(name) for name in domains}
    with running(domains, 0, N_REPLICAS) as service:
        found, before, wall = [], _children_s(), 0.0
        for number in range(1 + ROUNDS):  # the first warms up
            some = list(islice(asks(releases, service.address, text_share, f"{number}"), N_ASKS))
            found.append(offered(Load(some, N_CLIENTS, SECONDS)))
            wall += found[-1].seconds
        used = (_children_s() - before) / wall
    assert not any(outcome.errors for outcome in found), [outcome.errors for outcome in found]
    return found[1:], used


def _children_s() -> float:
    """Processor seconds of processes that were started here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def row(costs: Costs, domains: list[str], text_share: float) -> dict[str, Any]:
    """Measured over predicted at one point."""
    outcomes, used = answered(domains, text_share)
    values = sorted(outcome.per_second for outcome in outcomes)
    median = values[len(values) // 2]
    cores = len(os.sched_getaffinity(0)) - used
    demand = Demand(requests_per_s=1, text_share=text_share)
    predicted = most_per_second(costs, dict.fromkeys(domains, demand), cores, N_REPLICAS)
    return {
        "name": "capacity",
        "domain": domains[0].rpartition("_")[0],
        "value": median,
        "unit": "requests/s",
        "peer": "the capacity model",
        "peer_value": predicted,
        "ratio": median / predicted,
        "n": sum(len(outcome.times_ms) for outcome in outcomes),
        "ci95": [values[0], values[-1]],
        "protocol": f"{text_share:.0%} of the requests with words; {len(domains)} domains that"
        f" share {N_REPLICAS} replicas, {N_CLIENTS} clients; median of {ROUNDS} rounds of"
        f" {SECONDS:.0f} s, [least, most];"
        f" asking took {used:.2f} cores",
    }


def main() -> None:
    """Measure the costs, then both points."""
    domains = copies(ReleaseStore(), 2)
    costs = measure(domains)
    write_rows("capacity", [row(costs, domains, share) for share in (0.0, 0.5)])


if __name__ == "__main__":
    main()
