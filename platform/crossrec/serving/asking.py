"""Asks parts of the service that live in other applications, and Ray Serve what runs; 2.60.

Leaves to others: what is done with the answers (operations.py, applications.py).
"""

from __future__ import annotations

import asyncio
from typing import Any

from ray import serve

from crossrec.errors import CrossrecError, ServiceError
from crossrec.serving.arguments import DOMAIN, domain_application
from crossrec.serving.live_messages import ApplicationStatus

ASK_TIMEOUT_S = 5.0


async def ask(
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
        handle = serve.get_deployment_handle(DOMAIN, domain_application(domain))
        return await answer_of(getattr(handle, method).remote(*arguments), timeout_s)
    except Exception:  # it is being removed, or not there yet
        if not quiet:
            raise
        return None


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


def applications_now() -> dict[str, ApplicationStatus]:
    """Every application that Serve runs; blocks for a moment."""
    return {
        name: ApplicationStatus(
            state=str(found.status.value),
            message=found.message,
            replicas={
                str(state): n
                for deployment in found.deployments.values()
                for state, n in deployment.replica_states.items()
            },
        )
        for name, found in serve.status().applications.items()
    }
