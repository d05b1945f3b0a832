"""Ray Serve: applications for the encoder, for the domains that share replicas, for each that has
its own, and a small one for the whole service.

The builders take a dict, so that a Serve config file can name them as `import_path`. Leaves
to others: what the replicas of encoder and domains do (deployments.py), changing it later
(operations.py), starting and stopping (launch.py). Checked on Ray 2.60.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, TypeVar

from ray import serve
from ray.serve.config import BackpressureConfig

import crossrec
from crossrec.releases.store import CURRENT, ReleaseStore
from crossrec.serving.addresses import trusted_proxies
from crossrec.serving.arguments import (
    DOMAIN,
    DOMAIN_ROUTE,
    ENCODER,
    SHADOW,
    SHARED_APPLICATION,
    SYSTEM,
    DomainArguments,
    EncoderArguments,
    Scaled,
    SharedArguments,
    SystemArguments,
    Told,
    domain_application,
    parse,
    shadow_application,
)
from crossrec.serving.asking import service_name
from crossrec.serving.deployments import (
    DomainDeployment,
    EncoderDeployment,
    ShadowDeployment,
    keys_of,
)
from crossrec.serving.gateway import RETRY_AFTER_S, Gateway
from crossrec.serving.http_api import system_app
from crossrec.serving.logs import keep_replica_log
from crossrec.serving.messages import DomainSummary
from crossrec.serving.metrics import metrics_folder
from crossrec.serving.metrics_page import metrics_page
from crossrec.serving.operations import Operations
from crossrec.serving.running import Running
from crossrec.serving.shared_domains import SharedDeployment
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


AnyTold = TypeVar("AnyTold", bound=Told)


class SystemDeployment:
    """List of domains, health, readiness, and what changes them; knows all from Serve itself."""

    def __init__(self, arguments: SystemArguments) -> None:
        keep_replica_log()
        self._keys = keys_of(arguments.access)
        self.operations = Operations(Running(arguments, targets_of, shared_targets))
        self._parts = self.operations.parts

    def __serve_build_asgi_app__(self) -> Gateway:
        """The routes; Serve asks for them once the replica is constructed."""
        return system_app(self, self._keys, self.operations)

    async def states(self) -> dict[str, str]:
        """Application → its state; and each domain that is not as it was told to be."""
        states = {name: one.state for name, one in (await self._parts.applications()).items()}
        hosted = await self._parts.hosted()
        failed = dict.fromkeys(hosted.failed, "DEPLOY_FAILED") if hosted else {}
        return states | {domain_application(name): state for name, state in failed.items()}

    async def metrics(self) -> bytes:
        """The figures of all replicas in Prometheus' format."""
        return await asyncio.to_thread(metrics_page, metrics_folder(service_name()))

    async def names(self) -> list[str]:
        """Of every served domain, sorted."""
        return await self._parts.names()

    async def domains(self) -> list[DomainSummary]:
        """Every domain that answers, sorted by name."""
        names = await self._parts.names()
        answers = await asyncio.gather(*(self._parts.ask(name, "summary") for name in names))
        return [answer for answer in answers if answer is not None]


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
    alone = wanted.replicas == 1 and wanted.max_replicas in (None, 1)
    return deployment.bind(encoder, wanted.threads, alone)


def build_domain(arguments: dict[str, Any]) -> serve.Application:
    """A domain's application.

    Raises:
        ConfigError: a wrong argument.
        ReleaseError, UnknownDomainError: there is no such release.
    """
    wanted = _settled(parse(DomainArguments, arguments))
    return _answering(DomainDeployment, wanted).bind(wanted.domain, wanted.access)


def build_shared(arguments: dict[str, Any]) -> serve.Application:
    """The application of domains that share replicas.

    Raises:
        ConfigError: a wrong argument.
        ReleaseError, UnknownDomainError: a domain has no current release.
    """
    wanted = parse(SharedArguments, arguments)
    # A release that has a name is left to the replicas: one that is gone must not keep the other
    # domains from being changed.
    settled = {
        name: _settled(told) if told.version == CURRENT else told
        for name, told in wanted.domains.items()
    }
    wanted = wanted.model_copy(update={"domains": settled})
    return _answering(SharedDeployment, wanted).bind(wanted.access)


def _answering(kind: type, wanted: DomainArguments | SharedArguments) -> serve.Deployment:
    """A deployment that answers for domains, told what it is to answer from; raises as
    `trusted_proxies`.
    """
    trusted_proxies()  # a replica that cannot read them would say so in a log alone
    deployment = serve.deployment(
        serve.ingress()(kind),
        name=DOMAIN,
        ray_actor_options={"num_cpus": N_CPUS},
        user_config=wanted.model_dump(mode="json"),
        **_scaling(wanted, DOMAIN_ONGOING),
        **_LIMITS,
    )
    # Without a version of the code Serve draws one at random, and restarts the replicas where a
    # new user_config would do.
    code = f"{crossrec.__version__}-{wanted.access}"
    return deployment.options(version=code, _internal=True)


def _settled(wanted: AnyTold) -> AnyTold:
    """With a release by name, never `current`, on which replicas might not agree; and with the
    experiment of before the service was stopped, where it still fits.
    """
    release = ReleaseStore().show(wanted.domain, wanted.version)
    told: dict[str, Any] = {"version": release.version}
    if wanted.experiment is None and wanted.version == CURRENT:
        kept = ExperimentStore().read(wanted.domain)
        if kept is not None and _goes_on(wanted.domain, kept, release.version):
            told |= {"experiment": kept}
    return wanted.model_copy(update=told)


def _goes_on(domain: str, experiment: Experiment, current: str) -> bool:
    """Whether an experiment of before the service was stopped still fits what is there."""
    there = {release.version for release in ReleaseStore().list(domain)}
    fits = experiment.control == current and set(experiment.versions.values()) <= there
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
    """What Serve has to run for a domain with replicas of its own."""
    domain = arguments.domain
    application = build_domain(arguments.model_dump())
    route = f"{DOMAIN_ROUTE}/{domain}"
    return [*_shadow_of(arguments), serve.RunTarget(application, domain_application(domain), route)]


def shared_targets(
    arguments: SharedArguments, changed: Told | None = None
) -> list[serve.RunTarget]:
    """What Serve has to run for domains that share replicas, of which one was changed."""
    application = build_shared(arguments.model_dump())
    shared = serve.RunTarget(application, SHARED_APPLICATION, DOMAIN_ROUTE)
    return [*(_shadow_of(changed) if changed else ()), shared]


def _shadow_of(told: Told) -> list[serve.RunTarget]:
    """To be run first: copies are sent from the moment the domain knows of it."""
    if told.shadow is None:
        return []
    shadow = build_shadow(told.domain, told.shadow.version)
    return [serve.RunTarget(shadow, shadow_application(told.domain), None)]


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
