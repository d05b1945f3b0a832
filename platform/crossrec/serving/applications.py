"""Ray Serve: one application for the encoder, one a domain, a small one for the whole service.

The three builders take a dict, so that a Serve config file can name them as `import_path`. Leaves
to others: what the replicas of encoder and domains do (deployments.py), changing it later
(operations.py), starting and stopping (launch.py). Checked on Ray 2.60.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ray import serve
from ray.serve.config import BackpressureConfig

import crossrec
from crossrec.releases.store import CURRENT, ReleaseStore
from crossrec.serving.arguments import (
    DOMAIN,
    DOMAIN_ROUTE,
    ENCODER,
    SHADOW,
    SYSTEM,
    DomainArguments,
    EncoderArguments,
    Scaled,
    SystemArguments,
    domain_application,
    domains_of,
    parse,
    shadow_application,
)
from crossrec.serving.asking import ask
from crossrec.serving.deployments import (
    DomainDeployment,
    EncoderDeployment,
    ShadowDeployment,
    keys_of,
    service_name,
)
from crossrec.serving.gateway import RETRY_AFTER_S, Gateway
from crossrec.serving.http_api import system_app
from crossrec.serving.messages import DomainSummary
from crossrec.serving.metrics import metrics_folder
from crossrec.serving.metrics_page import metrics_page
from crossrec.serving.operations import Operations
from crossrec.serving.shared_encoder import encoder_of
from crossrec.serving.traffic import Experiment, ExperimentStore

log = logging.getLogger(__name__)

DOMAIN_ONGOING, ENCODER_ONGOING = 8.0, 3.0
"""Requests under way at a replica, on average, from which on another one is started: a domain
answers most in under a millisecond, so many at once are a queue; the encoder's are calls of
domains, each with the words of up to 16 requests (see together.py)."""
SCALING = {
    "look_back_period_s": 20.0,  # replicas say every 10 s what they have to do
    "upscale_delay_s": 5.0,
}
N_CPUS = 0.05
"""Of a domain and of the system: small, so that many fit on two cores; Ray then also sets
OMP_NUM_THREADS=1 for the replica."""
_LIMITS = {
    "max_ongoing_requests": 512,
    "max_queued_requests": 512,
    "backpressure_config": BackpressureConfig(status_code=429, retry_after_s=RETRY_AFTER_S),
    "graceful_shutdown_timeout_s": 5,
}
"""Wider than the gateway's own limit, which answers 429 with a reason: whom it refuses is under
way for a moment too. Beyond them Serve refuses, with the same status."""


class SystemDeployment:
    """List of domains, health, readiness, and what changes them; knows all from Serve itself."""

    def __init__(self, arguments: SystemArguments) -> None:
        self._keys = keys_of(arguments.access)
        self.operations = Operations(arguments, targets_of)

    def __serve_build_asgi_app__(self) -> Gateway:
        """The routes; Serve asks for them once the replica is constructed."""
        return system_app(self, self._keys, self.operations)

    async def states(self) -> dict[str, str]:
        """Application → its state."""
        return {name: one.state for name, one in (await self.operations.applications()).items()}

    async def metrics(self) -> bytes:
        """The figures of all replicas in Prometheus' format."""
        return await asyncio.to_thread(metrics_page, metrics_folder(service_name()))

    async def domains(self) -> list[DomainSummary]:
        """Every domain that answers, sorted by name."""
        names = domains_of(await self.operations.applications())
        answers = await asyncio.gather(*map(self._summary, names))
        return [answer for answer in answers if answer is not None]

    async def _summary(self, domain: str) -> DomainSummary | None:
        summary: DomainSummary | None = await ask(domain, "summary")
        return summary


def build_encoder(arguments: dict[str, Any]) -> serve.Application:
    """The encoder's application; its encoder is the one the domains' releases share.

    Raises:
        ConfigError: a wrong argument.
        ReleaseError, UnknownDomainError: a domain has no release, or they share no encoder.
    """
    wanted = parse(EncoderArguments, arguments)
    encoder = encoder_of(wanted.domains, ReleaseStore())
    resources = {"num_cpus": wanted.num_cpus, "num_gpus": wanted.num_gpus}
    deployment = serve.deployment(
        EncoderDeployment,
        name=ENCODER,
        ray_actor_options=resources,
        user_config={"domains": wanted.domains},
        **_scaling(wanted, ENCODER_ONGOING),
        **_LIMITS,
    )
    return deployment.bind(encoder, wanted.threads)


