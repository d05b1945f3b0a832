"""The verbs about a running service: start one, ask one.

Leaves to others: doing it (serving/).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crossrec.config import DEFAULT_URL
from crossrec.verbs.inputs import expect_domains

if TYPE_CHECKING:
    from crossrec.serving.launch import Mode, Service
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
) -> Service:
    """Serve the current releases of domains behind one HTTP API; returns once they answer.

    `with crossrec.serve("movies", open_on_loopback=True) as service: …` stops it at the end.

    Args:
        open_on_loopback: no keys, but callers from this machine only.
        mode: haproxy: HAProxy in front; plain: Ray Serve's own proxy.
        address: of a Ray cluster; None: a local one that ends with the service.
        replicas: of each domain.
        max_replicas: as many as the load asks for, up to this; None: always `replicas`.
        max_encoders: the same for the encoder; None: one.

    Raises:
        UnknownDomainError, ReleaseError: a domain has no release, or they share no encoder.
        ConfigError: the port is taken, or the access is not safe.
        AuthError: keys are asked for and none exists.
        ServiceError: the service did not come up.
    """
    from crossrec.serving.launch import serve_domains

    expect_domains(domains)
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
    )


def recommend(
    domain: str, *, url: str = DEFAULT_URL, api_key: str | None = None, **fields: Any
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
