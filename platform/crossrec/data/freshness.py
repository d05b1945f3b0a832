"""Tells whether imported data are still those of the domain's YAML and of its owner's files.

Leaves to others: importing again (importing.py). A download has its checksum in the YAML; only
files on this machine change by themselves.
"""

from __future__ import annotations

from pathlib import Path

from crossrec.data.dataset import Dataset
from crossrec.data.read import find_table
from crossrec.data.sources import Fetched, yaml_folder
from crossrec.domains.spec import Domain, FileSource
from crossrec.schema import TABLES

Stamps = dict[str, list[int]]
"""Path → size in bytes, time of the last change in ns."""


def table_files(domain: Domain, folder: Path) -> dict[str, Path]:
    """Tables whose path the YAML gives, and files that are called like a canonical table."""
    paths = {name: find_table(folder, name) for name in TABLES}
    paths |= {name: folder / spec.path for name, spec in domain.tables.items() if spec.path}
    return {name: path for name, path in paths.items() if path is not None}


def own_files(domain: Domain, fetched: Fetched) -> Stamps | None:
    """The owner's files that an import reads; None: it reads a mirror, a download, a simulation.

    Which files a reader opens is not known: it has none here.
    """
    if fetched.canonical or not isinstance(domain.source, FileSource):
        return None
    return {} if fetched.reader else _stamps(domain, fetched.folder)


def why_stale(dataset: Dataset, domain: Domain) -> str | None:
    """How `dataset` differs from what an import of `domain` would read; None: not that we know.

    A file that is gone counts as unchanged: what was imported is all there is of it. Settings of
    training in the YAML are no matter of the data.
    """
    if dataset.domain != domain.model_copy(update={"settings": dataset.domain.settings}):
        return "its YAML has changed since"
    before: Stamps | None = dataset.card.get("files")
    if before is None or not isinstance(domain.source, FileSource):
        return None
    if domain.source.reader:
        return f"what {domain.source.reader} reads may have changed since"
    now = _stamps(domain, yaml_folder(domain))
    changed = [Path(path).name for path, stamp in now.items() if before.get(path) != stamp]
    return f"{' and '.join(changed)} changed since" if changed else None


def _stamps(domain: Domain, folder: Path) -> Stamps:
    files = [path for path in table_files(domain, folder).values() if path.is_file()]
    stats = {str(path): path.stat() for path in files}
    return {path: [stat.st_size, stat.st_mtime_ns] for path, stat in stats.items()}
