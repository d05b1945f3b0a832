"""Ray Serve: one application for the encoder, one a domain, a small one for the whole service.

Thin on purpose. Leaves to others: routes (http_api.py), meaning (recommender.py), texts
(encoder_service.py), starting and stopping (launch.py). Checked on Ray 2.60.
The three builders take a dict, so that a Serve config file can name them as `import_path`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import ray
from pydantic import BaseModel, ConfigDict, ValidationError
from ray import serve
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

import crossrec
from crossrec.errors import ConfigError, CrossrecError, ServiceError
from crossrec.releases.store import CURRENT, LoadedRelease, ReleaseStore
from crossrec.serving.auth import KeyRing
from crossrec.serving.cards import domain_summary
from crossrec.serving.erasure import Erasures
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.gateway import Gateway, TooBusyError
from crossrec.serving.http_api import domain_app, domain_application, system_app
from crossrec.serving.item_updates import Current, ItemUpdates, give_back_memory
from crossrec.serving.learned_weights import LearnedWeights
from crossrec.serving.learning_messages import LearnerOrder, LearnerStatus
from crossrec.serving.learning_service import LearnerHandle
from crossrec.serving.messages import (
    DomainSummary,
    ErasureResponse,
    ItemsResponse,
    ItemUpsert,
)
from crossrec.serving.metrics import Metrics, describe_release, metrics_folder, write_forever
from crossrec.serving.metrics_page import metrics_page
from crossrec.serving.recommender import Recommender, Vectors
from crossrec.serving.shared_encoder import encoder_of
from crossrec.serving.stages import QUEUE, split

if TYPE_CHECKING:
    from crossrec.serving.encoder_service import Timed

log = logging.getLogger(__name__)

ENCODER, DOMAIN, SYSTEM = "Encoder", "Domain", "System"
"""Names of the deployments, one in each application."""
ENCODER_APPLICATION = "encoder"
SYSTEM_APPLICATION = "system"
DOMAIN_ROUTE = "/v1/domains"

ENCODER_TIMEOUT_S = 30.0
STATES_AGE_S = 0.5
"""How old the service's idea of its own state may be."""
N_CPUS = 0.05
"""Of a domain and of the system: small, so that many fit on two cores; Ray then also sets
OMP_NUM_THREADS=1 for the replica."""
_LIMITS = {
    "max_ongoing_requests": 128,
    "max_queued_requests": 128,
    "graceful_shutdown_timeout_s": 5,
}
"""Wider than the gateway's own limit, which answers 429 with a reason."""


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DomainArguments(_Arguments):
    """Of `build_domain`."""

    domain: str
    version: str = CURRENT
    access: Literal["keys", "loopback"] = "keys"
    """loopback: no keys, but callers from this machine only."""
    replicas: int = 1


class SystemArguments(_Arguments):
    """Of `build_system`."""

    access: Literal["keys", "loopback"] = "keys"


class EncoderArguments(_Arguments):
    """Of `build_encoder`."""

    domains: list[str]
    num_cpus: float = 0.5
    num_gpus: float = 0.0
    threads: int = 1


Parsed = TypeVar("Parsed", bound=_Arguments)


def _keys(access: str) -> KeyRing | None:
    return KeyRing() if access == "keys" else None


