"""Client of the routes that change what is served; `client.operations` of a `Client` is one.

A change is begun by one request and asked for until it is made, so no request is long. Leaves to
others: everyday requests (client.py), the server's side (live_routes.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from crossrec.errors import RequestError, ServiceError, error_class
from crossrec.serving.live_messages import (
    ArmRequest,
    Change,
    DeployRequest,
    ExperimentRequest,
    ExperimentResults,
    PromotionRequest,
    ServiceStatus,
    ShadowRequest,
    ShadowResults,
    SharesRequest,
)

CHANGE_TIMEOUT_S = 300.0
POLL_S = 0.25

Answer = TypeVar("Answer", bound=BaseModel)


class Send(Protocol):
    """Asks the service; see `Client`."""

    def __call__(
        self, method: str, path: str, answer: type[Answer], partly: None = None, **options: Any
    ) -> Answer:
        """The answer, or the error that the service names."""


class LiveClient:
    """Changes what a running service serves; needs the scope `admin`.

    Every method that changes something returns when it is made, and raises:
        AuthError: no key with the scope.
        UnknownDomainError: the domain has no release, or is not served.
        UnknownReleaseError: the domain has no such release.
        ReleaseError, EncoderError: the release is damaged, or made with another encoder.
        RequestError: it cannot be done as things are.
        ServiceError: the service failed; what was served before is served again.
    """

    def __init__(self, send: Send, on_wait: Callable[[], object] | None = None) -> None:
        self._send = send
        self._on_wait = on_wait or (lambda: None)

    def status(self) -> ServiceStatus:
        """Domains, releases, replicas, health, experiments, and the newest changes."""
        return self._send("GET", "/v1/admin/domains", ServiceStatus)

    def deploy(self, domain: str, release: str | None = None, *, previous: bool = False) -> Change:
        """Serve a release of a domain, which may be new, and make it current.

        Args:
            domain: its name.
            release: a version; None: the current one.
            previous: instead, the one before the release that is served.
        """
        request = _message(DeployRequest, release=release, previous=previous)
        return self._change("PUT", domain, "", request)

    def undeploy(self, domain: str) -> Change:
        """Stop serving a domain; its releases stay."""
        return self._change("DELETE", domain, "")

    def start_experiment(self, domain: str, arms: Sequence[tuple[str, str, float]]) -> Change:
        """Let other releases answer shares of the users: (name, version, share) each.

        Where an arm's release is current, control becomes current instead, so that a service
        that starts again goes on with the experiment.
        """
        given = [_message(ArmRequest, name=n, release=r, share=s) for n, r, s in arms]
        return self._change("PUT", domain, "/experiment", _message(ExperimentRequest, arms=given))

    def set_shares(self, domain: str, **shares: float) -> Change:
        """Give arms other shares: `set_shares("movies", canary=0.25)`."""
        return self._change("PATCH", domain, "/experiment", _message(SharesRequest, shares=shares))

    def promote(self, domain: str, arm: str) -> Change:
        """End the experiment; the arm's release answers everybody and is current.

        Raises:
            RequestError: also where a release that was published meanwhile is current, which this
                would take back; stop the experiment and deploy what is to be served.
        """
        request = _message(PromotionRequest, arm=arm)
        return self._change("POST", domain, "/experiment/promotion", request)

    def stop_experiment(self, domain: str) -> Change:
        """End the experiment; the release that was served before it answers everybody.

        What is current stays current: a release that was published meanwhile is served by the next
        `deploy` without a version, or start of the service.
        """
        return self._change("DELETE", domain, "/experiment")

    def results(self, domain: str, experiment: str | None = None) -> ExperimentResults:
        """What came of the arms, of the experiment that runs or else of the latest one."""
        params = {} if experiment is None else {"experiment": experiment}
        path = _path(domain, "/experiment/results")
        return self._send("GET", path, ExperimentResults, params=params)

    def start_shadow(self, domain: str, release: str, share: float = 1.0) -> Change:
        """Send a release copies of a share of the requests."""
        request = _message(ShadowRequest, release=release, share=share)
        return self._change("PUT", domain, "/shadow", request)

    def stop_shadow(self, domain: str) -> Change:
        """Send no more copies."""
        return self._change("DELETE", domain, "/shadow")

    def shadow(self, domain: str) -> ShadowResults:
        """What came of the copies."""
        return self._send("GET", _path(domain, "/shadow"), ShadowResults)

    def _change(
        self, method: str, domain: str, rest: str, message: BaseModel | None = None
    ) -> Change:
        options: dict[str, Any] = {}
        if message is not None:
            options = {"content": message.model_dump_json(exclude_defaults=True)}
            options["headers"] = {"Content-Type": "application/json"}
        change = self._send(method, _path(domain, rest), Change, **options)
        until = time.monotonic() + CHANGE_TIMEOUT_S
        while change.state == "running":
            if time.monotonic() > until:
                raise ServiceError(
                    f"'{domain}' is still being changed ({change.what}) after"
                    f" {CHANGE_TIMEOUT_S:.0f} s; see: crossrec status"
                )
            time.sleep(POLL_S)
            self._on_wait()
            change = self._send("GET", f"/v1/admin/changes/{change.change_id}", Change)
        if change.error is not None:
            raise error_class(change.kind, ServiceError)(change.error)
        return change


def _path(domain: str, rest: str) -> str:
    return f"/v1/admin/domains/{quote(domain, safe='')}{rest}"


def _message(kind: type[Answer], **fields: Any) -> Answer:
    try:
        return kind.model_validate(fields)
    except ValidationError as err:
        reasons = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}".removeprefix(": ") for e in err.errors()
        )
        raise RequestError(f"this is no valid request: {reasons}") from err
