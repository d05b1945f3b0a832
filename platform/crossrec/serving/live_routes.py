"""The HTTP routes that change what is served while it is served; all need the scope `admin`.

A change is begun, not awaited: a proxy in front may be told of new routes while it is made, and
would cut off whoever waits. Leaves to others: doing it (operations.py), keys and errors
(gateway.py), messages (live_messages.py).
"""

from __future__ import annotations

from typing import Annotated, Protocol

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response
from pydantic import BaseModel

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

DomainName = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
"""A name that can be part of a path, and of a file's name."""


class Operator(Protocol):
    """What can be changed; every change is begun and can be asked for by its id.

    Raises:
        RequestError: it cannot be done as things are, or another change of the domain is under way.
        UnknownDomainError: the domain is not served.
        UnknownReleaseError: the domain has no such release.
    """

    async def status(self) -> ServiceStatus:
        """Everything that runs."""

    def change(self, change_id: str) -> Change:
        """How a change goes."""

    async def deploy(self, domain: str, release: str | None, previous: bool) -> Change:
        """Serve a release of a domain, which may be new."""

    async def undeploy(self, domain: str) -> Change:
        """Stop serving a domain."""

    async def start_experiment(self, domain: str, arms: list[ArmRequest]) -> Change:
        """Let other releases answer shares of the users."""

    async def set_shares(self, domain: str, shares: dict[str, float]) -> Change:
        """Give arms other shares."""

    async def promote(self, domain: str, arm: str) -> Change:
        """End the experiment; the arm's release answers everybody."""

    async def stop_experiment(self, domain: str) -> Change:
        """End the experiment; `control` answers everybody, and what is current stays current."""

    async def results(self, domain: str, experiment: str | None) -> ExperimentResults:
        """What came of the arms."""

    async def start_shadow(self, domain: str, release: str, share: float) -> Change:
        """Send a release copies of requests."""

    async def stop_shadow(self, domain: str) -> Change:
        """Send no more copies."""

    async def shadow(self, domain: str) -> ShadowResults:
        """What came of the copies."""


def live_routes(operator: Operator) -> APIRouter:
    """All of them, below `/admin`."""
    router = APIRouter(prefix="/admin", tags=["admin"])

    @router.get("/domains", response_model=ServiceStatus)
    async def status() -> Response:
        """Domains, releases, replicas, health, experiments, and the newest changes."""
        return _json(await operator.status())

    @router.get("/changes/{change_id}", response_model=Change)
    async def change(change_id: str) -> Response:
        """How a change goes: running, done, or failed and why."""
        return _json(operator.change(change_id))

    @router.put("/domains/{domain}", response_model=Change, status_code=202)
    async def deploy(domain: DomainName, request: DeployRequest) -> Response:
        """Serve a release of a domain and make it current: a new domain, or another release.

        The release is verified first, and taken back where it cannot be served; the other domains
        stay as they are.
        """
        return _begun(await operator.deploy(domain, request.release, request.previous))

    @router.delete("/domains/{domain}", response_model=Change, status_code=202)
    async def undeploy(domain: DomainName) -> Response:
        """Stop serving a domain; its releases stay. Requests under way are answered."""
        return _begun(await operator.undeploy(domain))

    @router.put("/domains/{domain}/experiment", response_model=Change, status_code=202)
    async def start_experiment(domain: DomainName, request: ExperimentRequest) -> Response:
        """Let other releases answer shares of the users: an A/B test, or a canary.

        Where an arm's release is current, control becomes current instead, so that a service
        that starts again goes on with the experiment.
        """
        return _begun(await operator.start_experiment(domain, request.arms))

    @router.patch("/domains/{domain}/experiment", response_model=Change, status_code=202)
    async def shares(domain: DomainName, request: SharesRequest) -> Response:
        """Give arms other shares; users of an arm that grows stay in it."""
        return _begun(await operator.set_shares(domain, request.shares))

    @router.delete("/domains/{domain}/experiment", response_model=Change, status_code=202)
    async def stop_experiment(domain: DomainName) -> Response:
        """End the experiment; `control` answers everybody.

        What is current stays current: a release that was published meanwhile is served by the next
        deployment without a name, or start of the service.
        """
        return _begun(await operator.stop_experiment(domain))

    @router.post("/domains/{domain}/experiment/promotion", response_model=Change, status_code=202)
    async def promote(domain: DomainName, request: PromotionRequest) -> Response:
        """End the experiment; the arm's release answers everybody and is current.

        422 where a release that was published meanwhile is current, which this would take back.
        """
        return _begun(await operator.promote(domain, request.arm))

    @router.get("/domains/{domain}/experiment/results", response_model=ExperimentResults)
    async def results(
        domain: DomainName, experiment: Annotated[str | None, Query(max_length=100)] = None
    ) -> Response:
        """Answers, positive events, rates and lifts with intervals of each arm.

        Of the experiment that runs, or else of the latest one.
        """
        return _json(await operator.results(domain, experiment))

    @router.put("/domains/{domain}/shadow", response_model=Change, status_code=202)
    async def start_shadow(domain: DomainName, request: ShadowRequest) -> Response:
        """Send a release copies of a share of the requests; its answers are compared, dropped."""
        return _begun(await operator.start_shadow(domain, request.release, request.share))

    @router.delete("/domains/{domain}/shadow", response_model=Change, status_code=202)
    async def stop_shadow(domain: DomainName) -> Response:
        """Send no more copies; what came of them is lost."""
        return _begun(await operator.stop_shadow(domain))

    @router.get("/domains/{domain}/shadow", response_model=ShadowResults)
    async def shadow(domain: DomainName) -> Response:
        """Overlap, errors and times of the shadow's answers."""
        return _json(await operator.shadow(domain))

    return router


def _json(message: BaseModel, status: int = 200) -> Response:
    return Response(message.model_dump_json(), status, media_type="application/json")


def _begun(change: Change) -> Response:
    return _json(change, 202)