class EncoderDeployment:
    """The only process that imports torch. `user_config`: {"domains": [names]}."""

    def __init__(self, encoder: str, threads: int) -> None:
        import torch

        from crossrec.models.encoder import TextEncoder
        from crossrec.serving.encoder_service import EncoderService

        torch.set_num_threads(threads)
        self._service = EncoderService(TextEncoder.load(encoder), ReleaseStore())
        self._writing: asyncio.Task[None] | None = None

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Make the adapters of the current releases resident."""
        self._writing = self._writing or _write_metrics(self._service.metrics)
        await asyncio.to_thread(self._service.load_current, user_config["domains"])

    async def encode(self, texts: list[str], domain: str, version: str) -> Timed:
        """(n, E) float32, with the adapter of that release; and the seconds it took here."""
        return await self._service.encode_timed(texts, domain, version)


class DomainDeployment:
    """One domain. `user_config`: {"version": of a release}; a new one is swapped in
    without a restart: requests under way end on the release they began on.
    """

    def __init__(self, domain: str, access: str) -> None:
        self._domain = domain
        self._keys = _keys(access)
        self._store = ReleaseStore()
        self._handle: DeploymentHandle | None = None
        self.feedback_log = FeedbackLog()
        self._erasures = Erasures(domain, self.feedback_log, self._store)
        self._items = ItemUpdates(domain)
        self._learned = LearnedWeights(domain)
        self._learner = LearnerHandle(domain)
        self.metrics = Metrics(domain=domain)
        self._writing: asyncio.Task[None] | None = None
        self._current: Current

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Load a release, verified, then answer from it."""
        self._writing = self._writing or _write_metrics(self.metrics)
        loaded = await asyncio.to_thread(self._store.load, self._domain, user_config["version"])
        encode = partial(self._encode, version=loaded.release.version)

        def answering(edition: LoadedRelease) -> Recommender:
            edition.catalogue.hides = self._erasures.hides
            return Recommender(edition, encode, self.feedback_log, weigh=self._learned)

        current = Current(loaded, answering)
        self._learned.declare(current.recommender)
        await self._items.keep_up(current)
        await current.refresh()
        self._current = current
        await self._items.keep_up(current)  # what was put for the former release meanwhile
        give_back_memory()
        describe_release(self.metrics, loaded)

    @property
    def recommender(self) -> Recommender:
        """What answers now: the release, with the items that were added since."""
        return self._current.recommender

    async def put_items(self, items: list[ItemUpsert]) -> ItemsResponse:
        """Keep items, make them recommendable."""
        return await self._items.put(lambda: self._current, items)

    def __serve_build_asgi_app__(self) -> Gateway:
        """The routes; Serve asks for them once the replica is constructed."""
        title = f"crossrec: {self._domain}"
        refresh = lambda: self._current.refresh()  # noqa: E731 - it is another one after a swap
        return domain_app(self, self._keys, title, refresh, self.metrics)

    async def learner(self, order: LearnerOrder | None) -> LearnerStatus:
        """What was learned of the objectives' weights, after an order."""
        return await self._learner.ask(order)

    async def erase(self, user_id: str) -> ErasureResponse:
        """Erase a user; from the first step on every replica hides what its release holds."""
        return await asyncio.to_thread(self._erasures.erase, user_id)

    async def summary(self) -> DomainSummary:
        """The domain's line in the list of domains."""
        return domain_summary(self.recommender.loaded)

    async def _encode(self, texts: list[str], version: str) -> Vectors:
        """Ask the encoder, which lives in another application.

        Raises:
            ServiceError: it does not answer, or has too much to do (429).
        """
        if self._handle is None:
            self._handle = serve.get_deployment_handle(ENCODER, ENCODER_APPLICATION)
        try:
            answer = self._handle.encode.remote(texts, self._domain, version)
            timed: Timed = await asyncio.wait_for(answer, ENCODER_TIMEOUT_S)
        except BackPressureError as err:
            raise TooBusyError from err
        except Exception as err:
            cause = getattr(err, "cause", err)  # Ray wraps what was raised, and adds a traceback
            if isinstance(cause, CrossrecError):
                raise cause from err
            raise ServiceError(
                "the encoder does not answer, so words cannot be read now; ask without text", 503
            ) from err
        vectors, seconds = timed
        split(QUEUE, seconds)
        return vectors


