"""What Serve runs for each domain, and how it is made to run something else; checked on 2.60.

A domain shares replicas with others, or has an application of its own; either way replicas know
what they were told, so a change is: ask one, amend it, run the application with it. Leaves to
others: which changes there are (operations.py), the applications (applications.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from ray import serve

from crossrec.errors import ServiceError
from crossrec.releases.store import ReleaseStore
from crossrec.serving.arguments import (
    SHARED_APPLICATION,
    DomainArguments,
    Hosted,
    SharedArguments,
    SystemArguments,
    Told,
    domain_application,
    shadow_application,
)
from crossrec.serving.asking import Parts, answer_of, applications_now, shared_handle
from crossrec.serving.traffic import ExperimentStore

CHANGE_TIMEOUT_S = 120.0
"""A domain that is not up by then is taken back."""

Targets = list[serve.RunTarget]


class Running:
    """The domains of a running service.

    Args:
        defaults: of domains that are new and get replicas of their own.
        apart: what Serve has to run for such a domain.
        shared: what it has to run for domains that share replicas, of which one was changed.
    """

    def __init__(
        self,
        defaults: SystemArguments,
        apart: Callable[[DomainArguments], Targets],
        shared: Callable[[SharedArguments, Told | None], Targets],
    ) -> None:
        self.parts = Parts()
        self._defaults = defaults
        self._apart, self._shared = apart, shared
        self._sharing = asyncio.Lock()

    async def told(self, domain: str) -> Told | None:
        """What a domain was told last; None where it is not served.

        Where no replica can be asked, for a release of it does not come up, what is known from
        elsewhere.

        Raises:
            ServiceError: (503) it runs and has no time to answer: a guess could end what it does.
        """
        self.parts.forget()
        if not await self.parts.is_apart(domain):
            if not await self._is_shared():
                return None
            return (await self._hosted()).arguments.domains.get(domain)
        told: DomainArguments | None = await self.parts.ask(domain, "arguments")
        found = (await self.parts.applications()).get(domain_application(domain))
        if told is None and found is not None and found.state == "RUNNING":
            raise ServiceError(f"'{domain}' has too much to do to be asked; try again", 503)
        if told is None:
            kept = {
                "version": ReleaseStore().show(domain).version,
                "experiment": ExperimentStore().read(domain),
            }
            told = self._own(domain).model_copy(update=kept)
        return told

    async def new(self, domain: str) -> Told:
        """For a domain that is not served yet: it shares replicas where others do."""
        return Told(domain=domain) if await self._is_shared() else self._own(domain)

    def _own(self, domain: str) -> DomainArguments:
        return DomainArguments(domain=domain, **self._defaults.model_dump())

    async def run(self, wanted: Told) -> None:
        """Returns once replicas answer with this, or raises.

        Raises:
            Exception: whatever Serve or the domain says, and TimeoutError.
        """
        if isinstance(wanted, DomainArguments):
            await self._run(partial(self._apart, wanted))
            return
        async with self._sharing:  # two domains may be changed at once
            arguments = (await self._hosted()).arguments.with_one(wanted)
            await self._run(partial(self._shared, arguments, wanted))
            reason = (await self._hosted()).failed.get(wanted.domain)
        if reason is not None:
            raise ServiceError(reason)

    async def remove(self, domain: str) -> None:
        """Serve a domain no longer."""
        if await self.parts.is_apart(domain):
            await asyncio.to_thread(serve.delete, domain_application(domain))
        else:
            async with self._sharing:
                arguments = (await self._hosted()).arguments
                await self._run(partial(self._shared, arguments.without(domain), None))
        self.parts.forget()

    async def end_shadow(self, domain: str) -> None:
        """End the application that copies of a domain's requests go to, where there is one."""
        if shadow_application(domain) in await asyncio.to_thread(applications_now):
            await asyncio.to_thread(serve.delete, shadow_application(domain))

    async def _run(self, targets: Callable[[], Targets]) -> None:
        wanted = await asyncio.to_thread(targets)
        run = asyncio.to_thread(serve.run_many, wanted, wait_for_applications_running=True)
        await asyncio.wait_for(run, CHANGE_TIMEOUT_S)
        self.parts.forget()

    async def _is_shared(self) -> bool:
        """Whether there are replicas that domains share, whether or not they answer."""
        return SHARED_APPLICATION in await self.parts.applications()

    async def _hosted(self) -> Hosted:
        """As a shared replica says now; what one said before could end what was begun since.

        Raises:
            ServiceError: (503) none answers.
        """
        hosted: Hosted = await answer_of(shared_handle().hosted.remote())
        return hosted
