"""How many replicas, how much memory and how many nodes a load needs, from measured costs.

A linear model: every process spends seconds of processor time on each request and holds memory.
Domains share replicas, or each has its own (`--apart`); both are planned. What a replica spends
on looking through the catalogue grows with the items; the rest does not. Leaves to others:
measuring the costs (capacity_probe.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from crossrec.config import SearchConfig
from crossrec.errors import ConfigError, suggest

BUSY = 0.6
"""Share of a core that a process is planned to use: beyond it requests wait for each other."""
MEMORY_SHARE = 0.8
"""Of a node's memory; the rest is for the system and its file cache."""


EXACT_UP_TO: int = SearchConfig().exact_up_to


class _Figures(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DomainCost(_Figures):
    """What one domain's replica needs."""

    n_items: int
    by_id_s: float
    """Processor seconds of a request by user id."""
    by_text_s: float
    """The same with words, beside what the encoder spends."""
    per_items_share: float
    """Share of `by_id_s` that grows with the number of items."""
    memory_bytes: float
    item_bytes: float
    """Of the memory, for each item."""

    def seconds(self, text_share: float, n_items: int) -> float:
        """Processor seconds of a mean request, with that many items.

        Of more than EXACT_UP_TO an index names those to look at, which takes no longer than so
        many by themselves (rows `million_p50`).
        """
        looked_at = min(n_items, EXACT_UP_TO) / min(self.n_items, EXACT_UP_TO)
        grown = self.by_id_s * self.per_items_share * (looked_at - 1)
        return (1 - text_share) * self.by_id_s + text_share * self.by_text_s + grown

    def memory(self, n_items: int) -> float:
        """Bytes of a replica with that many items."""
        return self.memory_bytes + self.item_bytes * (n_items - self.n_items)


class Costs(_Figures):
    """What a service's processes need; memory is proportional set size."""

    domains: dict[str, DomainCost]
    text_s: float
    """Processor seconds of the encoder for one text."""
    encoder_bytes: float
    replica_bytes: float
    """Of a replica before it answers for any domain."""
    front_s: float
    """Of everything before the replicas (HAProxy), for one request."""
    other_bytes: float
    """Of everything that is there once: Ray, Serve's controller, the system application."""


class Demand(_Figures):
    """What one domain is asked."""

    requests_per_s: float
    text_share: float = 0.0
    """Share of the requests that have words."""
    n_items: int | None = None
    """None: as many as were measured."""


class Plan(_Figures):
    """What the demands need."""

    shared: int
    """Replicas, where the domains share them."""
    replicas: dict[str, int]
    """Of each domain, where each has its own."""
    encoders: int
    cores: float
    """Of processor time at the planned load, all processes together."""
    memory_bytes: float
    """Where the domains share replicas."""
    memory_apart_bytes: float
    nodes: int
    """Where the domains share replicas."""


class CapacityReport(_Figures):
    """Costs, and what follows from them."""

    costs: Costs
    plan: Plan


def plan(
    costs: Costs, demands: Mapping[str, Demand], node_cores: float, node_memory_bytes: float
) -> Plan:
    """Replicas, encoders and nodes so that no process is busy more than BUSY of the time.

    Raises:
        ConfigError: a demand of a domain that was not measured, or a node too small for a replica.
    """
    busy, front, texts = 0.0, 0.0, 0.0
    replicas: dict[str, int] = {}
    sizes: dict[str, float] = {}
    for name, demand in demands.items():
        cost = costs.domains.get(name)
        if cost is None:
            raise ConfigError(f"nothing was measured of '{name}': {suggest(name, costs.domains)}")
        n_items = demand.n_items or cost.n_items
        seconds = demand.requests_per_s * cost.seconds(demand.text_share, n_items)
        replicas[name] = max(1, math.ceil(seconds / BUSY))
        sizes[name] = cost.memory(n_items)
        busy += seconds
        front += demand.requests_per_s * costs.front_s
        texts += demand.requests_per_s * demand.text_share
    encoders = max(1, math.ceil(texts * costs.text_s / BUSY))
    shared = max(1, math.ceil(busy / BUSY))
    of_all = costs.replica_bytes + sum(
        max(0.0, one - costs.replica_bytes) for one in sizes.values()
    )
    rest = costs.other_bytes + encoders * costs.encoder_bytes
    memory = rest + shared * of_all
    usable = node_memory_bytes * MEMORY_SHARE
    _expect_room(max(costs.encoder_bytes, of_all), node_memory_bytes)
    cores = (busy + front + texts * costs.text_s) / BUSY
    return Plan(
        shared=shared,
        replicas=replicas,
        encoders=encoders,
        cores=cores,
        memory_bytes=memory,
        memory_apart_bytes=rest + sum(replicas[name] * size for name, size in sizes.items()),
        nodes=max(math.ceil(cores / node_cores), math.ceil(memory / usable), 1),
    )


def _expect_room(largest: float, node_memory_bytes: float) -> None:
    if largest > node_memory_bytes * MEMORY_SHARE:
        raise ConfigError(
            f"a node of {node_memory_bytes / 2**30:.1f} GiB has no room for one process of"
            f" {largest / 2**30:.1f} GiB; use larger nodes"
        )


def most_per_second(
    costs: Costs, shares: Mapping[str, Demand], cores: float, replicas: int | None = None
) -> float:
    """Requests a second at which the replicas, one encoder or the machine is full.

    Args:
        shares: domain → demand; only the proportions of `requests_per_s` count.
        cores: that the service has to itself.
        replicas: that the domains share; None: each has one of its own.
    """
    total = sum(demand.requests_per_s for demand in shares.values())
    front, text = 0.0, 0.0
    answering: list[float] = []
    for name, demand in shares.items():
        cost, share = costs.domains[name], demand.requests_per_s / total
        answering.append(share * cost.seconds(demand.text_share, demand.n_items or cost.n_items))
        front += share * costs.front_s
        text += share * demand.text_share * costs.text_s
    # A replica answers in one thread.
    limits = answering if replicas is None else [sum(answering) / replicas]
    return 1 / max(*limits, text, (sum(answering) + front + text) / cores)