def build_domain(arguments: dict[str, Any]) -> serve.Application:
    """A domain's application.

    Raises:
        ConfigError: a wrong argument.
        ReleaseError, UnknownDomainError: there is no such release.
    """
    wanted = parse(DomainArguments, arguments)
    release = ReleaseStore().show(wanted.domain, wanted.version)
    told: dict[str, Any] = {"version": release.version}  # never `current`: replicas must agree
    if wanted.experiment is None and wanted.version == CURRENT:
        kept = ExperimentStore().read(wanted.domain)
        if kept is not None and _goes_on(wanted.domain, kept, release.version):
            told |= {"experiment": kept}
    wanted = wanted.model_copy(update=told)
    deployment = serve.deployment(
        serve.ingress()(DomainDeployment),
        name=DOMAIN,
        ray_actor_options={"num_cpus": N_CPUS},
        user_config=wanted.model_dump(mode="json"),
        **_scaling(wanted, DOMAIN_ONGOING),
        **_LIMITS,
    )
    # Without a version of the code Serve draws one at random, and restarts the replicas where a
    # new user_config would do.
    code = f"{crossrec.__version__}-{wanted.access}"
    deployment = deployment.options(version=code, _internal=True)
    return deployment.bind(wanted.domain, wanted.access)


def _goes_on(domain: str, experiment: Experiment, current: str) -> bool:
    """Whether an experiment of before the service was stopped still fits what is there."""
    there = {release.version for release in ReleaseStore().list(domain)}
    fits = experiment.control == current and {arm.version for arm in experiment.arms} <= there
    if not fits:
        log.warning("the experiment of '%s' does not go on: releases have changed", domain)
    return fits


def build_shadow(domain: str, version: str) -> serve.Application:
    """The application of a release in the shadow of a domain; it has no route."""
    deployment = serve.deployment(
        ShadowDeployment,
        name=SHADOW,
        ray_actor_options={"num_cpus": N_CPUS},
        user_config={"version": version},
        **_LIMITS,
    )
    deployment = deployment.options(version=crossrec.__version__, _internal=True)
    return deployment.bind(domain)


def targets_of(arguments: DomainArguments) -> list[serve.RunTarget]:
    """What Serve has to run for a domain."""
    domain = arguments.domain
    application = build_domain(arguments.model_dump())
    route = f"{DOMAIN_ROUTE}/{domain}"
    targets = [serve.RunTarget(application, domain_application(domain), route)]
    if arguments.shadow is not None:  # first: copies are sent from the moment the domain knows
        shadow = build_shadow(domain, arguments.shadow.version)
        targets.insert(0, serve.RunTarget(shadow, shadow_application(domain), None))
    return targets


def _scaling(wanted: Scaled, ongoing: float) -> dict[str, Any]:
    """Options of a deployment: a number of replicas, or one that follows the load."""
    if wanted.max_replicas is None or wanted.max_replicas == wanted.replicas:
        return {"num_replicas": wanted.replicas}
    return {
        "autoscaling_config": {
            "min_replicas": wanted.replicas,
            "max_replicas": wanted.max_replicas,
            "target_ongoing_requests": ongoing,
            "downscale_delay_s": wanted.give_back_after_s,
            **SCALING,
        }
    }


def build_system(arguments: dict[str, Any]) -> serve.Application:
    """The small application for the whole service.

    Raises:
        ConfigError: a wrong argument.
    """
    wanted = parse(SystemArguments, arguments)
    deployment = serve.deployment(
        serve.ingress()(SystemDeployment),
        name=SYSTEM,
        ray_actor_options={"num_cpus": N_CPUS},
        **_LIMITS,
    )
    return deployment.bind(wanted)
