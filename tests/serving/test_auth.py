from __future__ import annotations

import stat
from pathlib import Path

import pytest

from crossrec.errors import AuthError, ConfigError
from crossrec.serving.auth import KeyRing


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys.json")


def test_a_key_opens_its_scopes_and_no_other(ring: KeyRing):
    key = ring.create("app", ["read"])
    assert ring.check(key, "read").name == "app"
    with pytest.raises(AuthError, match=r"'app' has the scopes read; this needs 'feedback'") as err:
        ring.check(key, "feedback")
    assert err.value.status == 403


def test_admin_opens_everything(ring: KeyRing):
    key = ring.create("root", ["admin"])
    assert ring.check(key, "read") == ring.check(key, "feedback") == ring.check(key, "admin")


@pytest.mark.parametrize("key", [None, "", "crk_00000000_guess", "é"])
def test_without_a_known_key_it_is_401(ring: KeyRing, key: str | None):
    ring.create("app", ["read"])
    with pytest.raises(AuthError) as err:
        ring.check(key, "read")
    assert err.value.status == 401


def test_a_revoked_key_is_refused_by_other_processes_at_once(ring: KeyRing):
    service = KeyRing(ring.path)
    key = ring.create("app", ["read"])
    service.check(key, "read")
    ring.revoke(ring.list()[0].key_id)
    with pytest.raises(AuthError, match="unknown or was revoked"):
        service.check(key, "read")


def test_the_file_holds_no_key_and_is_the_owners_alone(ring: KeyRing):
    key = ring.create("app", ["read"])
    assert key not in ring.path.read_text()
    assert key.split("_")[2] not in ring.path.read_text()
    assert stat.S_IMODE(ring.path.stat().st_mode) == 0o600


def test_misspelt_scopes_and_ids_are_named(ring: KeyRing):
    with pytest.raises(ConfigError, match="did you mean 'read'"):
        ring.create("app", ["raed"])
    with pytest.raises(ConfigError, match="a key needs a scope"):
        ring.create("app", [])
    with pytest.raises(ConfigError, match="no key has the id 'x'"):
        ring.revoke("x")


def test_a_damaged_file_lets_nobody_in(ring: KeyRing):
    key = ring.create("app", ["read"])
    ring.path.write_text("{")
    with pytest.raises(ConfigError, match="is damaged"):
        KeyRing(ring.path).check(key, "read")
