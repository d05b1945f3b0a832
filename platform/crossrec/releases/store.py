"""Publishes, lists, verifies, rolls back, deletes and loads the releases of domains.

Leaves to others: writing a folder (publishing.py), what it holds (manifest.py), serving it.
Layout: `<root>/<domain>/<version>/`, and `<root>/<domain>/current`, a file with a version in it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from crossrec.config import RunConfig, home
from crossrec.domains.spec import Domain
from crossrec.errors import ReleaseError, UnknownDomainError, UnknownReleaseError, suggest
from crossrec.models.domain_model import DomainModel
from crossrec.ranking.candidates import ItemSearch
from crossrec.releases.catalogue import CATALOGUE, Catalogue
from crossrec.releases.item_search import load_search
from crossrec.releases.manifest import Manifest, check_files, read_manifest
from crossrec.releases.probes import check_probes

if TYPE_CHECKING:  # polars stays out of a served domain
    from crossrec.data.dataset import Dataset
    from crossrec.data.split import Sequences

CURRENT = "current"
METRICS = "metrics.json"
DATA_AT = "data_at"
"""Entry of the metrics: when the data were imported, or feedback was put behind them, in seconds
since 1970; missing in older releases, and where the data do not say."""
VERSION_PATTERN = re.compile(r"\d{8}-\d{6}-\d{3}")
"""UTC date, time and milliseconds: versions sort by age."""


@dataclass(frozen=True)
class Release:
    """One immutable folder; reading its facts may raise a ReleaseError."""

    domain: str
    version: str
    folder: Path
    is_current: bool

    @cached_property
    def manifest(self) -> Manifest:
        """What made it, and its files."""
        return read_manifest(self.folder)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Figures of the evaluation, with protocol and data hash."""
        metrics: dict[str, Any] = json.loads((self.folder / METRICS).read_text(encoding="utf-8"))
        return metrics

    @cached_property
    def config(self) -> RunConfig:
        """Settings of its training; serving follows them."""
        return RunConfig.model_validate_json((self.folder / "config.json").read_bytes())

    @cached_property
    def task(self) -> str:
        """What it predicts: rank, rate or classify; the settings' word goes before the domain's."""
        try:
            domain = yaml.safe_load((self.folder / "domain.yaml").read_text(encoding="utf-8"))
            return self.config.task or Domain.model_validate(domain).task
        except (OSError, ValueError, yaml.YAMLError) as err:
            raise ReleaseError(
                f"the settings in {self.folder} cannot be read; train the domain again"
            ) from err

    @property
    def adapter_folder(self) -> Path | None:
        """PEFT adapter of the encoder, or None in frozen mode."""
        folder = self.folder / "adapter"
        return folder if folder.is_dir() else None


@dataclass(frozen=True)
class LoadedRelease:
    """A verified release, ready to answer."""

    release: Release
    model: DomainModel
    catalogue: Catalogue
    search: ItemSearch | None = None
    """Finds items where there are too many to score all; None: all are scored."""

    def close(self) -> None:
        """Let go of the files."""
        self.catalogue.close()


