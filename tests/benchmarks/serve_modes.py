"""Ray Serve with HAProxy and with its settings for throughput, each alone, both, and neither.

Rows `serve_modes`: both, the default, over each of the others. The same domain is served in one way
after the other, twice each, by turns: two services at once would share the cores. Leaves to
others: what the settings are (serving/environment.py), the load (load.py).
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from crossrec.releases.store import ReleaseStore
from crossrec.serving.environment import THROUGHPUT
from crossrec.serving.launch import Mode, ServiceSettings, start
from tests.benchmarks.load import Load, offered
from tests.benchmarks.rows import write_rows
from tests.benchmarks.served import DOMAIN, trained
from tests.benchmarks.throughput import N_ASKS, by_user, words
from tests.ports import free_port


@dataclass(frozen=True)
class Way:
    """How Serve is run."""

    mode: Mode
    throughput: str
    """Of Ray's own variable."""


BOTH = "both"
WAYS = {
    BOTH: Way("haproxy", "1"),
    "HAProxy alone": Way("haproxy", "0"),
    "throughput settings alone": Way("plain", "1"),
    "neither": Way("plain", "0"),
}
N_CLIENTS, N_USERS = 32, 400
KINDS = {"words": "a request in words in every call", "users": "requests by user id"}

Rates = dict[str, list[float]]
"""Kind of request → answered a second, round by round."""


def rates(name: str, users: list[str], rounds: int, seconds: float) -> Rates:
    """Of a service that is run in that way."""
    way, found = WAYS[name], defaultdict(list)
    os.environ[THROUGHPUT] = way.throughput
    settings = ServiceSettings(domains=[DOMAIN], port=free_port(), access="loopback", mode=way.mode)
    with start(settings) as service:
        url = f"{service.address}/v1/domains/{DOMAIN}/recommendations"
        asking = {"words": words([url]), "users": by_user([url], users)}
        for round_ in range(rounds + 1):
            for kind, asks in asking.items():
                outcome = offered(Load(asks(round_)[:N_ASKS], N_CLIENTS, seconds))
                print(f"{name}, {kind}: {outcome.per_second:.0f} a second", flush=True)
                if outcome.errors:
                    raise SystemExit(f"{name} failed: {outcome.errors}")
                if round_:
                    found[kind].append(outcome.per_second)
    return found


def main() -> None:
    """All ways by turns; a row a kind of request and other way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of each service")
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    loaded = trained(ReleaseStore())
    users = loaded.catalogue.example_users(N_USERS)
    data_hash = loaded.release.manifest.data_hash
    loaded.close()
    found: dict[str, Rates] = {name: defaultdict(list) for name in WAYS}
    for name in (*WAYS, *reversed(WAYS)):
        for kind, several in rates(name, users, given.rounds, given.seconds).items():
            found[name][kind] += several
    others = [name for name in WAYS if name != BOTH]
    rows = [_row(kind, other, found) for kind in KINDS for other in others]
    write_rows("serve_modes", [row | {"data_hash": data_hash} for row in rows])


def _row(kind: str, other: str, found: dict[str, Rates]) -> dict[str, Any]:
    both, its = (statistics.median(found[name][kind]) for name in (BOTH, other))
    return {
        "name": "serve_modes",
        "domain": DOMAIN,
        "value": round(both, 1),
        "unit": "requests/s",
        "peer": other,
        "peer_value": round(its, 1),
        "ratio": round(both / its, 3),
        "n": len(found[BOTH][kind]),
        "protocol": f"{KINDS[kind]}, over {other}; HAProxy and Serve's settings for throughput are"
        f" the default; {N_CLIENTS} kept-alive clients in another process, median of rounds of two"
        " services",
    }


if __name__ == "__main__":
    main()
