from __future__ import annotations

import json

import pytest

from crossrec.errors import ReleaseError
from crossrec.releases.manifest import MANIFEST, check_files, hash_file, read_manifest
from crossrec.releases.store import ReleaseStore
from tests.small_release import SmallDomain


def test_the_hash_of_a_file_is_its_sha256_and_size(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    entry = hash_file(path)
    assert entry.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert entry.size_bytes == 3


def test_a_manifest_names_every_file_of_its_folder(films: SmallDomain, store: ReleaseStore):
    release = films.publish(store)
    files = {path.name for path in release.folder.iterdir()} - {MANIFEST}
    assert set(release.manifest.files) == files
    assert release.manifest.data_hash == films.dataset.content_hash
    assert release.manifest.n_items == 24
    assert release.manifest.n_users == 20  # also the one with a single film
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".pt", ".bin"))]


def test_a_folder_without_manifest_is_half_written(films: SmallDomain, store: ReleaseStore):
    release = films.publish(store)
    (release.folder / MANIFEST).unlink()
    with pytest.raises(ReleaseError, match=r"manifest\.json is missing.*half written.*roll back"):
        read_manifest(release.folder)


def test_another_format_is_refused_by_name(films: SmallDomain, store: ReleaseStore):
    release = films.publish(store)
    path = release.folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(ReleaseError, match=r"format 99.*reads format 2.*publish"):
        read_manifest(release.folder)


def test_a_damaged_manifest_is_refused(films: SmallDomain, store: ReleaseStore):
    release = films.publish(store)
    path = release.folder / MANIFEST
    path.write_text(path.read_text()[:-40])
    with pytest.raises(ReleaseError, match="is damaged"):
        read_manifest(release.folder)


@pytest.mark.parametrize("name", ["model.safetensors", "catalogue.sqlite", "metrics.json"])
def test_one_altered_byte_is_found_and_its_file_named(
    films: SmallDomain, store: ReleaseStore, name: str
):
    release = films.publish(store)
    path = release.folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ReleaseError, match=rf"{name} was altered"):
        check_files(release.folder, read_manifest(release.folder))


def test_a_missing_and_a_foreign_file_are_named(films: SmallDomain, store: ReleaseStore):
    release = films.publish(store)
    (release.folder / "extra.txt").write_text("hello")
    with pytest.raises(ReleaseError, match=r"extra\.txt does not belong"):
        check_files(release.folder, release.manifest)
    (release.folder / "vocabulary.json").unlink()
    with pytest.raises(ReleaseError, match=r"vocabulary\.json is missing"):
        check_files(release.folder, release.manifest)
