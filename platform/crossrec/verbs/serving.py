"""The verbs about a running service: start one, ask one.

Leaves to others: doing it (serving/).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from crossrec.config import DEFAULT_URL
from crossrec.verbs.inputs import expect_domains
from crossrec.verbs.progress import bar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from crossrec.serving.capacity import CapacityReport
    from crossrec.serving.launch import Mode, Service
    from crossrec.serving.messages import RequestFields
    from crossrec.shown.answers import Recommendations


def serve(
    *domains: str,
    host: str = "127.0.0.1",
    port: int = 8000,
    open_on_loopback: bool = False,
    mode: Mode = "haproxy",
    address: str | None = None,
    replicas: int = 1,
    max_replicas: int | None = None,
    max_encoders: int | None = None,
    apart: Sequence[str] = (),
    progress: bool = False,
) -> Service:
    """Serve the current releases of domains behind one HTTP API; returns once they answer.

    `with crossrec.serve("movies", open_on_loopback=True) as service: …` stops it at the end.

    Args:
        open_on_loopback: no keys, but callers from this machine only.
        mode: haproxy: HAProxy in front; plain: Ray Serve's own proxy.
        address: of a Ray cluster; None: a local one that ends with the service.
        replicas: that answer for the domains, each for all that share them.
        max_replicas: as many as the load asks for, up to this; None: always `replicas`.
        max_encoders: the same for the encoder; None: one.
        apart: those of the domains that get replicas of their own.
        progress: show each step until it answers.

    Raises:
        UnknownDomainError, ReleaseError: a domain has no release, or they share no encoder.
        ConfigError: the port is taken, the access is not safe, or a domain is to be apart that is
            none of the domains.
        AuthError: keys are asked for and none exists.
        ServiceError: the service did not come up.
    """
    from crossrec.serving.launch import serve_domains

    expect_domains(domains)
    with bar(f"serving {', '.join(domains)}", None, progress) as draw:
        return serve_domains(
            domains,
            host,
            port,
            open_on_loopback,
            mode=mode,
            address=address,
            replicas=replicas,
            max_replicas=max_replicas,
            max_encoders=max_encoders,
            apart=apart,
            tell=draw,
        )


def capacity(
    *domains: str,
    requests_per_s: float,
    text_share: float = 0.2,
    n_items: int | None = None,
    node_cores: float = 8,
    node_memory_gib: float = 32,
    costs_file: Path | None = None,
) -> CapacityReport:
    """Replicas, memory and nodes that a load on some domains needs; costs are measured here.

    Args:
        requests_per_s: of each domain.
        text_share: of the requests that have words, which cost the encoder's time.
        n_items: of each domain; None: as the current releases have.
        costs_file: where costs are read from if it is there, and kept if not.

    Raises:
        UnknownDomainError, ReleaseError: a domain has no release, or they share no encoder.
        ServiceError: the service that is measured did not come up.
        ConfigError: the nodes are too small, or the costs are of other domains.
    """
    from pydantic import ValidationError

    from crossrec.errors import ConfigError
    from crossrec.serving.capacity import CapacityReport, Costs, Demand, plan
    from crossrec.serving.capacity_probe import measure

    expect_domains(domains)
    if costs_file is not None and costs_file.is_file():
        try:
            costs = Costs.model_validate_json(costs_file.read_bytes())
        except ValidationError as err:
            raise ConfigError(
                f"{costs_file} holds no costs; remove it, or name another file: they are measured"
            ) from err
    else:
        costs = measure(domains)
        if costs_file is not None:
            costs_file.write_text(costs.model_dump_json(indent=1), encoding="utf-8")
    demand = Demand(requests_per_s=requests_per_s, text_share=text_share, n_items=n_items)
    demands = dict.fromkeys(domains, demand)
    return CapacityReport(
        costs=costs, plan=plan(costs, demands, node_cores, node_memory_gib * 2**30)
    )


def recommend(
    domain: str,
    *,
    url: str = DEFAULT_URL,
    api_key: str | None = None,
    **fields: Unpack[RequestFields],
) -> Recommendations:
    """Ask a running service: `recommend("movies", user_id="196", text="…", k=5, explain=True)`.

    What counts beside relevance, and what is kept or left out, are fields like any other:
    `recommend("shop", objectives={"price": 0.5}, where="price < 20", at_most={"brand": 2})`.

    Args:
        fields: those of a request, see `serving.messages.RecommendRequest`.

    Raises:
        ServiceError: no service answers at `url`.
        RequestError: the service refuses what was asked for.
    """
    from crossrec.serving.client import Client
    from crossrec.shown.answers import Recommendations

    with Client(url, api_key) as client:
        return Recommendations.of(client.recommend(domain, **fields))
