"""API keys with scopes, hashed at rest in `<home>/keys.json`.

Leaves to others: where a key stands in a request and what its absence answers (gateway.py), how
often a key may ask (limits.py).
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from crossrec.config import home
from crossrec.errors import AuthError, ConfigError, suggest
from crossrec.serving.audit import AuditLog

Scope = Literal["read", "feedback", "admin"]
SCOPES: tuple[str, ...] = get_args(Scope)
"""read: ask and look up; feedback: send it; admin: all of it, and what removes or changes."""

PREFIX = "crk"
MAX_GRACE_S = 10 * 365 * 24 * 3600
"""How long a rotated key may work on."""


class StoredKey(BaseModel):
    """What is kept of a key: enough to recognise it, not enough to use it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key_id: str
    name: str
    scopes: list[Scope]
    created_at: int
    """Seconds since 1970 UTC."""
    sha256: str
    """Keys are 256 random bits, so a plain hash cannot be searched; no slow one is needed."""
    requests_per_s: float | None = None
    """How often it may ask each replica; None: as often as it likes."""
    expires_at: int | None = None
    """Seconds since 1970 UTC; None: never. A key that was rotated still works for a while."""


class _KeyFile(BaseModel):
    keys: list[StoredKey] = []


class KeyRing:
    """Creates, lists, rotates, revokes and checks keys; follows changes by other processes."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or home() / "keys.json"
        self._seen: tuple[int, int] | None = None
        self._keys: list[StoredKey] = []

    def create(self, name: str, scopes: list[str], requests_per_s: float | None = None) -> str:
        """A new key, as text; it is shown this once and cannot be read back.

        Raises:
            ConfigError: no scope, or an unknown one; a rate that is none.
        """
        for scope in scopes:
            if scope not in SCOPES:
                raise ConfigError(f"unknown scope '{scope}': {suggest(scope, SCOPES)}")
        if not scopes:
            raise ConfigError(f"a key needs a scope: {suggest('', SCOPES)}")
        if requests_per_s is not None and not requests_per_s > 0:
            raise ConfigError(f"got {requests_per_s:g} requests a second; expected more than 0")
        key, stored = _new(name, cast("list[Scope]", sorted(set(scopes))), requests_per_s)
        with self._changing() as keys:
            keys.append(stored)
        self._tell("key created", stored)
        return key

    def revoke(self, key_id: str) -> StoredKey:
        """Forget a key; services refuse it from their next request on.

        Raises:
            ConfigError: no key has that id.
        """
        with self._changing() as keys:
            revoked = _named(keys, key_id)
            keys.remove(revoked)
        self._tell("key revoked", revoked)
        return revoked

    def rotate(self, key_id: str, grace_s: float) -> str:
        """A new key with the name, scopes and rate of an old one, which works on for a while.

        Services know both from their next request on, without a restart.

        Args:
            grace_s: how long the old one still works, in seconds; 0: no longer.

        Raises:
            ConfigError: no key has that id, or the time is none.
        """
        if not 0 <= grace_s <= MAX_GRACE_S:
            raise ConfigError(
                f"got {grace_s / 3600:g} hours for the old key; expected 0 to"
                f" {MAX_GRACE_S // 3600:,}, which is ten years"
            )
        with self._changing() as keys:
            old = _named(keys, key_id)
            key, stored = _new(old.name, old.scopes, old.requests_per_s)
            ends = int(time.time() + grace_s)
            if old.expires_at is not None:  # rotated before: no longer than was said then
                ends = min(ends, old.expires_at)
            keys[keys.index(old)] = old.model_copy(update={"expires_at": ends})
            keys.append(stored)
        self._tell("key rotated", old)
        self._tell("key created", stored)
        return key

    def check(self, key: str | None, scope: str) -> StoredKey:
        """The stored key, if `key` is one and has the scope.

        Raises:
            AuthError: 401 without a known key, 403 without the scope.
        """
        found = self.find(key)
        expect_scope(found, scope)
        return found

    def find(self, key: str | None) -> StoredKey:
        """The stored key, if `key` is one.

        Raises:
            AuthError: (401) it is none, or no longer.
        """
        if not key:
            raise AuthError(
                "this needs an API key; send it as 'Authorization: Bearer KEY'"
                " (make one with: crossrec keys create NAME)"
            )
        presented, found = _hash(key), None
        for stored in self.list():
            # All are compared, each in constant time: the answer's time tells nothing.
            if hmac.compare_digest(stored.sha256, presented):
                found = stored
        if found is None:
            raise AuthError("this API key is unknown or was revoked")
        if found.expires_at is not None and found.expires_at <= time.time():
            raise AuthError(f"the API key '{found.name}' was rotated and works no more")
        return found

    def list(self) -> Keys:
        """All keys, oldest first; the file is read again only where it has changed.

        Raises:
            ConfigError: the file is damaged.
        """
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return []
        version = (stat.st_mtime_ns, stat.st_ino)
        if version != self._seen:
            try:
                text = self.path.read_text(encoding="utf-8")
                self._keys = _KeyFile.model_validate_json(text).keys
            except (ValidationError, UnicodeDecodeError) as err:
                raise ConfigError(f"{self.path} is damaged; remove it and make new keys") from err
            self._seen = version
        return self._keys

    @contextmanager
    def _changing(self) -> Iterator[Keys]:
        """The keys, to be changed; written at the end. One process at a time."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.path.with_suffix(".lock"), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = self.list().copy()
            yield keys
            self._write(keys)
        finally:
            os.close(lock)

    def _write(self, keys: Keys) -> None:
        beside = self.path.with_name(f".{self.path.name}-{os.getpid()}")
        text = json.dumps({"keys": [key.model_dump() for key in keys]}, indent=1)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(beside, self.path)

    def _tell(self, what: str, key: StoredKey) -> None:
        audit = AuditLog(self.path.with_name("audit.jsonl"))
        audit.write(what, key_id=key.key_id, scopes=key.scopes)


Keys = list[StoredKey]


def expect_scope(key: StoredKey, scope: str) -> None:
    """Raise where a key may not do what needs `scope`.

    Raises:
        AuthError: (403) it has neither the scope nor `admin`.
    """
    if scope not in key.scopes and "admin" not in key.scopes:
        raise AuthError(
            f"the API key '{key.name}' has the scopes {', '.join(key.scopes)};"
            f" this needs '{scope}'",
            status=403,
        )


def _new(name: str, scopes: list[Scope], requests_per_s: float | None) -> tuple[str, StoredKey]:
    key_id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    key = f"{PREFIX}_{key_id}_{secret}"
    stored = StoredKey(
        key_id=key_id,
        name=name,
        scopes=scopes,
        created_at=int(time.time()),
        sha256=_hash(key),
        requests_per_s=requests_per_s,
    )
    return key, stored


def _named(keys: Keys, key_id: str) -> StoredKey:
    known = {key.key_id: key for key in keys}
    if key_id not in known:
        raise ConfigError(f"no key has the id '{key_id}': {suggest(key_id, known)}")
    return known[key_id]


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
