"""What Ray Serve's replicas run: the encoder, a domain, a release in the shadow of one.

Thin on purpose. Leaves to others: the applications that they are in (applications.py), several
domains in one replica (shared_domains.py), routes (http_api.py), meaning (recommender.py), texts
(encoder_service.py). Checked on Ray 2.60.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ray import serve

from crossrec.ranking.weights import Weigh
from crossrec.releases.store import LoadedRelease, ReleaseStore
from crossrec.serving.arguments import (
    SHADOW,
    DomainArguments,
    parse,
    shadow_application,
)
from crossrec.serving.arms import Arms
from crossrec.serving.asking import service_name
from crossrec.serving.auth import KeyRing
from crossrec.serving.cards import domain_summary
from crossrec.serving.encoder_client import EncoderClient
from crossrec.serving.erasure import Erasures
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.gateway import Door, Gateway
from crossrec.serving.http_api import domain_app
from crossrec.serving.item_updates import Current, ItemUpdates
from crossrec.serving.learned_weights import LearnedWeights
from crossrec.serving.learning_messages import LearnerOrder, LearnerStatus
from crossrec.serving.learning_service import LearnerHandle
from crossrec.serving.line import Line, line_path, open_line
from crossrec.serving.live_messages import ExperimentResults, ServedRelease, ShadowResults
from crossrec.serving.logs import keep_replica_log
from crossrec.serving.memory import give_back_memory, keep_memory
from crossrec.serving.messages import (
    DomainSummary,
    ErasureResponse,
    ItemsResponse,
    ItemUpsert,
)
from crossrec.serving.metrics import Metrics, describe_release, metrics_folder, write_forever
from crossrec.serving.recommender import Recommender, Vectors
from crossrec.serving.shadow import Comparison, Copies, Copy, Overheard
from crossrec.serving.stages import QUEUE, split
from crossrec.serving.together import Timed
from crossrec.serving.traffic import Shadow

log = logging.getLogger(__name__)

COPY_TIMEOUT_S = 10.0
"""After which a copy for the shadow is given up."""


def keys_of(access: str) -> KeyRing | None:
    """Whom to let in; None: whoever calls from this machine."""
    return KeyRing() if access == "keys" else None


class EncoderDeployment:
    """The only process that imports torch. `user_config`: {"domains": [names]}."""

    def __init__(self, encoder: str, threads: int, alone: bool) -> None:
        """`alone`: there is one replica, and domains of its machine may ask it on a line."""
        keep_replica_log()
        keep_memory()
        import torch

        from crossrec.models.encoder import TextEncoder
        from crossrec.serving.encoder_service import EncoderService

        torch.set_num_threads(1)
        self._service = EncoderService(TextEncoder.load(encoder), ReleaseStore(), threads=threads)
        self._writing: asyncio.Task[None] | None = None
        self._path = line_path(service_name()) if alone else None
        self._line: asyncio.Server | None = None

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Make the adapters of the current releases resident."""
        self._writing = self._writing or _write_metrics(self._service.metrics)
        await asyncio.to_thread(self._service.load_current, user_config["domains"])
        if self._path is not None and self._line is None:
            self._line = await open_line(self._service.encode_timed, self._path)

    async def encode(self, texts: list[str], domain: str, version: str) -> Timed:
        """(n, E) float32, with the adapter of that release; and the seconds it took here."""
        return await self._service.encode_timed(texts, domain, version)

    async def prepare(self, domain: str, version: str) -> None:
        """Make the adapter of a release resident before it is served."""
        await asyncio.to_thread(self._service.load, domain, version)

    async def forget(self, domain: str) -> None:
        """Let go of a domain's adapters."""
        await asyncio.to_thread(self._service.forget, domain)


@dataclass(frozen=True)
class Common:
    """What the domains of one process have in common."""

    feedback_log: FeedbackLog = field(default_factory=FeedbackLog)
    line: Line = field(default_factory=lambda: Line(line_path(service_name())))
    door: Door = field(default_factory=Door)


