"""Serving many domains under load, beside a process a domain that a team would write instead.

Rows `throughput_over_peer`, `p95_over_peer`, `memory_over_peer` (8 domains, a request in words in
every call, 32 clients), `mixed_over_single`, `user_id_throughput`. Both services are up at once and
are asked in turn, round by round, from a third process, so that noise hits both. Each text is
asked once: nobody answers from a cache. Leaves to others: load (load.py), the peer
(peers/service.py), the domains (served.py).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

import httpx
import polars as pl

from crossrec.data.dataset import Dataset
from crossrec.models.encoder import TextEncoder
from crossrec.releases.store import LoadedRelease, ReleaseStore
from crossrec.schema import ITEM_ID, TEXT, TITLE
from crossrec.serving.process_tree import resident_bytes
from tests.benchmarks.load import Ask, Load, Outcome, offered
from tests.benchmarks.rows import write_rows
from tests.benchmarks.served import DOMAIN, copies, running
from tests.ports import free_port

Row = dict[str, Any]

N_DOMAINS, N_CLIENTS, N_USERS = 8, 32, 400
N_TEXTS, N_ASKS = 8_000, 40_000
"""Of a round: more than either service answers in its time."""
PEER = Path(__file__).parent / "peers" / "service.py"
MIRROR = Path(os.environ.get("CROSSREC_DATA_MIRROR", "../shared/data"))
MIB = 2**20
START_S = 300
SETTLE_S = 5


def request_texts() -> Iterator[str]:
    """What people asked for (ReDial, INSPIRED), each once."""
    requests = pl.read_parquet(MIRROR / "movie_requests" / "requests.parquet")
    yield from requests["text"].unique(maintain_order=True)


def facts(loaded: LoadedRelease, release_name: str, users: Sequence[str]) -> dict[str, Any]:
    """What a peer's process is told of its domain: the items, adapter and encoder of ours."""
    release = ReleaseStore().show(release_name)
    encoder = TextEncoder.load(release.manifest.encoder)
    items = Dataset.open(DOMAIN).catalogue()
    known = {user: loaded.catalogue.history(user) for user in users}
    histories = {user: seen.items.tolist() for user, seen in known.items() if seen is not None}
    return {
        "encoder": str(encoder.folder),
        "precision": encoder.precision,
        "adapter": str(release.adapter_folder),
        "max_tokens": release.config.model.max_text_tokens,
        "item_ids": items[ITEM_ID].to_list(),
        "titles": items[TITLE].to_list(),
        "texts": items[TEXT].to_list(),
        "histories": histories,
    }


