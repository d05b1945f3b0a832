"""Memory of serving 8 domains over serving 1: RSS of the whole Serve tree less Ray's own.

Ray's own is the tree of as many applications whose one route does nothing, measured in the same
run; the row `serve_memory_8_raw` is without that. RSS counts pages that processes share once for
each of them, on both sides. Each domain has an adapter, so that adapters and the item texts that
requests meet through them are counted. Row `memory_further_domain`: what each domain after the
first adds to the tree, less what its items take there.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import httpx

from crossrec.data.vocabulary import Vocabulary
from crossrec.models.tensor_file import map_tensors
from crossrec.releases.store import Release, ReleaseStore
from crossrec.serving.client import Client
from crossrec.serving.launch import Service
from crossrec.serving.process_tree import resident_bytes
from tests.benchmarks.rows import write_rows
from tests.benchmarks.served import DOMAIN, copies, running

N_DOMAINS = 8
N_APPLICATIONS = 4
"""The encoder's, the system's, the learners', and the one whose replica the domains share."""
N_REQUESTS = 50
SETTLE_S = 10
MIB = 2**20
TOWER = "sequence.tower."
"""Beginning of the names of a model's arrays that are as large whatever the items."""


def warm_up(service: Service, domains: list[str]) -> None:
    """Answers of every kind from every domain, so that what is loaded late is loaded."""
    with Client(service.address, timeout_s=60) as client:
        for domain in domains:
            users = client.card(domain).example_users
            for number in range(N_REQUESTS):
                client.recommend(domain, user_id=users[number % len(users)])
            client.recommend(domain, text="a quiet film about music", explain=True)
            client.search(domain, "music")


def resident_mib(domains: list[str]) -> float:
    """The tree of a service of these domains, after use."""
    with running(domains, n_noops=0) as service:
        warm_up(service, domains)
        time.sleep(SETTLE_S)
        return resident_bytes(service.pid) / MIB


def resident_noop_mib(n_applications: int) -> float:
    """The tree of applications that do nothing, after use."""
    with running([], n_applications) as service:
        for number in range(n_applications):
            for _ in range(N_REQUESTS):
                httpx.get(f"{service.address}/noop/{number}/").raise_for_status()
        time.sleep(SETTLE_S)
        return resident_bytes(service.pid) / MIB


def items_mib(release: Release) -> float:
    """What a release's items take in the one replica that holds them.

    Arrays of the model's file with a row or entries an item (vectors, neighbours), which scoring
    reads whole, and the item ids. Texts, titles and cards stay in the catalogue's file.
    """
    arrays = map_tensors(release.folder / "model.safetensors")
    of_items = (one.nbytes for name, one in arrays.items() if not name.startswith(TOWER))
    vocabulary = Vocabulary.load(release.folder / "vocabulary.json")
    ids, places = vocabulary.item_ids, vocabulary.item_idx
    of_ids = sum(map(sys.getsizeof, (ids, places, *ids, *places.values())))
    return (sum(of_items) + of_ids) / MIB


def main() -> None:
    """Measure all three trees and write the rows."""
    store = ReleaseStore()
    domains = copies(store, N_DOMAINS)
    eight, one = resident_mib(domains), resident_mib(domains[:1])
    ray = resident_noop_mib(N_APPLICATIONS)
    print(f"raw: {eight:.0f} and {one:.0f} MiB; Ray's own: {ray:.0f} MiB")
    figures = f"raw {eight:.0f} over {one:.0f} MiB, Ray's own {ray:.0f}"
    how = (
        f"{N_DOMAINS} copies of {DOMAIN}, each with a LoRA adapter of its own, that share a"
        f" replica, HAProxy mode, {N_REQUESTS} requests a domain"
    )
    net = f"RSS of the Serve tree less that of as many no-op FastAPI applications; {figures}; {how}"
    data_hash = store.show(domains[0]).manifest.data_hash
    items = statistics.fmean(items_mib(store.show(name)) for name in domains[1:])
    further = (eight - one) / (N_DOMAINS - 1)
    beside = (
        f"RSS of the Serve tree, ({eight:.0f} - {one:.0f}) / {N_DOMAINS - 1} = {further:.1f} MiB a"
        f" domain, less {items:.1f} of its items: the model's arrays with a row or entries an item"
        f" (vectors, neighbours), mapped by the replica, and the item ids; {how}"
    )
    write_rows(
        "serve_memory_8",
        [
            _row("serve_memory_8", eight - ray, one - ray, net, data_hash),
            _row("serve_memory_8_raw", eight, one, f"RSS of the Serve tree; {how}", data_hash),
            {
                "name": "memory_further_domain",
                "domain": DOMAIN,
                "value": round(further - items, 1),
                "unit": "MiB",
                "n": N_DOMAINS - 1,
                "protocol": beside,
                "data_hash": data_hash,
            },
        ],
    )


def _row(name: str, eight: float, one: float, protocol: str, data_hash: str) -> dict[str, Any]:
    return {
        "name": name,
        "domain": DOMAIN,
        "value": round(eight, 1),
        "unit": "MiB",
        "peer": "the same service with 1 domain",
        "peer_value": round(one, 1),
        "ratio": round(eight / one, 3),
        "n": N_DOMAINS,
        "protocol": protocol,
        "data_hash": data_hash,
    }


if __name__ == "__main__":
    main()
