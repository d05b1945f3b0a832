"""Encodes request texts for all domains: one encoder, every adapter resident, mixed batches.

A plain class without Ray. Leaves to others: the mathematics (models/mixed.py), where it runs
(deployments.py). Needs torch; nothing else that a service runs does.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter

from crossrec.errors import CrossrecError, EncoderError
from crossrec.models.encoder import TextEncoder
from crossrec.models.mixed import MixedEncoder
from crossrec.releases.store import Release, ReleaseStore
from crossrec.serving.gateway import TooBusyError
from crossrec.serving.metrics import Metrics
from crossrec.serving.stages import ENCODE, QUEUE, TOKENISE, Stages
from crossrec.serving.together import Timed, Vectors

log = logging.getLogger(__name__)

MAX_BATCH_TEXTS = 64
MAX_WAITING = 512
"""Requests that wait for a batch; more are told to come back."""
STEP_TOKENS = 768
"""Of one pass through the encoder. Where texts are padded, less of small passes is padding (32
requests of people: a tenth less time than in one of 2,048); end to end they take the same."""
KEPT_VERSIONS = 6
"""Releases of a domain whose adapters stay: those last made ready, or found so. While replicas move
on two are asked for; an experiment has up to five, and one may be in the shadow."""


@dataclass(frozen=True)
class _Job:
    texts: list[str]
    adapter: str
    max_tokens: int
    done: asyncio.Future[Timed]
    since: float = field(default_factory=perf_counter)
    """When it began to wait."""


class EncoderService:
    """Batches what comes in while a batch is running; nobody waits for a batch to fill.

    Torch runs in threads of its own, so the event loop stays free; each has its own batch, which
    takes less than several threads on one. Adapters are called `domain@version`: a replica gets the
    vectors of its own release, never those of the next.

    Args:
        threads: batches at once.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        store: ReleaseStore,
        metrics: Metrics | None = None,
        threads: int = 1,
    ) -> None:
        self._encoder = encoder
        self._mixed = MixedEncoder(encoder)
        self._store = store
        self.metrics = metrics or Metrics()
        self._versions: dict[str, list[str]] = {}
        self._max_tokens: dict[str, int] = {}
        self._loading = threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._n_working, self._n_threads = 0, threads
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="encoder")

    @property
    def resident(self) -> list[str]:
        """Adapters in memory, as `domain@version`."""
        return list(self._mixed.domains)

    def load(self, domain: str, version: str) -> None:
        """Make the adapter of a release resident; nothing to do where it is.

        Raises:
            UnknownDomainError, ReleaseError: there is no such release.
            EncoderError: it was made with another encoder; all is as before.
        """
        with self._loading:  # two requests may be the first of a release
            known = self._versions.get(domain, [])
            if version in known:
                self._versions[domain] = [*(v for v in known if v != version), version]
            else:
                self._load(domain, version)

    def forget(self, domain: str) -> None:
        """Let go of all adapters of a domain; they are loaded again where they are asked for."""
        with self._loading:
            for version in self._versions.pop(domain, []):
                self._mixed.remove(_name(domain, version))
                del self._max_tokens[_name(domain, version)]

    def _load(self, domain: str, version: str) -> None:
        release = self._store.show(domain, version)
        self._expect_own(release)
        self._max_tokens[_name(domain, version)] = release.config.model.max_text_tokens
        self._mixed.add(_name(domain, version), release.adapter_folder)
        versions = [*self._versions.get(domain, []), version]
        self._versions[domain] = versions[-KEPT_VERSIONS:]
        for old in versions[:-KEPT_VERSIONS]:
            self._mixed.remove(_name(domain, old))
            del self._max_tokens[_name(domain, old)]
        self.metrics.forget("crossrec_adapter_resident")
        for adapter in self.resident:
            self.metrics.set("crossrec_adapter_resident", 1, adapter=adapter)

    def _expect_own(self, release: Release) -> None:
        made_with = release.manifest.encoder_fingerprint
        if made_with != self._encoder.fingerprint:
            raise EncoderError(
                f"release {release.version} of '{release.domain}' was made with the encoder"
                f" {release.manifest.encoder} ({made_with[:12]}), this service runs"
                f" {self._encoder.name} ({self._encoder.fingerprint[:12]}); serve it apart"
            )

    def load_current(self, domains: Iterable[str]) -> None:
        """Make the adapters of the domains' current releases resident.

        One that cannot be is logged: it must not keep the encoder from the other domains.
        """
        for domain in domains:
            try:
                self.load(domain, self._store.show(domain).version)
            except CrossrecError:
                log.exception("the adapter of '%s' was not loaded", domain)

    async def encode(self, texts: list[str], domain: str, version: str) -> Vectors:
        """Vectors of the texts with the release's adapter: (n, E) float32, unit length.

        They are cut where its training cut them, at `model.max_text_tokens`.

        Raises:
            UnknownDomainError, ReleaseError, EncoderError: as in `load`.
        """
        return (await self.encode_timed(texts, domain, version))[0]

    async def encode_timed(self, texts: list[str], domain: str, version: str) -> Timed:
        """The same, with the seconds of tokenising and encoding; the rest was waiting.

        Raises:
            TooBusyError: MAX_WAITING others wait already.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise TooBusyError
        if version not in self._versions.get(domain, []):
            await asyncio.to_thread(self.load, domain, version)
        done: asyncio.Future[Timed] = asyncio.get_running_loop().create_future()
        name = _name(domain, version)
        self._waiting.append(_Job(texts, name, self._max_tokens[name], done))
        if self._n_working < self._n_threads:
            self._n_working += 1
            self._workers.add(worker := asyncio.create_task(self._work()))
            worker.add_done_callback(self._workers.discard)
        return await done

    async def _work(self) -> None:
        """Batch after batch, as long as somebody waits."""
        while jobs := self._next_batch():
            self._count(jobs)
            await self._hand_out(jobs)
        self._n_working -= 1  # at once: whoever comes next is to find nobody at work

    async def _hand_out(self, jobs: list[_Job]) -> None:
        """Encode one batch; give everybody their rows, or the error."""
        loop = asyncio.get_running_loop()
        try:
            vectors, seconds = await loop.run_in_executor(self._threads, self._encode_jobs, jobs)
        except Exception as err:
            _fail(jobs, err)
            return
        start = 0
        for job in jobs:
            if not job.done.cancelled():
                job.done.set_result((vectors[start : start + len(job.texts)], seconds))
            start += len(job.texts)

    def _next_batch(self) -> list[_Job]:
        """The longest waiting, and those behind them that fit and cut their texts alike.

        Nothing is encoded for those who have gone: their deadline was over, or they hung up.
        """
        jobs: list[_Job] = []
        n_texts = 0
        while self._waiting:
            job = self._waiting[0]
            if not job.done.cancelled():
                n_texts += len(job.texts)
                if jobs and (n_texts > MAX_BATCH_TEXTS or job.max_tokens != jobs[0].max_tokens):
                    break
                jobs.append(job)
            self._waiting.popleft()
        return jobs

    def _count(self, jobs: list[_Job]) -> None:
        now, n_texts = perf_counter(), sum(len(job.texts) for job in jobs)
        self.metrics.observe("crossrec_encoder_batch_texts", n_texts)
        for job in jobs:
            self.metrics.observe("crossrec_encoder_seconds", now - job.since, stage=QUEUE)

    def _encode_jobs(self, jobs: list[_Job]) -> Timed:
        texts = [text for job in jobs for text in job.texts]
        adapters = [job.adapter for job in jobs for _ in job.texts]
        stages = Stages()
        vectors = self._mixed.encode(
            texts,
            adapters,
            max_tokens=jobs[0].max_tokens,
            batch_tokens=STEP_TOKENS,
            on_tokenised=lambda: stages.lap(TOKENISE),
        )
        stages.lap(ENCODE)
        for stage, seconds in stages.seconds.items():
            self.metrics.observe("crossrec_encoder_seconds", seconds, stage=stage)
        return vectors, stages.seconds

    def close(self) -> None:
        """End the threads; what waits is answered first."""
        self._threads.shutdown()


def _name(domain: str, version: str) -> str:
    return f"{domain}@{version}"


def _fail(jobs: list[_Job], err: Exception) -> None:
    for job in jobs:
        if not job.done.cancelled():
            job.done.set_exception(err)