@contextmanager
def peer(told: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """The address and process number of one domain's own service."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "service.json").write_text(json.dumps(told), encoding="utf-8")
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        process = subprocess.Popen([sys.executable, str(PEER), folder, str(port)], env=environment)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(address)
            yield address, process.pid
        finally:
            process.terminate()
            process.wait()


def _wait_for(address: str) -> None:
    until = time.monotonic() + START_S
    while True:
        try:
            httpx.get(f"{address}/openapi.json", timeout=5).raise_for_status()
            return
        except httpx.HTTPError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


Asking = Callable[[int], list[Ask]]
"""Round → what is asked in it."""


def measure(kinds: dict[str, Asking], rounds: int, seconds: float) -> dict[str, list[Outcome]]:
    """Every kind in every round, in turn; the round before the first warms up."""
    found: dict[str, list[Outcome]] = {kind: [] for kind in kinds}
    for round_ in range(rounds + 1):
        for kind, asking in kinds.items():
            outcome = offered(Load(asking(round_), N_CLIENTS, seconds))
            print(f"{kind}: {outcome.per_second:.0f} a second, errors {outcome.errors}", flush=True)
            if outcome.errors:
                raise SystemExit(f"{kind} failed: {outcome.errors}")
            if round_:
                found[kind].append(outcome)
    return found


def main() -> None:
    """Start both, ask them in turn, write the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    given = parser.parse_args()
    store = ReleaseStore()
    names = copies(store, N_DOMAINS)
    loaded = store.load(DOMAIN)
    users = loaded.catalogue.example_users(N_USERS)
    with ExitStack() as stack:
        service = stack.enter_context(running(names, n_noops=1))
        peers = [stack.enter_context(peer(facts(loaded, name, users))) for name in names]
        ours = [f"{service.address}/v1/domains/{name}/recommendations" for name in names]
        theirs = [f"{address}/recommendations" for address, _ in peers]
        kinds = {
            "ours in words": words(ours),
            "peer in words": words(theirs),
            "ours, one domain": words(ours[:1]),
            "ours by user": by_user(ours, users),
            "peer by user": by_user(theirs, users),
            "no-op": lambda _: [Ask(f"{service.address}/noop/0/")] * N_ASKS,
        }
        found = measure(kinds, given.rounds, given.seconds)
        time.sleep(SETTLE_S)
        memory = resident_bytes(service.pid), sum(resident_bytes(pid) for _, pid in peers)
    data_hash = store.show(names[0]).manifest.data_hash
    write_rows("throughput", [row | {"data_hash": data_hash} for row in rows(found, *memory)])


def words(urls: Sequence[str]) -> Asking:
    """A new text every time, the domains in turn."""
    texts, numbers = cycle(request_texts()), count()

    def asking(_: int) -> list[Ask]:
        # The number makes a text new when all were used: no answer is a remembered one.
        several = islice(cycle(urls), N_TEXTS)
        return [Ask(url, {"text": f"{next(numbers)} {next(texts)}"}) for url in several]

    return asking


def by_user(urls: Sequence[str], users: Sequence[str]) -> Asking:
    """Users and domains in turn."""
    several = islice(zip(cycle(urls), cycle(users), strict=False), N_ASKS)
    asks = [Ask(url, {"user_id": user}) for url, user in several]
    return lambda _: asks


def rows(found: dict[str, list[Outcome]], ours_bytes: int, theirs_bytes: int) -> list[Row]:
    """All rows of this benchmark."""
    rates = {kind: statistics.median(one.per_second for one in found[kind]) for kind in found}
    p95s = {
        kind: statistics.median(statistics.quantiles(one.times_ms, n=20)[-1] for one in found[kind])
        for kind in found
    }
    n = {kind: sum(len(one.times_ms) for one in found[kind]) for kind in found}
    n_rounds = len(found["ours in words"])
    how = (
        f"{N_DOMAINS} copies of {DOMAIN}, each with an adapter; {N_CLIENTS} kept-alive clients in"
        f" another process, median of {n_rounds} alternating rounds, HAProxy mode"
    )
    peers = f"{N_DOMAINS} FastAPI processes, merged adapters"
    texts = f"a request in words in every call, each text once; {how}"

    def row(name: str, ours: str, theirs: str, peer: str, protocol: str, p95: bool = False) -> Row:
        figures = p95s if p95 else rates
        return {
            "name": name,
            "domain": DOMAIN,
            "value": round(figures[ours], 1),
            "unit": "ms" if p95 else "requests/s",
            "peer": peer,
            "peer_value": round(figures[theirs], 1),
            "ratio": round(figures[ours] / figures[theirs], 3),
            "n": n[ours],
            "protocol": protocol,
        }

    memory = {
        "name": "memory_over_peer",
        "domain": DOMAIN,
        "value": round(ours_bytes / MIB),
        "unit": "MiB",
        "peer": peers,
        "peer_value": round(theirs_bytes / MIB),
        "ratio": round(ours_bytes / theirs_bytes, 3),
        "n": N_DOMAINS,
        "protocol": f"resident memory of the whole tree, Ray's own included, after the load; {how}",
    }
    one, users = f"the same on one domain; {how}", f"users in turn; {how}"
    return [
        row("throughput_over_peer", "ours in words", "peer in words", peers, texts),
        row("p95_over_peer", "ours in words", "peer in words", peers, texts, p95=True),
        memory,
        row("mixed_over_single", "ours in words", "ours, one domain", "one domain", one),
        row(
            "user_id_throughput", "ours by user", "no-op", "a no-op route of the same Serve", users
        ),
        row("user_id_over_peer", "ours by user", "peer by user", peers, users),
    ]


if __name__ == "__main__":
    main()
