"""Changes what is served while it is served, through Ray Serve; checked on 2.60.

Runs in the system's replica. One application a domain, so a change touches that domain alone; a
domain's arguments are its state, so each change is: ask a replica for them, amend them, run the
application with them. Leaves to others: the applications (deployments.py), order (changes.py),
HTTP (live_routes.py), which release answers whom (traffic.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from ray import serve

from crossrec.errors import CrossrecError, RequestError, ServiceError, UnknownDomainError, suggest
from crossrec.releases.store import CURRENT, ReleaseStore
from crossrec.serving.arguments import (
    ENCODER,
    ENCODER_APPLICATION,
    SHADOW,
    DomainArguments,
    SystemArguments,
    domain_application,
    domains_of,
    shadow_application,
)
from crossrec.serving.asking import answer_of, applications_now, ask
from crossrec.serving.audit import AuditLog
from crossrec.serving.changes import Changes
from crossrec.serving.item_updates import give_back_memory
from crossrec.serving.live_messages import (
    ApplicationStatus,
    ArmRequest,
    Change,
    DomainStatus,
    ExperimentResults,
    ServedRelease,
    ServiceStatus,
    ShadowResults,
)
from crossrec.serving.traffic import (
    CONTROL,
    ExperimentStore,
    Shadow,
    experiment_of,
    new_name,
)

STATES_AGE_S = 0.5
"""How old the service's idea of its own state may be."""
PREPARE_TIMEOUT_S = 60.0
RESULTS_TIMEOUT_S = 30.0
CHANGE_TIMEOUT_S = 120.0
"""A domain that is not up by then is taken back."""

Targets = Callable[[DomainArguments], list[serve.RunTarget]]

log = logging.getLogger(__name__)


