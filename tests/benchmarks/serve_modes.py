"""Ray Serve with HAProxy and its throughput settings, and without both (rows `serve_modes`).

The same domain, served in one mode after the other, twice each, by turns: two services at once
would share the cores. Leaves to others: what the modes set (serving/environment.py), the load
(load.py).
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from typing import Any, Literal, get_args

from crossrec.releases.store import ReleaseStore
from crossrec.serving.launch import ServiceSettings, start
from tests.benchmarks.load import Load, offered
from tests.benchmarks.rows import write_rows
from tests.benchmarks.served import DOMAIN, trained
from tests.benchmarks.throughput import N_ASKS, by_user, words
from tests.ports import free_port

Mode = Literal["haproxy", "plain"]
N_CLIENTS, N_USERS = 32, 400
KINDS = {"words": "a request in words in every call", "users": "requests by user id"}


def rates(mode: Mode, users: list[str], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Kind → requests answered a second, round by round, of a service in that mode."""
    settings = ServiceSettings(domains=[DOMAIN], port=free_port(), access="loopback", mode=mode)
    found = defaultdict(list)
    with start(settings) as service:
        url = f"{service.address}/v1/domains/{DOMAIN}/recommendations"
        asking = {"words": words([url]), "users": by_user([url], users)}
        for round_ in range(rounds + 1):
            for kind, asks in asking.items():
                outcome = offered(Load(asks(round_)[:N_ASKS], N_CLIENTS, seconds))
                print(f"{mode}, {kind}: {outcome.per_second:.0f} a second", flush=True)
                if outcome.errors:
                    raise SystemExit(f"{mode} failed: {outcome.errors}")
                if round_:
                    found[kind].append(outcome.per_second)
    return found


def main() -> None:
    """Both modes by turns; a row a kind of request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of each service")
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    loaded = trained(ReleaseStore())
    users = loaded.catalogue.example_users(N_USERS)
    data_hash = loaded.release.manifest.data_hash
    loaded.close()
    modes: tuple[Mode, ...] = get_args(Mode)
    found: dict[Mode, dict[str, list[float]]] = {mode: defaultdict(list) for mode in modes}
    for mode in (*modes, *reversed(modes)):
        for kind, several in rates(mode, users, given.rounds, given.seconds).items():
            found[mode][kind] += several
    write_rows("serve_modes", [_row(kind, found, data_hash) for kind in KINDS])


def _row(kind: str, found: dict[Mode, dict[str, list[float]]], data_hash: str) -> dict[str, Any]:
    haproxy, plain = (statistics.median(found[mode][kind]) for mode in ("haproxy", "plain"))
    return {
        "name": "serve_modes",
        "domain": DOMAIN,
        "value": round(haproxy, 1),
        "unit": "requests/s",
        "peer": "plain mode: Serve's own proxy and settings",
        "peer_value": round(plain, 1),
        "ratio": round(haproxy / plain, 3),
        "n": len(found["haproxy"][kind]),
        "data_hash": data_hash,
        "protocol": f"{KINDS[kind]}; HAProxy and throughput settings, the default, over neither;"
        f" {N_CLIENTS} kept-alive clients in another process, median of rounds of two services",
    }


if __name__ == "__main__":
    main()