class ReleaseStore:
    """All releases below one folder; several processes may use it at once."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or home() / "releases"

    def publish(
        self,
        model: DomainModel,
        dataset: Dataset,
        sequences: Sequences | None,
        metrics: dict[str, Any],
        encoder_name: str,
        encoder_fingerprint: str,
        seed: int,
        adapter_folder: Path | None = None,
    ) -> Release:
        """Write a release beside the others, verify it, move it into place, make it current.

        Args:
            sequences: what the model was fitted on; the probes take its span of time.
            metrics: figures, JSON-able, with `protocol` among them.

        Raises:
            ReleaseError: it could not be written or does not verify; the message says why, and
                nothing is left behind, `current` is as before.
        """
        from crossrec.releases.publishing import Contents, write_release

        contents = Contents(
            model, dataset, sequences, metrics, encoder_name, encoder_fingerprint, seed,
            adapter_folder,
        )  # fmt: skip
        version = write_release(self.root / model.domain.name, contents)
        self._point(model.domain.name, version)
        return self.show(model.domain.name, version)

    def adopt(self, folder: Path) -> Release:
        """Copy a release folder made elsewhere among the others and make it current.

        Raises:
            ReleaseError: it is no release, damaged, here already, or could not be written; the
                releases here are as before.
        """
        from crossrec.releases.publishing import copy_release

        manifest = copy_release(folder, self.root)
        self._point(manifest.domain, manifest.version)
        return self.show(manifest.domain, manifest.version)

    def domains(self) -> list[str]:
        """Domains with a release, sorted."""
        if not self.root.is_dir():
            return []
        return sorted(path.name for path in self.root.iterdir() if self._versions(path.name))

    def show(self, domain: str, version: str = CURRENT) -> Release:
        """One release by version, or the current one.

        Raises:
            UnknownDomainError: the domain has no release.
            UnknownReleaseError: it has no such version.
        """
        versions = self._versions(domain)
        if not versions:
            raise UnknownDomainError(
                f"'{domain}' has no release in {self.root}: {suggest(domain, self.domains())}"
            )
        current = self.current(domain)
        wanted = current if version == CURRENT else version
        if wanted is None or wanted not in versions:
            raise UnknownReleaseError(
                f"'{domain}' has no release '{wanted or CURRENT}':"
                f" {suggest(wanted or CURRENT, versions)}"
            )
        return Release(domain, wanted, self.root / domain / wanted, wanted == current)

    def current(self, domain: str) -> str | None:
        """Version that `current` points to, or None."""
        path = self.root / domain / CURRENT
        return path.read_text(encoding="utf-8").strip() if path.is_file() else None

    def verify(self, domain: str, version: str = CURRENT) -> Release:
        """Check the files' hashes and score the probes again.

        Raises:
            ReleaseError: which file is wrong and what to do.
        """
        loaded = self.load(domain, version)
        loaded.close()
        return loaded.release

    def load(self, domain: str, version: str = CURRENT) -> LoadedRelease:
        """Verify a release and read it into memory.

        Raises:
            ReleaseError: a file is missing, altered or made for another version, or the model
                scores its probes otherwise than when it was published.
        """
        release = self.show(domain, version)
        check_files(release.folder, release.manifest)
        return load_verified(release)

    def roll_back(self, domain: str, to: str | None = None) -> Release:
        """Make an earlier release current: `to`, or the one before the current one.

        The target is verified first, so a damaged one never becomes current.

        Raises:
            ReleaseError: there is no earlier one, or it does not verify.
        """
        current = self.show(domain).version
        earlier = [version for version in self._versions(domain) if version < current]
        if to is None and not earlier:
            raise ReleaseError(f"'{domain}' has no release before {current}; nothing changed")
        target = self.verify(domain, to or earlier[-1])
        self._point(domain, target.version)
        return self.show(domain, target.version)

    def delete(self, domain: str, version: str, force: bool = False) -> None:
        """Remove a release; forced, even the current one (the newest other becomes current).

        Raises:
            ReleaseError: it is current and `force` was not given.
        """
        release = self.show(domain, version)
        if release.is_current and not force:
            raise ReleaseError(
                f"release {release.version} of '{domain}' is current; roll back first, or force it"
            )
        if release.is_current:
            self._leave(domain, release.version)
        doomed = release.folder.with_name(f".deleted-{release.version}")
        os.replace(release.folder, doomed)  # gone at once, even if removing files is interrupted
        shutil.rmtree(doomed)

    def delete_old(self, domain: str, keep: int = 3) -> list[str]:
        """Remove all but the newest `keep` releases, never the current one; versions removed."""
        if keep < 1:
            raise ReleaseError(f"got keep={keep}; expected at least 1")
        current = self.show(domain).version
        old = [version for version in self._versions(domain)[:-keep] if version != current]
        for version in old:
            self.delete(domain, version)
        return old

    def _leave(self, domain: str, version: str) -> None:
        others = [other for other in self._versions(domain) if other != version]
        if others:
            self._point(domain, others[-1])
        else:
            (self.root / domain / CURRENT).unlink()

    def _point(self, domain: str, version: str) -> None:
        """Move the alias: a new file beside the old one, renamed over it."""
        path = self.root / domain / CURRENT
        beside = path.with_name(f".{CURRENT}-{os.getpid()}")
        with beside.open("w", encoding="utf-8") as stream:
            stream.write(version + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, path)

    def _versions(self, domain: str) -> list[str]:
        folder = self.root / domain
        if not folder.is_dir():
            return []
        names = (path.name for path in folder.iterdir() if path.is_dir())
        return sorted(name for name in names if VERSION_PATTERN.fullmatch(name))

    def list(self, domain: str | None = None) -> Releases:
        """Releases of one domain, or of all, oldest first; also those that are damaged."""
        domains = self.domains() if domain is None else [domain]
        return [self.show(name, version) for name in domains for version in self._versions(name)]


Releases = list[Release]


def load_verified(release: Release) -> LoadedRelease:
    """Read a release whose files were checked, and score its probes.

    Raises:
        ReleaseError: the model cannot be read or scores its probes otherwise.
    """
    model = DomainModel.load(release.folder)
    check_probes(release.folder, model)
    catalogue = Catalogue(release.folder / CATALOGUE)
    return LoadedRelease(release, model, catalogue, load_search(release.folder, model))