class Operations:
    """All that can be done to a running service.

    Args:
        defaults: of domains that are new.
        targets: what Serve has to run for a domain with given arguments.
    """

    def __init__(self, defaults: SystemArguments, targets: Targets) -> None:
        self._defaults = defaults
        self._targets = targets
        self._store = ReleaseStore()
        self._changes = Changes()
        self._applications: dict[str, ApplicationStatus] = {}
        self._asked_at = -STATES_AGE_S
        self.change = self._changes.show

    async def applications(self) -> dict[str, ApplicationStatus]:
        """Every application, as Serve sees it."""
        if time.monotonic() - self._asked_at >= STATES_AGE_S:
            self._applications = await asyncio.to_thread(applications_now)
            self._asked_at = time.monotonic()
        return self._applications

    async def status(self) -> ServiceStatus:
        """Everything that runs, and the newest changes."""
        found = dict(await self.applications())
        names = domains_of(found)
        served = await asyncio.gather(*(ask(name, "served") for name in names))
        domains = [
            DomainStatus(
                domain=name,
                serves=serves if isinstance(serves, ServedRelease) else None,
                **found.pop(domain_application(name)).model_dump(),
            )
            for name, serves in zip(names, served, strict=True)
        ]
        return ServiceStatus(domains=domains, others=found, changes=self._changes.list())

    async def deploy(self, domain: str, release: str | None, previous: bool) -> Change:
        """Begin to serve a release of a domain, and make it current."""
        version = self._store.show(domain, release or CURRENT).version
        before = await self._arguments(domain)
        if before is not None and before.experiment is not None:
            raise RequestError(
                f"an experiment runs in '{domain}'; promote an arm or stop it before another"
                " release is deployed"
            )
        if previous:
            version = self._earlier(domain, before)
        return self._changes.begin(domain, "deploy", self._deploy(domain, version, before))

    def _earlier(self, domain: str, before: DomainArguments | None) -> str:
        served = self._store.show(domain).version if before is None else before.version
        earlier = [one.version for one in self._store.list(domain) if one.version < served]
        if not earlier:
            raise RequestError(f"'{domain}' has no release before {served}, which is served")
        return earlier[-1]

    async def _deploy(self, domain: str, version: str, before: DomainArguments | None) -> str:
        await self._prepare(domain, version)
        wanted = (before or self._new(domain)).model_copy(update={"version": version})
        await self._apply(wanted, before)
        await self._make_current(domain, version)
        return version

    async def undeploy(self, domain: str) -> Change:
        """Begin to stop serving a domain."""
        await self._expect_served(domain)
        return self._changes.begin(domain, "undeploy", self._undeploy(domain))

    async def _undeploy(self, domain: str) -> None:
        await asyncio.to_thread(serve.delete, domain_application(domain))
        await self._end_shadow(domain)
        ExperimentStore().write(domain, None)
        await self._encoder("forget", domain)
        _note("domain undeployed", domain)

    async def start_experiment(self, domain: str, arms: list[ArmRequest]) -> Change:
        """Begin to let other releases answer shares of the users."""
        before = await self._served(domain)
        if before.experiment is not None:
            raise RequestError(
                f"the experiment {before.experiment.experiment} runs in '{domain}'; change its"
                " shares, promote an arm, or stop it first"
            )
        given = [
            {
                "name": arm.name,
                "version": self._store.show(domain, arm.release).version,
                "share": arm.share,
            }
            for arm in arms
        ]
        experiment = experiment_of(new_name(), before.version, given)
        wanted = before.model_copy(update={"experiment": experiment})

        async def work() -> str:
            for arm in experiment.arms:
                await self._prepare(domain, arm.version)
            return await self._apply(wanted, before)

        return self._changes.begin(domain, "experiment", work())

    async def set_shares(self, domain: str, shares: dict[str, float]) -> Change:
        """Begin to give arms other shares."""
        before = await self._experimenting(domain)
        experiment = before.experiment.with_shares(shares) if before.experiment else None
        wanted = before.model_copy(update={"experiment": experiment})
        return self._changes.begin(domain, "shares", self._apply(wanted, before))

    async def stop_experiment(self, domain: str) -> Change:
        """Begin to let `control` answer everybody."""
        return await self.promote(domain, CONTROL, "stop")

    async def promote(self, domain: str, arm: str, what: str = "promote") -> Change:
        """Begin to let an arm's release answer everybody, and make it current."""
        before = await self._experimenting(domain)
        version = before.experiment.version_of(arm) if before.experiment else before.version
        wanted = before.model_copy(update={"experiment": None, "version": version})

        async def work() -> str:
            await self._apply(wanted, before)
            await self._make_current(domain, version)
            return version

        return self._changes.begin(domain, what, work())

    async def results(self, domain: str, experiment: str | None) -> ExperimentResults:
        """What came of the arms of an experiment, of the latest where none is named."""
        await self._expect_served(domain)
        found: ExperimentResults | None = await ask(
            domain, "results", experiment, quiet=False, timeout_s=RESULTS_TIMEOUT_S
        )
        if found is None:
            which = f"no experiment '{experiment}'" if experiment else "no experiment"
            raise RequestError(f"'{domain}' has had {which} whose answers were counted")
        return found

    async def start_shadow(self, domain: str, release: str, share: float) -> Change:
        """Begin to send a release copies of requests."""
        before = await self._served(domain)
        version = self._store.show(domain, release).version
        wanted = before.model_copy(update={"shadow": Shadow(version=version, share=share)})

        async def work() -> str:
            await self._prepare(domain, version)
            return await self._apply(wanted, before)

        return self._changes.begin(domain, "shadow", work())

    async def stop_shadow(self, domain: str) -> Change:
        """Begin to send no more copies."""
        before = await self._shadowed(domain)
        wanted = before.model_copy(update={"shadow": None})

        async def work() -> str:
            version = await self._apply(wanted, before)
            await self._end_shadow(domain)
            return version

        return self._changes.begin(domain, "stop shadow", work())

    async def shadow(self, domain: str) -> ShadowResults:
        """What came of the copies."""
        await self._shadowed(domain)
        handle = serve.get_deployment_handle(SHADOW, shadow_application(domain))
        found: ShadowResults = await answer_of(handle.compared.remote())
        return found

    async def _prepare(self, domain: str, version: str) -> None:
        """See that a release can be served before it is.

        Raises:
            ReleaseError: it is damaged.
            EncoderError: it was made with another encoder than the service runs.
            ServiceError: the encoder does not answer.
        """
        await asyncio.to_thread(self._store.verify, domain, version)
        give_back_memory()
        handle = serve.get_deployment_handle(ENCODER, ENCODER_APPLICATION)
        await answer_of(handle.prepare.remote(domain, version), PREPARE_TIMEOUT_S)

    async def _apply(self, wanted: DomainArguments, before: DomainArguments | None) -> str:
        """Run a domain with other arguments; where that fails, with those of before.

        Raises:
            ServiceError: Serve could not; what was served is served again.
        """
        try:
            await self._run(wanted)
        except Exception as err:
            log.exception("'%s' could not be changed; going back", wanted.domain)
            await self._go_back(wanted.domain, before)
            raise ServiceError(
                f"'{wanted.domain}' could not be changed and is as it was before; the service's"
                " log has the reason", 500
            ) from err  # fmt: skip
        ExperimentStore().write(wanted.domain, wanted.experiment)
        _note("domain changed", wanted.domain, release=wanted.version)
        return wanted.version

    async def _go_back(self, domain: str, before: DomainArguments | None) -> None:
        if before is None:
            await asyncio.to_thread(serve.delete, domain_application(domain))
        else:
            await self._run(before)

    async def _run(self, wanted: DomainArguments) -> None:
        """Returns once replicas answer with these arguments, or raises.

        Raises:
            Exception: whatever Serve says, and TimeoutError.
        """
        targets = await asyncio.to_thread(self._targets, wanted)
        run = asyncio.to_thread(serve.run_many, targets, wait_for_applications_running=True)
        await asyncio.wait_for(run, CHANGE_TIMEOUT_S)
        self._asked_at = -STATES_AGE_S

    async def _make_current(self, domain: str, version: str) -> None:
        """So that a service that starts again serves what is served now."""
        if self._store.current(domain) != version:
            await asyncio.to_thread(self._store.roll_back, domain, version)
            give_back_memory()

    async def _end_shadow(self, domain: str) -> None:
        if shadow_application(domain) in await asyncio.to_thread(applications_now):
            await asyncio.to_thread(serve.delete, shadow_application(domain))

    async def _encoder(self, method: str, *arguments: Any) -> None:
        """Tell the encoder; where it has several replicas one of them hears it."""
        handle = serve.get_deployment_handle(ENCODER, ENCODER_APPLICATION)
        try:
            await answer_of(getattr(handle, method).remote(*arguments))
        except CrossrecError:
            log.exception("the encoder could not %s %s", method, arguments)

    def _new(self, domain: str) -> DomainArguments:
        return DomainArguments(domain=domain, **self._defaults.model_dump())

    async def _arguments(self, domain: str) -> DomainArguments | None:
        """What a domain was told last; None where it is not served.

        Where no replica can be asked, for a release of it does not come up, what is known from
        elsewhere.

        Raises:
            ServiceError: (503) it runs and has no time to answer: a guess could end what it does.
        """
        found = (await asyncio.to_thread(applications_now)).get(domain_application(domain))
        if found is None:
            return None
        told: DomainArguments | None = await ask(domain, "arguments")
        if told is None and found.state == "RUNNING":
            raise ServiceError(f"'{domain}' has too much to do to be asked; try again", 503)
        if told is None:
            kept = {
                "version": self._store.show(domain).version,
                "experiment": ExperimentStore().read(domain),
            }
            told = self._new(domain).model_copy(update=kept)
        return told

    async def _served(self, domain: str) -> DomainArguments:
        told = await self._arguments(domain)
        if told is None:
            served = domains_of(await self.applications())
            raise UnknownDomainError(f"no domain '{domain}' is served: {suggest(domain, served)}")
        return told

    async def _expect_served(self, domain: str) -> None:
        found = await asyncio.to_thread(applications_now)
        if domain_application(domain) not in found:
            served = domains_of(found)
            raise UnknownDomainError(f"no domain '{domain}' is served: {suggest(domain, served)}")

    async def _experimenting(self, domain: str) -> DomainArguments:
        before = await self._served(domain)
        if before.experiment is None:
            raise RequestError(f"no experiment runs in '{domain}'")
        return before

    async def _shadowed(self, domain: str) -> DomainArguments:
        before = await self._served(domain)
        if before.shadow is None:
            raise RequestError(f"no release is in the shadow of '{domain}'")
        return before


def _note(what: str, domain: str, **facts: Any) -> None:
    AuditLog().write(what, domain=domain, **facts)
