"""Removes a user's history from the releases of a domain, and says which were trained with it.

The one change that a release knows after publishing; weights stay as they are. Standard library
only, so that a served domain can do it. Leaves to others: log and data (serving/erasure.py).
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from crossrec.data.locks import only_one
from crossrec.errors import ReleaseError
from crossrec.releases.catalogue import CATALOGUE
from crossrec.releases.manifest import MANIFEST, check_files, hash_file, read_manifest
from crossrec.releases.store import ReleaseStore

WITHOUT = ".without-"
FORMER = ".former-"


def trained_with(store: ReleaseStore, domain: str, *user_ids: str) -> list[str]:
    """Versions whose data held a user, oldest first: their weights have seen the events.

    Args:
        user_ids: the user's names: the id, and its pseudonym where there is one.
    """
    versions = [release.version for release in store.list(domain)]
    folder = store.root / domain
    return [version for version in versions if _holds(folder / version / CATALOGUE, user_ids)]


def forget_user(store: ReleaseStore, domain: str, *user_ids: str) -> list[str]:
    """Remove a user's history from every release of a domain; versions that were changed.

    Each release is replaced as a whole by one whose catalogue lacks the user, with a manifest of
    its own; what a crash left half done is finished by the next call. Doing it again does nothing.
    One call at a time works on a domain; others wait.

    Raises:
        ReleaseError: releases are damaged: they are not made to look whole; the others lack the
            user.
        ServiceError: another one did not end in time.
    """
    folder = store.root / domain
    if not folder.is_dir():
        return []
    failed: list[str] = []
    with only_one(store.root, domain):
        _finish(folder)
        versions = trained_with(store, domain, *user_ids)
        for version in versions:
            try:
                _replace_without(folder / version, user_ids)
            except (ReleaseError, OSError, sqlite3.DatabaseError) as err:
                _finish(folder)
                failed.append(f"{version} ({err})")
    if failed:
        raise ReleaseError(
            f"a user is still in {len(failed)} of the releases of '{domain}', in no other:"
            f" {'; '.join(failed)}; delete them with crossrec release delete, then erase again"
        )
    return versions


def forget_those(
    store: ReleaseStore, domain: str, version: str, gone: Callable[[str], bool]
) -> list[str]:
    """Remove from one release the users that `gone` names; their ids.

    Raises:
        ReleaseError: the release is damaged.
        ServiceError: another one did not end in time.
    """
    folder = store.root / domain
    with only_one(store.root, domain):
        _finish(folder)
        catalogue = folder / version / CATALOGUE
        if not catalogue.is_file():  # deleted meanwhile
            return []
        with closing(_read(catalogue)) as database:
            found = [one for (one,) in database.execute("SELECT user_id FROM users") if gone(one)]
        if found:
            _replace_without(folder / version, found)
    return found


def _holds(catalogue: Path, user_ids: Collection[str]) -> bool:
    """Whether a release knows a user; one that cannot be read may."""
    if not catalogue.is_file():
        return False
    try:
        with closing(_read(catalogue)) as database:
            query = "SELECT 1 FROM users WHERE user_id = ?"
            return any(database.execute(query, (one,)).fetchone() for one in user_ids)
    except sqlite3.DatabaseError:
        return True


def _read(catalogue: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(catalogue))}?mode=ro", uri=True)


def _replace_without(folder: Path, user_ids: Collection[str]) -> None:
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    staging = folder.with_name(f"{WITHOUT}{folder.name}")
    shutil.rmtree(staging, ignore_errors=True)
    shutil.copytree(folder, staging, copy_function=os.link)
    own = staging / f"{CATALOGUE}.own"  # a link shares its bytes with the release's file
    shutil.copyfile(folder / CATALOGUE, own)
    _delete(own, user_ids)
    os.replace(own, staging / CATALOGUE)
    files = manifest.files | {CATALOGUE: hash_file(staging / CATALOGUE)}
    text = manifest.model_copy(update={"files": files}).model_dump_json(indent=1)
    (staging / MANIFEST).unlink()
    (staging / MANIFEST).write_text(text, encoding="utf-8")
    for path in (staging / CATALOGUE, staging / MANIFEST, staging):
        _sync(path)
    former = folder.with_name(f"{FORMER}{folder.name}")
    os.rename(folder, former)
    os.rename(staging, folder)
    _sync(folder.parent)
    shutil.rmtree(former)


def _delete(catalogue: Path, user_ids: Collection[str]) -> None:
    """Without a trace in the file: pages are overwritten and packed anew."""
    with closing(sqlite3.connect(catalogue, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = MEMORY")  # a half-changed copy is thrown away
        database.execute("PRAGMA secure_delete = ON")
        database.execute("BEGIN")
        database.executemany("DELETE FROM users WHERE user_id = ?", [(one,) for one in user_ids])
        n_users = database.execute("SELECT count(*) FROM users").fetchone()[0]
        update = "UPDATE facts SET value = ? WHERE name = 'n_users'"
        database.execute(update, (json.dumps(n_users),))
        database.execute("COMMIT")
        database.execute("VACUUM")


def _finish(folder: Path) -> None:
    """Put back what was on its way when a process was killed."""
    for former in folder.glob(f"{FORMER}*"):
        place = folder / former.name.removeprefix(FORMER)
        if place.exists():
            shutil.rmtree(former)
        else:
            os.rename(former, place)
    for staging in folder.glob(f"{WITHOUT}*"):
        shutil.rmtree(staging)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
