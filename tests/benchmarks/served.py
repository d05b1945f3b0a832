"""What the serving benchmarks share: a trained domain, copies of it, a running service.

Leaves to others: measuring (serve_memory_8, http_user_p50).
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from crossrec.config import AdapterConfig, load_config
from crossrec.data.dataset import Dataset
from crossrec.data.importing import imported
from crossrec.data.sequences import load_sequences
from crossrec.domains.spec import Learning
from crossrec.models.domain_model import DomainModel
from crossrec.models.encoder import TextEncoder
from crossrec.models.text_signals import RequestSignal, unit
from crossrec.models.upper import LayerCache, UpperBatch, UpperEncoder
from crossrec.releases.store import LoadedRelease, ReleaseStore
from crossrec.schema import TEXT
from crossrec.serving.launch import Service, ServiceSettings, start
from crossrec.training.pipeline import train_here
from tests.ports import free_port

DOMAIN = "movies"
ADAPTER_SCALE = 0.1
"""Deviation of the random B of an adapter; item texts keep a cosine of .97 with what they were."""


def on_one_thread() -> None:
    """Begin the benchmark anew with one thread of numpy, as a service's processes have, unless it
    has one: threads that wait for each other count as work.
    """
    if os.environ.get("OMP_NUM_THREADS") != "1":
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def trained(store: ReleaseStore, domain: str = DOMAIN) -> LoadedRelease:
    """The domain's current release below `$CROSSREC_HOME`; trained for an epoch where none is.

    Neither memory nor time of an answer depend on how long it was trained.
    """
    imported(domain)
    if domain not in store.domains():
        train_here(domain, load_config(overrides=["training.max_epochs=1"]))
    return store.load(domain)


def copies(
    store: ReleaseStore, n: int, anew: bool = True, learning: Learning | None = None
) -> list[str]:
    """Names of `n` domains, each with a release of its own: DOMAIN's, with another adapter.

    Args:
        anew: False: those that an earlier run made of the same release stay.
        learning: what the copies learn from feedback; such have names of their own.
    """
    loaded, dataset = trained(store), Dataset.open(DOMAIN)
    manifest, sequences = loaded.release.manifest, load_sequences(dataset)
    encoder = TextEncoder.load(manifest.encoder)
    config = loaded.model.config
    texts = dataset.catalogue()[TEXT].to_list()
    tokens = config.model.max_text_tokens
    lower = LayerCache.build(encoder, texts, config.adapter.n_layers, tokens)
    kind = DOMAIN if learning is None else f"{DOMAIN}_learns"
    names = [f"{kind}_{number}" for number in range(1, n + 1)]
    for number, name in enumerate(names):
        if not anew and _is_copy(store, name, loaded.release.version):
            continue
        domain = loaded.model.domain.model_copy(update={"name": name, "learning": learning})
        adapted = random_adapter(encoder, config.adapter, number)
        model = _with_texts_of(adapted, lower.batch(range(len(texts))), loaded.model)
        with tempfile.TemporaryDirectory() as folder:
            adapted.save(Path(folder))
            store.publish(
                replace(model, domain=domain),
                replace(dataset, domain=domain),
                sequences,
                loaded.release.metrics,
                manifest.encoder,
                manifest.encoder_fingerprint,
                manifest.seed,
                adapter_folder=Path(folder),
            )
    return names


def _is_copy(store: ReleaseStore, name: str, version: str) -> bool:
    """Versions are moments: a copy is later than what it was made of."""
    return name in store.domains() and store.show(name).version > version


def random_adapter(encoder: TextEncoder, config: AdapterConfig, seed: int) -> UpperEncoder:
    """An adapter as training begins with, its B random too: neither time nor memory depend on
    what was learned.
    """
    adapted = UpperEncoder(encoder, config, seed).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, weights in adapted.lora.items():
        if "lora_B" in name:  # zeros so far, so that the adapter would do nothing
            weights.data.normal_(0, ADAPTER_SCALE, generator=generator)
    return adapted


def _with_texts_of(adapted: UpperEncoder, lower: UpperBatch, model: DomainModel) -> DomainModel:
    """The model whose requests meet item texts of the adapter: others than its histories'."""
    with torch.inference_mode():
        vectors = adapted(lower).numpy()
    centre = vectors.mean(axis=0)
    request = RequestSignal(unit(vectors - centre), centre)
    training = model.config.training.model_copy(update={"mode": "adapted"})
    return replace(
        model,
        signals_by_name=model.signals_by_name | {"request": request},
        config=model.config.model_copy(update={"training": training}),
    )


@contextmanager
def running(domains: list[str], n_noops: int, replicas: int = 1) -> Iterator[Service]:
    """A service of the domains with HAProxy, and routes that do nothing beside them.

    Args:
        replicas: that the domains share, and of each route that does nothing.
    """
    os.environ |= {"NOOP_APPLICATIONS": str(n_noops), "NOOP_REPLICAS": str(replicas)}
    settings = ServiceSettings(
        domains=domains, port=free_port(), access="loopback", replicas=replicas
    )
    with start(settings, "tests.benchmarks.serve_beside") as service:
        yield service
