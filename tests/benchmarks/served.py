"""What the serving benchmarks share: a trained domain, copies of it, a running service.

Leaves to others: measuring (serve_memory_8, http_user_p50).
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from crossrec.config import AdapterConfig, load_config
from crossrec.data.dataset import Dataset
from crossrec.data.importing import import_domain
from crossrec.data.sequences import load_sequences
from crossrec.domains import load_domain
from crossrec.errors import DataError
from crossrec.models.adapters import attach_adapter, save_adapter
from crossrec.models.domain_model import DomainModel
from crossrec.models.encoder import TextEncoder
from crossrec.models.mixed import MixedEncoder
from crossrec.models.signals import RequestSignal, unit
from crossrec.releases.store import LoadedRelease, ReleaseStore
from crossrec.schema import TEXT
from crossrec.serving.launch import Service, ServiceSettings, start
from crossrec.training.pipeline import train_here

DOMAIN = "movies"
ADAPTER_SCALE = 0.02
"""Deviation of the random B of an adapter; moves a text's vector to a cosine of about .9."""


def trained(store: ReleaseStore) -> LoadedRelease:
    """The current release of DOMAIN below `$CROSSREC_HOME`; trained for an epoch where none is.

    Neither memory nor time of an answer depend on how long it was trained.
    """
    try:
        Dataset.open(DOMAIN)
    except DataError:
        import_domain(load_domain(DOMAIN))
    if DOMAIN not in store.domains():
        train_here(DOMAIN, load_config(overrides=["training.max_epochs=1"]))
    return store.load(DOMAIN)


def copies(store: ReleaseStore, n: int) -> list[str]:
    """Names of `n` domains, each with a release of its own: DOMAIN's, with another adapter."""
    loaded, dataset = trained(store), Dataset.open(DOMAIN)
    manifest, sequences = loaded.release.manifest, load_sequences(dataset)
    encoder = TextEncoder.load(manifest.encoder)
    names = [f"{DOMAIN}_{number}" for number in range(1, n + 1)]
    for number, name in enumerate(names):
        domain = loaded.model.domain.model_copy(update={"name": name})
        with tempfile.TemporaryDirectory() as folder:
            _write_adapter(encoder, number, Path(folder))
            model = _adapted(loaded.model, dataset, encoder, Path(folder))
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


def _write_adapter(encoder: TextEncoder, seed: int, folder: Path) -> None:
    """A PEFT folder as adapted training writes it, of random weights: neither time nor memory
    depend on what they are.
    """
    adapted = attach_adapter(encoder, AdapterConfig(), seed)
    generator = torch.Generator().manual_seed(seed)
    for name, weights in adapted.named_parameters():
        if ".lora_B." in name:  # zero so far, so that the adapter would do nothing
            weights.data.normal_(0, ADAPTER_SCALE, generator=generator)
    save_adapter(adapted, encoder, folder)


def _adapted(
    model: DomainModel, dataset: Dataset, encoder: TextEncoder, adapter: Path
) -> DomainModel:
    """The model whose requests meet item texts of the adapter: two copies of them in memory."""
    mixed = MixedEncoder(encoder)
    mixed.add(DOMAIN, adapter)
    texts = dataset.catalogue()[TEXT].to_list()
    tokens = model.config.model.max_text_tokens
    vectors = mixed.encode(texts, [DOMAIN] * len(texts), max_tokens=tokens)
    centre = vectors.mean(axis=0)
    signals = model.signals_by_name | {"request": RequestSignal(unit(vectors - centre), centre)}
    training = model.config.training.model_copy(update={"mode": "adapted"})
    config = model.config.model_copy(update={"training": training})
    return replace(model, signals_by_name=signals, config=config)


@contextmanager
def running(domains: list[str], n_noops: int) -> Iterator[Service]:
    """A service of the domains with HAProxy, and routes that do nothing beside them."""
    os.environ["NOOP_APPLICATIONS"] = str(n_noops)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    settings = ServiceSettings(domains=domains, port=port, access="loopback")
    with start(settings, "tests.benchmarks.serve_beside") as service:
        yield service
