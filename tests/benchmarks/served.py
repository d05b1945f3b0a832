"""What the serving benchmarks share: a trained domain, copies of it, a running service.

Leaves to others: measuring (serve_memory_8, http_user_p50).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from crossrec.config import load_config
from crossrec.data.dataset import Dataset
from crossrec.data.importing import import_domain
from crossrec.data.sequences import load_sequences
from crossrec.domains import load_domain
from crossrec.errors import DataError
from crossrec.releases.store import LoadedRelease, ReleaseStore
from crossrec.serving.launch import Service, ServiceSettings, start
from crossrec.training.pipeline import train_here

DOMAIN = "movies"


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
    """Names of `n` domains, each with a release of its own that is a copy of DOMAIN's."""
    loaded, dataset = trained(store), Dataset.open(DOMAIN)
    manifest, sequences = loaded.release.manifest, load_sequences(dataset)
    names = [f"{DOMAIN}_{number}" for number in range(1, n + 1)]
    for name in names:
        domain = loaded.model.domain.model_copy(update={"name": name})
        store.publish(
            replace(loaded.model, domain=domain),
            replace(dataset, domain=domain),
            sequences,
            loaded.release.metrics,
            manifest.encoder,
            manifest.encoder_fingerprint,
            manifest.seed,
            adapter_folder=loaded.release.adapter_folder,
        )
    return names


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
