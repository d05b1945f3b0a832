from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from crossrec.data.pseudonyms import UserKeys
from crossrec.errors import ConfigError


def test_without_a_key_ids_stay_as_they_are(tmp_path: Path):
    users = UserKeys(tmp_path / "users.json")
    assert users.read() is None
    assert users.inside("jane") == "jane"


def test_a_pseudonym_is_the_same_for_the_same_id_and_key_alone(tmp_path: Path):
    key = UserKeys(tmp_path / "a.json").make(pseudonymise=True)
    other = UserKeys(tmp_path / "b.json").make(pseudonymise=True)
    assert key.inside("jane") == key.inside("jane")
    assert len({key.inside("jane"), key.inside("Jane"), other.inside("jane")}) == 3
    assert key.inside("jane").startswith("p-")
    assert len(key.digest("é" * 500)) == 32


def test_the_key_stays_when_the_setting_changes_and_others_follow(tmp_path: Path):
    users, service = UserKeys(tmp_path / "users.json"), UserKeys(tmp_path / "users.json")
    key = users.make()
    assert service.inside("jane") == "jane"
    changed = users.make(pseudonymise=True)
    assert changed.key == key.key
    assert service.inside("jane") == changed.inside("jane") != "jane"
    assert users.make() == changed
    assert (tmp_path / "users.json").stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == ["users.json"]


def test_of_several_that_make_the_first_key_one_wins(tmp_path: Path):
    rings = [UserKeys(tmp_path / "users.json") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda ring: ring.make().key, rings))
    assert len({*keys, UserKeys(tmp_path / "users.json").make().key}) == 1


def test_a_damaged_file_is_no_new_key(tmp_path: Path):
    path = tmp_path / "users.json"
    path.write_text('{"key": "zz"}')
    with pytest.raises(ConfigError, match="is damaged; bring it back"):
        UserKeys(path).inside("jane")
