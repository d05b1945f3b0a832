"""An edition: a release as it is with the items that were added since, in a folder like it.

Made beside, verified, then made current by moving one small file, so that every replica of a
shared home finds it at its next request. The release itself stays as it was published, and keeps
the users. `python -m crossrec.releases.editions DOMAIN VERSION` makes one in a process that may
load what a replica has no room for. Leaves to others: the items (added_items.py), growing the
model (extending.py) and the catalogue (catalogue_additions.py).
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crossrec.data.vocabulary import Vocabulary
from crossrec.errors import CrossrecError, ReleaseError
from crossrec.models.domain_model import DomainModel
from crossrec.releases.added_items import AddedItems, Reading, items_folder
from crossrec.releases.catalogue import CATALOGUE, Catalogue
from crossrec.releases.item_search import load_search, renew_search
from crossrec.releases.manifest import (
    MANIFEST,
    check_files,
    hash_file,
    list_files,
    read_manifest,
)
from crossrec.releases.probes import check_probes, rewrite_probes
from crossrec.releases.store import CURRENT, DATA_AT, LoadedRelease, Release, ReleaseStore

if TYPE_CHECKING:
    from crossrec.releases.extending import Given

STAGING = ".writing-"
KEPT = 2
"""Editions of a release that stay: the current one, and the one that replicas may be reading."""


class Editions:
    """The editions of one release."""

    def __init__(self, release: Release) -> None:
        self._release = release
        self.folder = items_folder(release.domain) / release.version
        self._pointer = self.folder / CURRENT

    def stamp(self) -> int:
        """Changes when another edition becomes current; 0: there is none. Takes microseconds."""
        try:
            return os.stat(self._pointer).st_mtime_ns
        except OSError:
            return 0

    def holds(self) -> float:
        """Up to which change of the added items the current edition has all (their `newest`); 0:
        there is no edition.
        """
        try:
            return float(self._pointer.read_text(encoding="utf-8").split()[1])
        except (OSError, IndexError, ValueError):  # the first editions did not say
            return 0.0

    def load(self) -> LoadedRelease | None:
        """The current edition, verified; None: there is none.

        Raises:
            ReleaseError: it is damaged.
        """
        if not self._pointer.is_file():
            return None
        folder = self.folder / self._pointer.read_text(encoding="utf-8").split()[0]
        check_files(folder, read_manifest(folder))
        model = DomainModel.load(folder)
        check_probes(folder, model)
        catalogue = Catalogue(folder / CATALOGUE, users=self._release.folder / CATALOGUE)
        search = load_search(folder, model)
        return LoadedRelease(replace(self._release, folder=folder), model, catalogue, search)

    def make(self) -> str | None:
        """Make an edition of all added items, and make it current; its number, or None: there is
        no item that the release has not.

        An item that the release has and that was not put since its data were imported is the
        release's own: the data had time to say otherwise. Only one process may make editions at a
        time.

        Raises:
            ReleaseError: it could not be written, or does not verify; the current one stays.
        """
        added = AddedItems(items_folder(self._release.domain))
        moment = added.newest(self._release.version)  # first: what comes from now on comes again
        newer = added.changed_since(_data_at(self._release))
        own = set(Vocabulary.load(self._release.folder / "vocabulary.json").item_ids) - newer
        readings = [r for r in added.readings(self._release.version) if r.item.item_id not in own]
        if not readings:
            return None
        number = f"{1 + max(map(int, self._numbers()), default=0):06d}"
        staging = self.folder / f"{STAGING}{number}"
        shutil.rmtree(staging, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copytree(self._release.folder, staging, copy_function=_link)
            _fill(staging, self._release.folder, readings)
            os.rename(staging, self.folder / number)
        except OSError as err:
            raise ReleaseError(f"the items could not be added: {err}") from err
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        self._point(number, moment)
        for old in sorted(self._numbers())[:-KEPT]:
            shutil.rmtree(self.folder / old)
        return number

    def _numbers(self) -> list[str]:
        if not self.folder.is_dir():
            return []
        return [path.name for path in self.folder.iterdir() if path.name.isdecimal()]

    def _point(self, number: str, moment: float) -> None:
        beside = self._pointer.with_name(f".{CURRENT}-{os.getpid()}")
        with beside.open("w", encoding="utf-8") as stream:
            stream.write(f"{number}\n{moment!r}\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, self._pointer)


def _data_at(release: Release) -> float:
    """When what the release knows of its items was taken down, in seconds since 1970."""
    found: float = release.metrics.get(DATA_AT, release.manifest.published_at)
    return found


def _link(source: str, target: str) -> None:
    """A second name of the file; a copy where the disk is another."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _fill(folder: Path, release: Path, readings: list[Reading]) -> None:
    """Replace what differs from the release: catalogue, model, vocabulary, probes, manifest."""
    from crossrec.releases.catalogue_additions import write_with_items
    from crossrec.releases.extending import extended

    for path in list_files(folder).values():
        if path.name not in ("metrics.json",) and path.parent == folder:
            path.unlink()  # a link shares its bytes with the release's file
    (folder / MANIFEST).unlink()
    model = DomainModel.load(release)
    known = model.vocabulary.item_idx
    items = [reading.item for reading in readings]
    new_ids = [item.item_id for item in items if item.item_id not in known]
    n_items = len(known)
    rows = known | {item_id: n_items + n for n, item_id in enumerate(new_ids)}
    grown = extended(model, new_ids, _given(model, readings, rows))
    grown.save(folder)
    write_with_items(release / CATALOGUE, folder / CATALOGUE, items, rows)
    stored = DomainModel.load(folder)
    renew_search(folder, model, stored, [rows[item.item_id] for item in items])
    rewrite_probes(release, folder, stored)
    manifest = read_manifest(release)
    files = {name: hash_file(path) for name, path in list_files(folder).items()}
    changed = manifest.model_copy(update={"files": files, "n_items": n_items + len(new_ids)})
    (folder / MANIFEST).write_text(changed.model_dump_json(indent=1), encoding="utf-8")


def _given(model: DomainModel, readings: list[Reading], rows: dict[str, int]) -> Given:
    from crossrec.releases.extending import Given

    items = [reading.item for reading in readings]
    place = next((field for field in model.domain.context if field.kind == "place"), None)
    places = np.full((len(items), 2), np.nan, np.float32)
    if place is not None:
        found = [[item.columns.get(column) for column in place.item_columns] for item in items]
        places = np.array(found, np.float32).reshape(-1, 2)  # None becomes NaN
    return Given(
        np.array([rows[item.item_id] for item in items], np.int64),
        [item.text for item in items],
        np.array([reading.vector for reading in readings], np.float32),
        places,
    )


def main() -> None:
    """Make the edition that the arguments name; one sentence on standard error if it fails."""
    domain, version = sys.argv[1:]
    try:
        Editions(ReleaseStore().show(domain, version)).make()
    except CrossrecError as err:
        raise SystemExit(str(err)) from err


if __name__ == "__main__":
    main()
