"""What requests cost on this machine: a service is started, asked, and its processes are watched.

Processor time rather than waiting time, so that other work on the machine spoils little. Leaves to
others: what follows from the costs (capacity.py).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import psutil

from crossrec.releases.store import LoadedRelease, ReleaseStore
from crossrec.serving.arguments import (
    ENCODER_APPLICATION,
    LEARNER_APPLICATION,
    domain_application,
)
from crossrec.serving.capacity import Costs, DomainCost
from crossrec.serving.environment import free_ports
from crossrec.serving.launch import serve_domains
from crossrec.serving.process_tree import tree_of
from crossrec.serving.stages import RANK, SEARCH

N_REQUESTS = 300
N_TEXTS = 150
N_WARM = 50
N_CLIENTS = 4
N_USERS = 200
OWN_KIND = (ENCODER_APPLICATION, LEARNER_APPLICATION, domain_application(""))
"""Beginnings of the names of applications whose replicas are watched one by one."""
SETTLE_S = 3.0
"""Until figures are written and what was started has come to rest."""

Seconds = dict[str, float]
"""Kind of process → processor seconds."""
Body = dict[str, Any]


def measure(domains: Sequence[str]) -> Costs:
    """Costs of the current releases of some domains, one replica each.

    Raises:
        UnknownDomainError, ReleaseError, ServiceError: as `crossrec serve`.
    """
    store = ReleaseStore()
    port = free_ports(1)[0]
    with serve_domains(domains, port=port, open_on_loopback=True, apart=domains) as service:
        probe = _Probe(service.address, service.pid)
        releases = {name: store.load(name) for name in domains}
        found = {name: probe.domain(name, loaded) for name, loaded in releases.items()}
        memory = probe.memory()
        costs = {
            name: DomainCost(
                n_items=loaded.catalogue.n_items,
                by_id_s=by_id[domain_application(name)],
                by_text_s=by_text[domain_application(name)],
                per_items_share=probe.share_of_items(name),
                memory_bytes=memory.pop(domain_application(name)),
                item_bytes=_model_bytes(loaded) / loaded.catalogue.n_items,
            )
            for (name, loaded), (by_id, by_text) in zip(
                releases.items(), found.values(), strict=True
            )
        }
        encoder_bytes = memory.pop(ENCODER_APPLICATION)
        replica_bytes = memory[LEARNER_APPLICATION]  # which has nothing to do here
    return Costs(
        domains=costs,
        text_s=sum(by_text[ENCODER_APPLICATION] for _, by_text in found.values()) / len(found),
        encoder_bytes=encoder_bytes,
        replica_bytes=replica_bytes,
        front_s=sum(by_id["front"] for by_id, _ in found.values()) / len(found),
        other_bytes=sum(memory.values()),
    )


class _Probe:
    def __init__(self, address: str, pid: int) -> None:
        self._address, self._pid = address, pid

    def domain(self, name: str, loaded: LoadedRelease) -> tuple[Seconds, Seconds]:
        """Processor seconds of a request by user id, and of one with words."""
        by_id: Callable[[int], list[Body]] = _bodies_by_id(loaded)
        asyncio.run(self._ask(name, by_id(N_WARM)))
        asyncio.run(self._ask(name, _bodies_with_text(loaded, N_WARM, "warm")))
        asyncio.run(asyncio.sleep(SETTLE_S))
        costs = []
        for bodies in (by_id(N_REQUESTS), _bodies_with_text(loaded, N_TEXTS, "asked")):
            before = self._seconds()
            asyncio.run(self._ask(name, bodies))
            after = self._seconds()
            costs.append({kind: (after[kind] - before[kind]) / len(bodies) for kind in after})
        return costs[0], costs[1]

    async def _ask(self, name: str, bodies: list[Body]) -> None:
        waiting = iter(bodies)

        async def client() -> None:
            async with httpx.AsyncClient(base_url=self._address, timeout=60) as http:
                for body in waiting:
                    path = f"/v1/domains/{name}/recommendations"
                    (await http.post(path, json=body)).raise_for_status()

        await asyncio.gather(*(client() for _ in range(N_CLIENTS)))

    def share_of_items(self, name: str) -> float:
        """Share of a request's time that looks through the catalogue."""
        asyncio.run(asyncio.sleep(SETTLE_S))
        page = httpx.get(f"{self._address}/v1/metrics", timeout=60).text
        stages = {
            stage: float(value)
            for stage, value in re.findall(
                rf'crossrec_stage_seconds_sum{{domain="{name}",route="recommendations",'
                r'stage="(\w+)"} (\S+)',
                page,
            )
        }
        own = {s: v for s, v in stages.items() if s not in ("queue", "tokenise", "encode")}
        return (own.get(SEARCH, 0.0) + own.get(RANK, 0.0)) / sum(own.values())

    def _seconds(self) -> Seconds:
        return self._sums(lambda process: sum(process.cpu_times()[:2]))

    def memory(self) -> dict[str, float]:
        """Kind of process → bytes."""
        return self._sums(lambda process: float(process.memory_full_info().pss))

    def _sums(self, figure: Callable[[psutil.Process], float]) -> dict[str, float]:
        sums = {"front": 0.0, "other": 0.0}
        for process in tree_of(self._pid):
            try:
                kind, value = _kind(process), figure(process)
            except psutil.NoSuchProcess:
                continue
            sums[kind] = sums.get(kind, 0.0) + value
        return sums


def _kind(process: psutil.Process) -> str:
    """What a process is for, by the title that Ray gives it."""
    title = " ".join(process.cmdline()) or process.name()
    replica = re.search(r"ServeReplica:([\w-]+):", title)
    if replica and replica[1].startswith(OWN_KIND):
        return replica[1]
    return "front" if process.name() == "haproxy" or "ProxyActor" in title else "other"


def _bodies_by_id(loaded: LoadedRelease) -> Callable[[int], list[Body]]:
    users = [user_id for user_id, _ in loaded.catalogue.histories(N_USERS)] or ["nobody"]
    return lambda n: [{"user_id": users[i % len(users)]} for i in range(n)]


def _bodies_with_text(loaded: LoadedRelease, n: int, salt: str) -> list[Body]:
    """Words of titles, each request another one: a text that was asked before costs nothing."""
    return [{"text": text} for text in _texts(loaded, n, salt)]


def _texts(loaded: LoadedRelease, n: int, salt: str) -> Iterator[str]:
    titles = loaded.catalogue.titles(list(range(min(n, loaded.catalogue.n_items))))
    for number in range(n):
        yield f"something like {titles[number % len(titles)]}, {salt} {number}"


def _model_bytes(loaded: LoadedRelease) -> int:
    return (loaded.release.folder / "model.safetensors").stat().st_size
