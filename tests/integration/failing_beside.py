"""A service's process with a route that fails beside the domains, in Serve and not in an app of
ours; test_failing.py starts it.
"""

from __future__ import annotations

from ray import serve
from starlette.requests import Request

from crossrec.serving.applications import N_CPUS
from crossrec.serving.service_process import main


class Fails:
    """Nobody catches what it raises."""

    async def __call__(self, request: Request) -> str:
        raise ValueError("a secret")


def failing() -> list[serve.RunTarget]:
    """The application."""
    deployment = serve.deployment(Fails).options(ray_actor_options={"num_cpus": N_CPUS})
    return [serve.RunTarget(deployment.bind(), "fails", "/fails")]


if __name__ == "__main__":
    main(failing)
