"""Writes a release folder: beside its place, verified, then renamed into it.

Leaves to others: the alias and everything after publishing (store.py).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from crossrec.data.dataset import Dataset
from crossrec.data.growth import GROWTH
from crossrec.data.ratings import rating_levels, ratings_as_events
from crossrec.data.sequences import load_sequences
from crossrec.data.split import Sequences
from crossrec.errors import ReleaseError
from crossrec.models.domain_model import DomainModel
from crossrec.releases.catalogue import CATALOGUE
from crossrec.releases.catalogue_writer import write_catalogue
from crossrec.releases.item_search import write_search
from crossrec.releases.manifest import (
    MANIFEST,
    Manifest,
    check_files,
    hash_file,
    list_files,
    read_manifest,
)
from crossrec.releases.probes import write_probes
from crossrec.releases.store import DATA_AT, METRICS, Release, load_verified

STAGING = ".staging-"
STALE_S = 24 * 3600
"""A staging folder older than this was left by a killed process, and is removed."""

LIBRARIES = ("crossrec", "numpy", "safetensors", "torch", "transformers", "peft", "ray")


@dataclass(frozen=True)
class Contents:
    """Everything that goes into a release."""

    model: DomainModel
    dataset: Dataset
    sequences: Sequences | None
    metrics: dict[str, Any]
    encoder_name: str
    encoder_fingerprint: str
    seed: int
    adapter_folder: Path | None = None


def write_release(domain_folder: Path, contents: Contents) -> str:
    """Write, verify and move into place a new release; its version.

    Raises:
        ReleaseError: disk full, no right to write, or the folder does not verify; in each case
            nothing of it is left.
    """
    now = time.time()
    with _plain_errors(contents.model.domain.name, domain_folder):
        version = _free_version(domain_folder, now)
        with _place(domain_folder, version) as staging:
            staging.mkdir()
            _fill(staging, contents, version, now)
            _verify(staging, contents.model.domain.name)
    return version


def copy_release(source: Path, root: Path) -> Manifest:
    """Copy a release folder made elsewhere below `root`, under its own domain and version.

    Raises:
        ReleaseError: it is no release, is damaged, or its version is here already; disk full, no
            right to write; in each case nothing of it is left.
    """
    manifest = read_manifest(source)
    domain_folder = root / manifest.domain
    if (domain_folder / manifest.version).exists():
        raise ReleaseError(
            f"'{manifest.domain}' has a release {manifest.version} already; to make it current:"
            f" crossrec release rollback {manifest.domain} --to {manifest.version}"
        )
    placed = _place(domain_folder, manifest.version)
    with _plain_errors(manifest.domain, domain_folder), placed as staging:
        shutil.copytree(source, staging)
        _verify(staging, manifest.domain)
    return manifest


@contextlib.contextmanager
def _place(domain_folder: Path, version: str) -> Iterator[Path]:
    """A folder's name to write a release into; in place after the block, or gone if it raised."""
    domain_folder.mkdir(parents=True, exist_ok=True)
    _remove_stale(domain_folder)
    staging = domain_folder / f"{STAGING}{os.getpid()}-{time.time_ns()}"
    try:
        yield staging
        _sync(staging)
        os.rename(staging, domain_folder / version)
        _sync_folder(domain_folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _fill(folder: Path, contents: Contents, version: str, now: float) -> None:
    model, dataset = contents.model, contents.dataset
    model.save(folder)
    if contents.adapter_folder is not None and not (folder / "adapter").exists():
        shutil.copytree(contents.adapter_folder, folder / "adapter")
    users = _users(contents)
    if users is not None and rating_levels(model.vocabulary.events) is not None:
        users = ratings_as_events(users, all_rated=False)  # what such a model reads of a history
    write_catalogue(folder / CATALOGUE, dataset, model.vocabulary.item_ids, users)
    metrics = contents.metrics | _data_at(dataset)
    text = json.dumps(metrics, indent=1, ensure_ascii=False)
    (folder / METRICS).write_text(text, encoding="utf-8")
    stored = DomainModel.load(folder)  # as replicas will have it
    write_search(folder, stored)
    write_probes(folder, stored, contents.sequences, contents.seed)
    manifest = _manifest(folder, contents, users, version, now)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")


def _users(contents: Contents) -> Sequences | None:
    """Everybody with a history; nobody where the model was made without reading any."""
    if not contents.dataset.has("interactions"):
        return None
    read = contents.sequences
    return load_sequences(contents.dataset, 1, nobody=read is not None and not read.n_users)


def _data_at(dataset: Dataset) -> dict[str, float]:
    """When the data were taken down; with added items among them, when those were."""
    said = dataset.card.get(GROWTH, {}).get("at") or dataset.card.get("imported_at")
    return {DATA_AT: datetime.fromisoformat(said).timestamp()} if said else {}


def _manifest(
    folder: Path, contents: Contents, users: Sequences | None, version: str, now: float
) -> Manifest:
    model = contents.model
    return Manifest(
        domain=model.domain.name,
        version=version,
        created=datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
        published_at=int(now),
        data_end=0 if users is None else int(users.times.max(initial=0)),
        protocol=str(contents.metrics.get("protocol", model.config.protocol)),
        data_hash=contents.dataset.content_hash,
        config_digest=model.config.digest(),
        encoder=contents.encoder_name,
        encoder_fingerprint=contents.encoder_fingerprint,
        seed=contents.seed,
        n_items=len(model.vocabulary.item_ids),
        n_users=0 if users is None else users.n_users,
        versions=_versions(),
        files={name: hash_file(path) for name, path in list_files(folder).items()},
    )


def _versions() -> dict[str, str]:
    versions = {}
    for library in LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[library] = metadata.version(library)
    return versions


def _verify(staging: Path, domain: str) -> None:
    release = Release(domain, staging.name, staging, is_current=False)
    check_files(staging, release.manifest)
    load_verified(release).close()


def _free_version(domain_folder: Path, now: float) -> str:
    """UTC time to the millisecond; the next free one where several publish at once."""
    milliseconds = int(now * 1000)
    while True:
        moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
        version = f"{moment:%Y%m%d-%H%M%S}-{milliseconds % 1000:03d}"
        if not (domain_folder / version).exists():
            return version
        milliseconds += 1


def _remove_stale(domain_folder: Path) -> None:
    for pattern in (f"{STAGING}*", ".deleted-*"):
        for path in domain_folder.glob(pattern):
            if time.time() - path.stat().st_mtime > STALE_S:
                shutil.rmtree(path, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Make files and folders durable before the rename that makes them visible."""
    for path in [*folder.rglob("*"), folder]:
        _sync_folder(path)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _plain_errors(domain: str, folder: Path) -> Iterator[None]:
    """Turn what the disk does to us into one sentence."""
    try:
        yield
    except ReleaseError:
        raise
    except Exception as err:
        if _is_full(err):
            free = shutil.disk_usage(folder).free / 2**20
            raise ReleaseError(
                f"the disk is full: a release of '{domain}' does not fit into {folder}"
                f" ({free:.0f} MiB free); nothing was published. Free some space, for example"
                f" with: crossrec release delete {domain} --keep 1"
            ) from err
        if isinstance(err, OSError):
            raise ReleaseError(
                f"a release of '{domain}' cannot be written to {folder}: {err.strerror};"
                " nothing was published"
            ) from err
        raise


def _is_full(err: Exception) -> bool:
    """Whether the disk, a quota or a file size limit is the cause.

    SQLite and safetensors raise classes of their own, so their words are looked at as well.
    """
    if isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    if getattr(err, "sqlite_errorname", "") == "SQLITE_IOERR_WRITE":
        return True
    words = ("No space left", "disk is full", "File too large", "quota exceeded")
    return any(word.lower() in str(err).lower() for word in words)
