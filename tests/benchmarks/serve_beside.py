"""A service's process with routes that do nothing beside the domains, to compare with.

Started by the benchmarks through `crossrec.serving.launch.start`; how many such applications it
runs is in `$NOOP_APPLICATIONS`, and with how many replicas each in `$NOOP_REPLICAS`. Leaves to
others: measuring (serve_memory_8, http_user_p50).
"""

from __future__ import annotations

import os

from fastapi import FastAPI
from ray import serve

from crossrec.serving.applications import N_CPUS
from crossrec.serving.service_process import main

app = FastAPI()


class Nothing:
    """The least that FastAPI on Serve can do."""

    @app.get("/")
    async def answer(self) -> str:
        """Nothing."""
        return ""


def no_ops() -> list[serve.RunTarget]:
    """As many applications as asked for, each with one route."""
    deployment = serve.deployment(serve.ingress(app)(Nothing))
    n_replicas = int(os.environ.get("NOOP_REPLICAS", "1"))
    options = {"ray_actor_options": {"num_cpus": N_CPUS}, "num_replicas": n_replicas}
    deployment = deployment.options(**options)
    numbers = range(int(os.environ.get("NOOP_APPLICATIONS", "0")))
    return [serve.RunTarget(deployment.bind(), f"noop-{n}", f"/noop/{n}") for n in numbers]


if __name__ == "__main__":
    main(no_ops)