class DomainDeployment:
    """One domain. `user_config`: its arguments; other releases and other shares are taken over
    without a restart: requests under way end on the release they began on.

    Args:
        common: of the process, where other domains answer in it too.
    """

    def __init__(self, domain: str, access: str, common: Common | None = None) -> None:
        keep_replica_log()
        common = common or Common()
        self._domain = domain
        self._keys = keys_of(access)
        self._store = ReleaseStore()
        self._encoder = EncoderClient(domain, common.line)
        self._door = common.door
        self.feedback_log = common.feedback_log
        self._erasures = Erasures(domain, self.feedback_log, self._store)
        self._items = ItemUpdates(domain)
        self._learned = LearnedWeights(domain)
        self._learner = LearnerHandle(domain)
        self.metrics = Metrics(domain=domain)
        self._writing: asyncio.Task[None] | None = None
        self._arguments: DomainArguments
        self.arms = Arms(domain, self._load)

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Load releases, verified, then answer from them."""
        self._writing = self._writing or _write_metrics(self.metrics)
        wanted = parse(DomainArguments, {"domain": self._domain, **user_config})
        await self.arms.configure(wanted.version, wanted.experiment)
        self.arms.copies = self._copies(wanted.shadow)
        self._arguments = wanted
        self._declare()
        for current in self.arms.loaded:  # what was put for the former releases meanwhile
            await self._items.keep_up(current)
        give_back_memory()
        self._describe()

    async def _load(self, version: str) -> Current:
        loaded = await asyncio.to_thread(self._store.load, self._domain, version)
        encode = partial(self._encode, version=loaded.release.version)

        def answering(edition: LoadedRelease) -> Recommender:
            edition.catalogue.hides = self._erasures.hides
            return Recommender(edition, encode, self.feedback_log, weigh=self._weigh())

        current = Current(loaded, answering)
        self._learned.check(current.recommender)
        await self._items.keep_up(current)
        await current.refresh()
        return current

    def _declare(self) -> None:
        """Say what there is to learn: that of control, whatever other arms there are."""
        self._learned.declare(self.recommender)

    def _describe(self) -> None:
        """Say among the figures what answers: that of control, whatever other arms there are."""
        describe_release(self.metrics, self.recommender.loaded)

    def _weigh(self) -> Weigh:
        return self._learned

    def _copies(self, shadow: Shadow | None) -> Copies | None:
        if shadow is None:
            return None
        handle = serve.get_deployment_handle(SHADOW, shadow_application(self._domain))
        former = self.arms.copies
        if former is not None and former.shadow == shadow:
            return former

        async def send(copy: Copy) -> None:
            await asyncio.wait_for(handle.compare.remote(copy), COPY_TIMEOUT_S)

        return Copies(shadow, send)

    @property
    def recommender(self) -> Recommender:
        """What answers now: the release, with the items that were added since."""
        return self.arms.control.recommender

    async def put_items(self, items: list[ItemUpsert]) -> ItemsResponse:
        """Keep items, make them recommendable, in every arm."""
        answer = await self._items.put(lambda: self.arms.control, items)
        for current in self.arms.loaded:
            if current is not self.arms.control:
                await self._items.keep_up(current)
        return answer

    def __serve_build_asgi_app__(self) -> Gateway:
        """The routes; Serve asks for them once the replica is constructed."""
        title = f"crossrec: {self._domain}"
        refresh, arms = self.arms.refresh, self.arms
        return domain_app(self, self._keys, title, refresh, self.metrics, arms, self._door)

    async def learner(self, order: LearnerOrder | None) -> LearnerStatus:
        """What was learned of the objectives' weights, after an order."""
        self._learned.expect_learnable()
        return await self._learner.ask(order)

    async def erase(self, user_id: str) -> ErasureResponse:
        """Erase a user; from the first step on every replica hides what its release holds."""
        return await asyncio.to_thread(self._erasures.erase, user_id)

    async def summary(self) -> DomainSummary:
        """The domain's line in the list of domains."""
        return domain_summary(self.recommender.loaded)

    async def arguments(self) -> DomainArguments:
        """What it was told last."""
        return self._arguments

    def close(self) -> None:
        """Let go of what this domain alone holds; its last figures stay."""
        if self._writing is not None:
            self._writing.cancel()
        self._learned.close()
        self.arms.close()

    async def served(self) -> ServedRelease:
        """What it answers from."""
        return self.arms.served()

    async def results(self, experiment: str | None) -> ExperimentResults | None:
        """Of an experiment, of the latest one where none is named."""
        return await self.arms.results(experiment)

    async def _encode(self, texts: list[str], version: str) -> Vectors:
        """Vectors of texts, (n, E); raises as `EncoderClient.encode`."""
        vectors, seconds = await self._encoder.encode(texts, version)
        split(QUEUE, seconds)
        return vectors


class ShadowDeployment(DomainDeployment):
    """A release that answers copies of requests, and nobody hears its answers."""

    def __init__(self, domain: str) -> None:
        super().__init__(domain, "loopback")
        self._comparison: Comparison | None = None

    def _declare(self) -> None:
        """Nothing is learned from answers that nobody hears."""

    def _describe(self) -> None:
        """What nobody hears is not what the domain answers from."""

    def _weigh(self) -> Weigh:
        return Overheard(self._learned)

    async def compare(self, copy: Copy) -> None:
        """Answer a copy; keep how the answer differs."""
        recommender = self.recommender
        release = recommender.loaded.release.version
        if self._comparison is None or self._comparison.release != release:
            self._comparison = Comparison(self._domain, release)
        await self.arms.refresh()
        await self._comparison.compare(recommender, copy)

    async def compared(self) -> ShadowResults:
        """What came of it so far."""
        release = self.recommender.loaded.release.version
        return (self._comparison or Comparison(self._domain, release)).results()


def _write_metrics(metrics: Metrics) -> asyncio.Task[None]:
    return asyncio.create_task(write_forever(metrics, metrics_folder(service_name())))
