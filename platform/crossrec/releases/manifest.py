"""What a release folder says of itself: its files with hashes, and what made them.

Leaves to others: folders, aliases and the act of publishing (store.py).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from crossrec.errors import ReleaseError

MANIFEST = "manifest.json"
FORMAT = 2
"""Raised by one when an older crossrec could no longer read the folder, or the other way round."""

_BLOCK_BYTES = 1 << 20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Strict):
    """One file of the folder."""

    sha256: str
    size_bytes: int


class Manifest(_Strict):
    """`manifest.json`, written last: a folder without it is half written."""

    format: int = FORMAT
    domain: str
    version: str
    created: str
    """ISO 8601, UTC."""
    published_at: int
    """The same in seconds since 1970."""
    data_end: int
    """Newest time in the data, in the unit of `Domain.time_kind`; 0 where there is none."""
    protocol: str
    data_hash: str
    config_digest: str
    encoder: str
    encoder_fingerprint: str
    seed: int
    n_items: int
    n_users: int
    versions: dict[str, str]
    """Library → version that wrote the folder."""
    files: dict[str, FileEntry]
    """Path inside the folder, with forward slashes → entry; all files but the manifest."""


def hash_file(path: Path) -> FileEntry:
    """SHA-256 and size of a file, read in blocks."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
    return FileEntry(sha256=digest.hexdigest(), size_bytes=size)


def list_files(folder: Path) -> dict[str, Path]:
    """Path inside the folder → path, of all files but the manifest, sorted."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: path for name, path in names.items() if name != MANIFEST}


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a release folder.

    Raises:
        ReleaseError: there is none, it cannot be read, or it is of another format.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ReleaseError(f"{path} is missing, so the release is half written; {_remedy(folder)}")
    try:
        text = path.read_text(encoding="utf-8")
        found = _Format.model_validate_json(text).format
        if found != FORMAT:
            raise ReleaseError(
                f"{path} is of format {found}, this crossrec reads format {FORMAT};"
                " publish the domain again with this version, or serve it with the other"
            )
        return Manifest.model_validate_json(text)
    except (ValidationError, UnicodeDecodeError) as err:
        raise ReleaseError(f"{path} is damaged; {_remedy(folder)}") from err


def check_files(folder: Path, manifest: Manifest) -> None:
    """Compare every file with the manifest.

    Raises:
        ReleaseError: a file is missing, altered, or not in the manifest.
    """
    present = list_files(folder)
    for name, entry in manifest.files.items():
        if name not in present:
            raise ReleaseError(f"{folder / name} is missing; {_remedy(folder)}")
        if hash_file(present[name]) != entry:
            raise ReleaseError(
                f"{folder / name} was altered after publishing (its SHA-256 differs);"
                f" {_remedy(folder)}"
            )
    for name in present.keys() - manifest.files.keys():
        raise ReleaseError(
            f"{folder / name} does not belong to the release; remove it, or {_remedy(folder)}"
        )


def _remedy(folder: Path) -> str:
    return f"roll back to another release of '{folder.parent.name}' or publish it again"


class _Format(BaseModel):
    format: int
