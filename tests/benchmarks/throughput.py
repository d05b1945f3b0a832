"""Serving many domains under load, beside a process a domain that a team would write instead.

Rows `throughput_over_peer`, `p95_over_peer`, `memory_over_peer`, `mixed_over_single` (part `words`:
8 domains, a request in words in every call, 32 clients), `user_id_throughput`, `user_id_over_peer`
(part `users`). Both services are up at once and
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
from dataclasses import dataclass
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
from tests.benchmarks.rows import update_rows
from tests.benchmarks.served import DOMAIN, copies, running
from tests.ports import free_port

Row = dict[str, Any]

N_DOMAINS, N_CLIENTS, N_USERS = 8, 32, 400
N_REPLICAS = os.cpu_count() or 1
"""That the domains share, and of the route that does nothing."""
N_TEXTS, N_ASKS = 8_000, 40_000
"""Of a round: more than either service answers in its time."""
PEER_SCRIPT = Path(__file__).parent / "peers" / "service.py"
OURS, PEER, ONE, NOOP = "ours", "peer", "ours, one domain", "no-op"
MIRROR = Path(os.environ.get("CROSSREC_DATA_MIRROR", "../shared/data"))
MIB = 2**20
START_S = 600
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
def peers(told: list[dict[str, Any]]) -> Iterator[list[tuple[str, int]]]:
    """The addresses and process numbers of the domains' own services, started together."""
    with ExitStack() as stack:
        started = [stack.enter_context(_peer(one)) for one in told]
        for address, _ in started:
            _wait_for(address)
        yield started


@contextmanager
def _peer(told: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """One of them, as it starts."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "service.json").write_text(json.dumps(told), encoding="utf-8")
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        command = [sys.executable, str(PEER_SCRIPT), folder, str(port)]
        process = subprocess.Popen(command, env=environment)
        try:
            yield f"http://127.0.0.1:{port}", process.pid
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
            outcome = offered(Load(asking(round_), N_CLIENTS, seconds, reopen=True))
            print(f"{kind}: {outcome.per_second:.0f} a second, errors {outcome.errors}", flush=True)
            if outcome.errors:
                raise SystemExit(f"{kind} failed: {outcome.errors}")
            if round_:
                found[kind].append(outcome)
    return found


@dataclass(frozen=True)
class Beside:
    """Both services, up at once."""

    ours: list[str]
    theirs: list[str]
    """Addresses of the domains' recommendations."""
    noop: str
    users: list[str]
    ours_pid: int
    their_pids: list[int]


@contextmanager
def both(store: ReleaseStore, names: list[str]) -> Iterator[Beside]:
    """Ours with all domains, and a peer's process for each."""
    loaded = store.load(DOMAIN)
    users = loaded.catalogue.example_users(N_USERS)
    with ExitStack() as stack:
        service = stack.enter_context(running(names, n_noops=1, replicas=N_REPLICAS))
        others = stack.enter_context(peers([facts(loaded, name, users) for name in names]))
        yield Beside(
            [f"{service.address}/v1/domains/{name}/recommendations" for name in names],
            [f"{address}/recommendations" for address, _ in others],
            f"{service.address}/noop/0/",
            users,
            service.pid,
            [pid for _, pid in others],
        )


def in_words(beside: Beside, rounds: int, seconds: float) -> list[Row]:
    """Requests in words: throughput, p95, memory, and all domains beside one."""
    kinds = {
        OURS: words(beside.ours),
        PEER: words(beside.theirs),
        ONE: words(beside.ours[:1]),
    }
    found = Found(measure(kinds, rounds, seconds), rounds, len(beside.ours))
    time.sleep(SETTLE_S)
    ours = resident_bytes(beside.ours_pid)
    theirs = sum(resident_bytes(pid) for pid in beside.their_pids)
    texts = "a request in words in every call, each text once"
    return [
        found.row("throughput_over_peer", PEER, found.peers, texts),
        found.row("p95_over_peer", PEER, found.peers, texts, p95=True),
        {
            "name": "memory_over_peer",
            "value": round(ours / MIB),
            "unit": "MiB",
            "peer": found.peers,
            "peer_value": round(theirs / MIB),
            "ratio": round(ours / theirs, 3),
            "n": len(beside.ours),
            "protocol": f"resident memory of the whole tree, Ray's own included, after the load;"
            f" {found.how}",
        },
        found.row("mixed_over_single", ONE, "one domain", f"{texts}; the same on one domain"),
    ]


def of_users(beside: Beside, rounds: int, seconds: float) -> list[Row]:
    """Requests by user id, beside a route that does nothing and beside the peer."""
    kinds = {
        OURS: by_user(beside.ours, beside.users),
        PEER: by_user(beside.theirs, beside.users),
        NOOP: lambda _: [Ask(beside.noop)] * N_ASKS,
    }
    found = Found(measure(kinds, rounds, seconds), rounds, len(beside.ours))
    noop = "a no-op route of the same Serve"
    return [
        found.row("user_id_throughput", NOOP, noop, "users in turn"),
        found.row("user_id_over_peer", PEER, found.peers, "users in turn"),
    ]


PARTS = {"words": in_words, "users": of_users}


def main() -> None:
    """Start both, ask them in turn, write the rows of each part when it is done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--domains", type=int, default=N_DOMAINS, help="fewer, to try it out")
    parser.add_argument("--part", choices=list(PARTS), help="only this one; else all, in turn")
    given = parser.parse_args()
    store = ReleaseStore()
    names = copies(store, given.domains, anew=False)
    common = {"domain": DOMAIN, "data_hash": store.show(names[0]).manifest.data_hash}
    with both(store, names) as beside:
        for part in [given.part] if given.part else list(PARTS):
            rows = PARTS[part](beside, given.rounds, given.seconds)
            update_rows("throughput", [row | common for row in rows])


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


class Found:
    """What was measured of several kinds: medians over the rounds."""

    def __init__(self, outcomes: dict[str, list[Outcome]], rounds: int, n_domains: int) -> None:
        self._outcomes = outcomes
        self.peers = f"{n_domains} FastAPI processes, merged adapters"
        self.how = (
            f"{n_domains} copies of {DOMAIN}, each with an adapter, that share {N_REPLICAS}"
            f" replicas; {N_CLIENTS} kept-alive clients in another process, median of {rounds}"
            " alternating rounds, HAProxy mode"
        )

    def row(self, name: str, other: str, peer: str, protocol: str, p95: bool = False) -> Row:
        """Ours beside another kind."""
        figure = _p95 if p95 else _rate
        mine, its = (
            statistics.median(figure(one) for one in self._outcomes[kind]) for kind in (OURS, other)
        )
        return {
            "name": name,
            "value": round(mine, 1),
            "unit": "ms" if p95 else "requests/s",
            "peer": peer,
            "peer_value": round(its, 1),
            "ratio": round(mine / its, 3),
            "n": sum(len(one.times_ms) for one in self._outcomes[OURS]),
            "protocol": f"{protocol}; {self.how}",
        }


def _rate(one: Outcome) -> float:
    return one.per_second


def _p95(one: Outcome) -> float:
    return statistics.quantiles(one.times_ms, n=20)[-1]


if __name__ == "__main__":
    main()
