"""Keyed hashes of user ids: to know somebody again without keeping who it is.

The key lies in `<home>/users.json`, apart from what is keyed with it. Leaves to others: where ids
are replaced (importing.py, serving/http_api.py), who was erased (serving/feedback_log.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from crossrec.config import home
from crossrec.errors import ConfigError

PREFIX = "p-"
"""Of a pseudonym, so that people see that it is one."""
DIGEST_BYTES = 16


class _KeyFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: str
    pseudonymise: bool = False


@dataclass(frozen=True)
class UserKey:
    """The key of this home.

    Attributes:
        key: 32 random bytes.
        pseudonymise: whether ids are replaced wherever they come in.
    """

    key: bytes
    pseudonymise: bool

    def digest(self, user_id: str) -> str:
        """Keyed BLAKE2b of a user id, in hexadecimal; the same for the same id and key."""
        sealed = hashlib.blake2b(user_id.encode(), digest_size=DIGEST_BYTES, key=self.key)
        return sealed.hexdigest()

    def digests(self, user_id: str) -> set[str]:
        """Digests under which a user of this id or pseudonym may be remembered as erased.

        Erasures made before pseudonyms were kept are digests of the id, later ones those of the
        pseudonym, and releases of before still know users by their ids.
        """
        pseudonym = PREFIX + self.digest(user_id)
        found = {self.digest(user_id), self.digest(pseudonym)}
        if user_id.startswith(PREFIX):
            found.add(user_id.removeprefix(PREFIX))
        return found

    def inside(self, user_id: str) -> str:
        """What a user id from outside is called inside: itself, or its pseudonym."""
        return PREFIX + self.digest(user_id) if self.pseudonymise else user_id


class UserKeys:
    """Reads and writes the file; follows changes of it by other processes."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or home() / "users.json"
        self._seen: tuple[int, int] | None = None
        self._key: UserKey | None = None

    def read(self) -> UserKey | None:
        """The key, or None where nobody was erased and nothing is pseudonymised yet.

        Raises:
            ConfigError: the file is damaged.
        """
        try:
            stat = os.stat(self.path)
        except FileNotFoundError:
            return None
        version = (stat.st_mtime_ns, stat.st_ino)
        if version != self._seen:
            try:
                found = _KeyFile.model_validate_json(self.path.read_bytes())
                self._key = UserKey(bytes.fromhex(found.key), found.pseudonymise)
            except (ValidationError, ValueError) as err:
                raise ConfigError(
                    f"{self.path} is damaged; bring it back from a copy: without it nobody who was"
                    " erased and no pseudonym is known again"
                ) from err
            self._seen = version
        return self._key

    def make(self, pseudonymise: bool | None = None) -> UserKey:
        """The key, made where there is none; `pseudonymise` changes that setting."""
        known = self.read()
        if known is not None and pseudonymise in (None, known.pseudonymise):
            return known
        key = known.key if known else secrets.token_bytes(32)
        made = UserKey(key, bool(pseudonymise))
        text = json.dumps({"key": made.key.hex(), "pseudonymise": made.pseudonymise})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(f".{self.path.name}-{secrets.token_hex(4)}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if known is None:
            _move_if_absent(beside, self.path)
        else:
            os.replace(beside, self.path)
        found = self.read()
        assert found is not None
        return found

    def inside(self, user_id: str) -> str:
        """What a user id from outside is called inside."""
        key = self.read()
        return user_id if key is None else key.inside(user_id)


def _move_if_absent(source: Path, target: Path) -> None:
    """Two processes may make the first key at once: the one that comes first stays."""
    try:
        os.link(source, target)
    except FileExistsError:
        pass
    finally:
        source.unlink()
