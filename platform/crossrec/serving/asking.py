"""Asks parts of the service that live in other applications, and Ray Serve what runs; 2.60.

Leaves to others: what is done with the answers (operations.py, applications.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import ray
from ray import serve

from crossrec.errors import CrossrecError, ServiceError
from crossrec.serving.arguments import (
    DOMAIN,
    SHARED_APPLICATION,
    Hosted,
    apart_of,
    domain_application,
)
from crossrec.serving.live_messages import ApplicationStatus

log = logging.getLogger(__name__)

ASK_TIMEOUT_S = 5.0
STATES_AGE_S = 0.5
"""How old the service's idea of its own state may be."""


def service_name() -> str:
    """What the processes of one service have in common: their Ray cluster."""
    if not ray.is_initialized():  # a deployment's class that is used without Serve
        return "alone"
    return str(ray.get_runtime_context().get_session_name())


class Parts:
    """The applications of a running service, and which of them answers for a domain."""

    def __init__(self) -> None:
        self._applications: dict[str, ApplicationStatus] = {}
        self._hosted: Hosted | None = None
        self._asked_at = -STATES_AGE_S
        self._asking = asyncio.Lock()

    async def applications(self) -> dict[str, ApplicationStatus]:
        """Every application, as Serve sees it."""
        await self._look()
        return self._applications

    async def hosted(self) -> Hosted | None:
        """What the shared replicas answer for, as one of them said last; None: there are none."""
        await self._look()
        return self._hosted

    async def names(self) -> list[str]:
        """Of the domains that are served, sorted."""
        hosted = await self.hosted()
        shared = hosted.arguments.domains if hosted else {}
        return sorted({*apart_of(await self.applications()), *shared})

    async def is_apart(self, domain: str) -> bool:
        """Whether a domain has replicas of its own."""
        return domain_application(domain) in await self.applications()

    async def state(self, domain: str) -> ApplicationStatus:
        """Of what answers for a domain; where it is not as it was told to be, that is said."""
        found = await self.applications()
        own = found.get(domain_application(domain))
        if own is not None:
            return own
        state = found.get(SHARED_APPLICATION, ApplicationStatus(state="NOT_STARTED"))
        hosted = await self.hosted()
        reason = hosted.failed.get(domain) if hosted else None
        if reason is not None:
            return state.model_copy(update={"state": "DEPLOY_FAILED", "message": reason})
        return state

    def forget(self) -> None:
        """Look anew when asked next: something was changed."""
        self._asked_at = -STATES_AGE_S

    async def _look(self) -> None:
        async with self._asking:  # several may ask at once
            if time.monotonic() - self._asked_at < STATES_AGE_S:
                return
            self._applications = await asyncio.to_thread(applications_now)
            if SHARED_APPLICATION not in self._applications:
                self._hosted = None
            else:
                try:
                    self._hosted = await answer_of(shared_handle().hosted.remote())
                except Exception:  # who does not answer serves what it served before
                    log.warning("the shared replicas do not say what they answer for")
            self._asked_at = time.monotonic()

    async def ask(
        self,
        domain: str,
        method: str,
        *arguments: Any,
        quiet: bool = True,
        timeout_s: float = ASK_TIMEOUT_S,
    ) -> Any:
        """What one replica of a domain says; None where none answers in time.

        Raises:
            CrossrecError: where not `quiet`, what it raised, or that it does not answer.
        """
        try:
            if await self.is_apart(domain):
                handle = serve.get_deployment_handle(DOMAIN, domain_application(domain))
                asked = getattr(handle, method).remote(*arguments)
            else:
                asked = shared_handle().ask.remote(domain, method, *arguments)
            return await answer_of(asked, timeout_s)
        except Exception:  # it is being removed, or not there yet
            if not quiet:
                raise
            return None


def shared_handle() -> Any:
    """For calls to the replicas that domains share."""
    return serve.get_deployment_handle(DOMAIN, SHARED_APPLICATION)


async def answer_of(response: Any, timeout_s: float = ASK_TIMEOUT_S) -> Any:
    """The answer of another application.

    Raises:
        CrossrecError: what it raised.
        ServiceError: it does not answer in time.
    """
    try:
        return await asyncio.wait_for(response, timeout_s)
    except Exception as err:
        cause = getattr(err, "cause", err)  # Ray wraps what was raised, and adds a traceback
        if isinstance(cause, CrossrecError):
            raise cause from err
        raise ServiceError(f"a part of the service does not answer: {type(err).__name__}") from err


def without_trace(message: str) -> str:
    r"""What Serve says of an application, with no more of a stack trace than what was raised; the
    log has it whole.

    >>> without_trace('It failed:\nTraceback (most recent call):\n  File "a.py"\nOSError: full')
    'It failed: OSError: full'
    """
    if 'File "' not in message:
        return message
    lines = [line for line in message.splitlines() if line.strip()]
    said = [line.strip() for line in lines if not line.startswith((" ", "Traceback", "ray::"))]
    return " ".join(dict.fromkeys([*said[:1], *said[-1:]]))


def applications_now() -> dict[str, ApplicationStatus]:
    """Every application that Serve runs; blocks for a moment."""
    return {
        name: ApplicationStatus(
            state=str(found.status.value),
            message=without_trace(found.message),
            replicas={
                str(state): n
                for deployment in found.deployments.values()
                for state, n in deployment.replica_states.items()
            },
        )
        for name, found in serve.status().applications.items()
    }
