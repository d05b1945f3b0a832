"""API keys with scopes, hashed at rest in `<home>/keys.json`.

Leaves to others: where a key stands in a request and what its absence answers (gateway.py).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from pathlib import Path
from typing import Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from crossrec.config import home
from crossrec.errors import AuthError, ConfigError, suggest

Scope = Literal["read", "feedback", "admin"]
SCOPES: tuple[str, ...] = get_args(Scope)
"""read: ask and look up; feedback: send it; admin: all of it."""

PREFIX = "crk"


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


class _KeyFile(BaseModel):
    keys: list[StoredKey] = []


class KeyRing:
    """Creates, lists, revokes and checks keys; follows changes of the file by other processes."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or home() / "keys.json"
        self._seen: tuple[int, int] | None = None
        self._keys: list[StoredKey] = []

    def create(self, name: str, scopes: list[str]) -> str:
        """A new key, as text; it is shown this once and cannot be read back.

        Raises:
            ConfigError: no scope, or an unknown one.
        """
        for scope in scopes:
            if scope not in SCOPES:
                raise ConfigError(f"unknown scope '{scope}': {suggest(scope, SCOPES)}")
        if not scopes:
            raise ConfigError(f"a key needs a scope: {suggest('', SCOPES)}")
        key_id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        key = f"{PREFIX}_{key_id}_{secret}"
        stored = StoredKey(
            key_id=key_id,
            name=name,
            scopes=cast("list[Scope]", sorted(set(scopes))),
            created_at=int(time.time()),
            sha256=_hash(key),
        )
        self._write([*self.list(), stored])
        return key

    def revoke(self, key_id: str) -> StoredKey:
        """Forget a key; services refuse it from their next request on.

        Raises:
            ConfigError: no key has that id.
        """
        keys = {key.key_id: key for key in self.list()}
        if key_id not in keys:
            raise ConfigError(f"no key has the id '{key_id}': {suggest(key_id, keys)}")
        revoked = keys.pop(key_id)
        self._write(list(keys.values()))
        return revoked

    def check(self, key: str | None, scope: str) -> StoredKey:
        """The stored key, if `key` is one and has the scope.

        Raises:
            AuthError: 401 without a known key, 403 without the scope.
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
        if scope not in found.scopes and "admin" not in found.scopes:
            raise AuthError(
                f"the API key '{found.name}' has the scopes {', '.join(found.scopes)};"
                f" this needs '{scope}'",
                status=403,
            )
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

    def _write(self, keys: Keys) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(f".{self.path.name}-{os.getpid()}")
        text = json.dumps({"keys": [key.model_dump() for key in keys]}, indent=1)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(beside, self.path)


Keys = list[StoredKey]


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
