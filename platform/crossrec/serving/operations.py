"""Changes what is served while it is served: releases, experiments, shadows; checked on Ray 2.60.

Runs in the system's replica. What a domain was told is its state, so each change is: ask for it,
amend it, run the domain with it. Leaves to others: how a domain is run (running.py), order
(changes.py), HTTP (live_routes.py), which release answers whom (traffic.py).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ray import serve

from crossrec.errors import CrossrecError, RequestError, ServiceError, UnknownDomainError, suggest
from crossrec.releases.store import CURRENT, ReleaseStore
from crossrec.serving.arguments import (
    ENCODER,
    ENCODER_APPLICATION,
    SHADOW,
    Told,
    domain_application,
    shadow_application,
)
from crossrec.serving.asking import answer_of
from crossrec.serving.audit import AuditLog
from crossrec.serving.changes import Changes
from crossrec.serving.live_messages import (
    ArmRequest,
    Change,
    DomainStatus,
    ExperimentResults,
    ServedRelease,
    ServiceStatus,
    ShadowResults,
)
from crossrec.serving.memory import give_back_memory
from crossrec.serving.running import Running
from crossrec.serving.traffic import (
    Experiment,
    ExperimentStore,
    Shadow,
    experiment_of,
    new_name,
)

PREPARE_TIMEOUT_S = 60.0
RESULTS_TIMEOUT_S = 30.0

log = logging.getLogger(__name__)


class Operations:
    """All that can be done to a running service."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self.parts = running.parts
        self._store = ReleaseStore()
        self._changes = Changes()
        self.change = self._changes.show

    async def status(self) -> ServiceStatus:
        """Everything that runs, and the newest changes."""
        names = await self.parts.names()
        served = await asyncio.gather(*(self.parts.ask(name, "served") for name in names))
        states = [await self.parts.state(name) for name in names]
        found = await self.parts.applications()
        own = {domain_application(name) for name in names}
        domains = [
            DomainStatus(
                domain=name,
                serves=serves if isinstance(serves, ServedRelease) else None,
                **state.model_dump(),
            )
            for name, serves, state in zip(names, served, states, strict=True)
        ]
        others = {name: one for name, one in found.items() if name not in own}
        return ServiceStatus(domains=domains, others=others, changes=self._changes.list())

    async def deploy(self, domain: str, release: str | None, previous: bool) -> Change:
        """Begin to serve a release of a domain, and make it current."""
        version = self._store.show(domain, release or CURRENT).version
        before = await self._running.told(domain)
        if before is not None and before.experiment is not None:
            raise RequestError(
                f"an experiment runs in '{domain}'; promote an arm or stop it before another"
                " release is deployed"
            )
        if previous:
            version = self._earlier(domain, before)
        return self._changes.begin(domain, "deploy", self._deploy(domain, version, before))

    def _earlier(self, domain: str, before: Told | None) -> str:
        served = self._store.show(domain).version if before is None else before.version
        earlier = [one.version for one in self._store.list(domain) if one.version < served]
        if not earlier:
            raise RequestError(f"'{domain}' has no release before {served}, which is served")
        return earlier[-1]

    async def _deploy(self, domain: str, version: str, before: Told | None) -> str:
        await self._prepare(domain, version)
        wanted = (before or await self._running.new(domain)).model_copy(update={"version": version})
        await self._apply(wanted, before)
        await self._make_current(domain, version)
        return version

    async def undeploy(self, domain: str) -> Change:
        """Begin to stop serving a domain."""
        await self._expect_served(domain)
        return self._changes.begin(domain, "undeploy", self._undeploy(domain))

    async def _undeploy(self, domain: str) -> None:
        await self._running.remove(domain)
        await self._running.end_shadow(domain)
        ExperimentStore().write(domain, None)
        await self._encoder("forget", domain)
        _note("domain undeployed", domain)

    async def start_experiment(self, domain: str, arms: list[ArmRequest]) -> Change:
        """Begin to let other releases answer shares of the users.

        Where one of them is current, `control` becomes it: a service that starts again goes on
        with the experiment, and serves no arm to everybody.
        """
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
            done = await self._apply(wanted, before)
            if self._store.current(domain) in experiment.versions.values():
                await self._make_current(domain, experiment.control)
            return done

        return self._changes.begin(domain, "experiment", work())

    async def set_shares(self, domain: str, shares: dict[str, float]) -> Change:
        """Begin to give arms other shares."""
        before, experiment = await self._experimenting(domain)
        wanted = before.model_copy(update={"experiment": experiment.with_shares(shares)})
        return self._changes.begin(domain, "shares", self._apply(wanted, before))

    async def stop_experiment(self, domain: str) -> Change:
        """Begin to let `control` answer everybody; what is current stays current."""
        before, experiment = await self._experimenting(domain)
        wanted = before.model_copy(update={"experiment": None, "version": experiment.control})
        return self._changes.begin(domain, "stop", self._apply(wanted, before))

    async def promote(self, domain: str, arm: str) -> Change:
        """Begin to let an arm's release answer everybody, and make it current.

        Raises:
            RequestError: there is no such arm, or a release that the experiment knows nothing of
                was made current meanwhile.
        """
        before, experiment = await self._experimenting(domain)
        version = experiment.version_of(arm)
        if newer := self._published_meanwhile(domain, experiment):
            raise RequestError(
                f"release {newer} of '{domain}' is current and no part of the experiment, so"
                f" promoting '{arm}' would take it back; stop the experiment, then deploy what is"
                f" to be served: {newer}, or {version}"
            )
        wanted = before.model_copy(update={"experiment": None, "version": version})

        async def work() -> str:
            await self._apply(wanted, before)
            if not self._published_meanwhile(domain, experiment):  # in these seconds
                await self._make_current(domain, version)
            return version

        return self._changes.begin(domain, "promote", work())

    def _published_meanwhile(self, domain: str, experiment: Experiment) -> str | None:
        """The current release where the experiment knows nothing of it."""
        current = self._store.current(domain)
        return None if current in experiment.versions.values() else current

    async def results(self, domain: str, experiment: str | None) -> ExperimentResults:
        """What came of the arms of an experiment, of the latest where none is named."""
        await self._expect_served(domain)
        found: ExperimentResults | None = await self.parts.ask(
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
            await self._running.end_shadow(domain)
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

    async def _apply(self, wanted: Told, before: Told | None) -> str:
        """Run a domain with other arguments; where that fails, with those of before.

        Raises:
            ServiceError: Serve could not; what was served is served again.
        """
        try:
            await self._running.run(wanted)
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

    async def _go_back(self, domain: str, before: Told | None) -> None:
        try:
            if before is None:
                await self._running.remove(domain)
            else:
                await self._running.run(before)
        finally:
            if before is None or before.shadow is None:
                await self._running.end_shadow(domain)  # one that could not start is there, too

    async def _make_current(self, domain: str, version: str) -> None:
        """So that a service that starts again serves what is served now."""
        if self._store.current(domain) != version:
            await asyncio.to_thread(self._store.roll_back, domain, version)
            give_back_memory()

    async def _encoder(self, method: str, *arguments: Any) -> None:
        """Tell the encoder; where it has several replicas one of them hears it."""
        handle = serve.get_deployment_handle(ENCODER, ENCODER_APPLICATION)
        try:
            await answer_of(getattr(handle, method).remote(*arguments))
        except CrossrecError:
            log.exception("the encoder could not %s %s", method, arguments)

    async def _served(self, domain: str) -> Told:
        told = await self._running.told(domain)
        if told is None:
            served = await self.parts.names()
            raise UnknownDomainError(f"no domain '{domain}' is served: {suggest(domain, served)}")
        return told

    async def _expect_served(self, domain: str) -> None:
        served = await self.parts.names()
        if domain not in served:
            raise UnknownDomainError(f"no domain '{domain}' is served: {suggest(domain, served)}")

    async def _experimenting(self, domain: str) -> tuple[Told, Experiment]:
        before = await self._served(domain)
        if before.experiment is None:
            raise RequestError(f"no experiment runs in '{domain}'")
        return before, before.experiment

    async def _shadowed(self, domain: str) -> Told:
        before = await self._served(domain)
        if before.shadow is None:
            raise RequestError(f"no release is in the shadow of '{domain}'")
        return before


def _note(what: str, domain: str, **facts: Any) -> None:
    AuditLog().write(what, domain=domain, **facts)