class SystemDeployment:
    """List of domains, health, readiness; knows the domains from Serve itself."""

    def __init__(self, access: str) -> None:
        self._keys = _keys(access)
        self._states: dict[str, str] = {}
        self._asked_at = -STATES_AGE_S

    def __serve_build_asgi_app__(self) -> Gateway:
        """The routes; Serve asks for them once the replica is constructed."""
        return system_app(self, self._keys)

    async def states(self) -> dict[str, str]:
        """Application → its state."""
        if time.monotonic() - self._asked_at >= STATES_AGE_S:
            status = await asyncio.to_thread(serve.status)
            self._states = {n: str(a.status.value) for n, a in status.applications.items()}
            self._asked_at = time.monotonic()
        return self._states

    async def metrics(self) -> bytes:
        """The figures of all replicas in Prometheus' format."""
        return await asyncio.to_thread(metrics_page, metrics_folder(_service()))

    async def domains(self) -> list[DomainSummary]:
        """Every domain that answers, sorted by name."""
        prefix = domain_application("")
        names = [name for name in sorted(await self.states()) if name.startswith(prefix)]
        answers = await asyncio.gather(*map(self._summary, names))
        return [answer for answer in answers if answer is not None]

    async def _summary(self, application: str) -> DomainSummary | None:
        with contextlib.suppress(Exception):  # it is being removed, or not there yet
            handle = serve.get_deployment_handle(DOMAIN, application)
            summary: DomainSummary = await asyncio.wait_for(handle.summary.remote(), 5)
            return summary
        return None


def _service() -> str:
    """What the processes of one service have in common: their Ray cluster."""
    if not ray.is_initialized():  # a deployment's class that is used without Serve
        return "alone"
    return str(ray.get_runtime_context().get_session_name())


def _write_metrics(metrics: Metrics) -> asyncio.Task[None]:
    return asyncio.create_task(write_forever(metrics, metrics_folder(_service())))


def build_encoder(arguments: dict[str, Any]) -> serve.Application:
    """The encoder's application; its encoder is the one the domains' releases share.

    Raises:
        ConfigError: a wrong argument.
        ReleaseError, UnknownDomainError: a domain has no release, or they share no encoder.
    """
    wanted = _parse(EncoderArguments, arguments)
    encoder = encoder_of(wanted.domains, ReleaseStore())
    resources = {"num_cpus": wanted.num_cpus, "num_gpus": wanted.num_gpus}
    deployment = serve.deployment(
        EncoderDeployment,
        name=ENCODER,
        ray_actor_options=resources,
        user_config={"domains": wanted.domains},
        **_LIMITS,
    )
    return deployment.bind(encoder, wanted.threads)


def build_domain(arguments: dict[str, Any]) -> serve.Application:
    """A domain's application.

    Raises:
        ConfigError: a wrong argument.
        ReleaseError, UnknownDomainError: there is no such release.
    """
    wanted = _parse(DomainArguments, arguments)
    release = ReleaseStore().show(wanted.domain, wanted.version)
    deployment = serve.deployment(
        serve.ingress()(DomainDeployment),
        name=DOMAIN,
        num_replicas=wanted.replicas,
        ray_actor_options={"num_cpus": N_CPUS},
        user_config={"version": release.version},  # never `current`: replicas must agree
        **_LIMITS,
    )
    # Without a version of the code Serve draws one at random, and restarts the replicas where a
    # new user_config would do.
    code = f"{crossrec.__version__}-{wanted.access}"
    deployment = deployment.options(version=code, _internal=True)
    return deployment.bind(wanted.domain, wanted.access)


def build_system(arguments: dict[str, Any]) -> serve.Application:
    """The small application for the whole service.

    Raises:
        ConfigError: a wrong argument.
    """
    wanted = _parse(SystemArguments, arguments)
    deployment = serve.deployment(
        serve.ingress()(SystemDeployment),
        name=SYSTEM,
        ray_actor_options={"num_cpus": N_CPUS},
        **_LIMITS,
    )
    return deployment.bind(wanted.access)


def _parse(kind: type[Parsed], arguments: dict[str, Any]) -> Parsed:
    try:
        return kind.model_validate(arguments)
    except ValidationError as err:
        lines = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in err.errors())
        raise ConfigError(f"arguments of the Serve application: {lines}") from err
