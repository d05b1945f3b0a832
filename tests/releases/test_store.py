from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from crossrec.errors import ReleaseError, UnknownDomainError
from crossrec.releases.manifest import MANIFEST, hash_file
from crossrec.releases.probes import PROBES
from crossrec.releases.store import CURRENT, ReleaseStore
from tests.small_release import SmallDomain


def test_what_is_published_is_current_and_scores_as_before(films: SmallDomain, store: ReleaseStore):
    release = films.publish(store)
    loaded = store.load("films")
    assert loaded.release.version == release.version
    assert release.is_current
    assert release.metrics["metrics"]["ndcg@10"] == 0.5
    probes = load_file(release.folder / PROBES)
    assert probes["scores"].shape == (3, 24)
    assert loaded.catalogue.n_items == 24
    assert store.verify("films").version == release.version


def test_versions_sort_by_age_even_within_a_millisecond(films: SmallDomain, store: ReleaseStore):
    versions = [films.publish(store).version for _ in range(3)]
    assert versions == sorted(set(versions))
    assert [release.version for release in store.list("films")] == versions
    assert [release.is_current for release in store.list()] == [False, False, True]


def test_rolling_back_moves_current_one_release_back(films: SmallDomain, store: ReleaseStore):
    first, second = films.publish(store), films.publish(store)
    assert store.roll_back("films").version == first.version
    assert store.current("films") == first.version
    assert store.roll_back("films", second.version).is_current
    store.roll_back("films")
    with pytest.raises(ReleaseError, match=rf"no release before {first.version}; nothing changed"):
        store.roll_back("films")


def test_a_damaged_release_is_never_rolled_back_to(films: SmallDomain, store: ReleaseStore):
    first, second = films.publish(store), films.publish(store)
    (first.folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(ReleaseError, match=r"model\.safetensors was altered"):
        store.roll_back("films")
    assert store.current("films") == second.version


def test_the_current_release_is_deleted_only_by_force(films: SmallDomain, store: ReleaseStore):
    first, second = films.publish(store), films.publish(store)
    with pytest.raises(ReleaseError, match="is current; roll back first"):
        store.delete("films", second.version)
    store.delete("films", second.version, force=True)
    assert store.current("films") == first.version
    assert not second.folder.exists()
    store.delete("films", first.version, force=True)
    assert store.domains() == []


def test_deleting_old_releases_spares_the_newest_and_the_current(
    films: SmallDomain, store: ReleaseStore
):
    versions = [films.publish(store).version for _ in range(4)]
    store.roll_back("films", versions[0])
    assert store.delete_old("films", keep=1) == versions[1:3]
    assert [release.version for release in store.list("films")] == [versions[0], versions[3]]
    with pytest.raises(ReleaseError, match="keep=0"):
        store.delete_old("films", keep=0)


def test_probes_hold_no_history_of_anybody(films: SmallDomain, store: ReleaseStore):
    probes = load_file(films.publish(store).folder / PROBES)
    data = films.sequences
    ends = [tuple(data.items[data.rows(user)][-3:]) for user in range(data.n_users)]
    moments = set(data.times[(data.times > data.times.min()) & (data.times < data.times.max())])
    for items, times in zip(probes["items"], probes["times"], strict=True):
        assert (items >= 0).any()
        assert tuple(items[-3:]) not in ends
        assert not moments & set(times.tolist())
    again = load_file(films.publish(store).folder / PROBES)
    assert all(np.array_equal(again[name], values) for name, values in probes.items())


def test_unknown_names_are_answered_with_near_ones(films: SmallDomain, store: ReleaseStore):
    films.publish(store)
    with pytest.raises(UnknownDomainError, match="did you mean 'films'"):
        store.show("filsm")
    with pytest.raises(ReleaseError, match=r"no release '\.\./\.\./etc'"):
        store.show("films", "../../etc")


def test_a_model_that_scores_otherwise_is_refused(films: SmallDomain, store: ReleaseStore):
    """The files are whole, so only the probes can tell."""
    release = films.publish(store)
    path = release.folder / PROBES
    tensors = load_file(path)
    save_file(tensors | {"scores": tensors["scores"] + np.float32(0.1)}, path)
    manifest = release.folder / MANIFEST
    old = release.manifest.files[PROBES].sha256
    manifest.write_text(manifest.read_text().replace(old, hash_file(path).sha256))
    with pytest.raises(ReleaseError, match="scores its probes otherwise"):
        store.load("films")


def test_a_release_of_other_data_is_refused_and_leaves_nothing(
    films: SmallDomain, store: ReleaseStore
):
    films.publish(store)
    before = sorted(store.root.rglob("*"))
    other = films.model.vocabulary.item_ids[::-1]
    vocabulary = type(films.model.vocabulary)(other, films.model.vocabulary.events)
    model = type(films.model)(
        films.model.domain,
        films.model.config,
        vocabulary,
        films.model.signals_by_name,
        films.model.fusion,
    )
    with pytest.raises(ReleaseError, match="train on the data that is published"):
        store.publish(model, films.dataset, None, {}, "e", "f", 0)
    assert sorted(store.root.rglob("*")) == before


def test_an_adapter_travels_with_the_release(
    films: SmallDomain, store: ReleaseStore, tmp_path: Path
):
    adapter = tmp_path / "trained"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    release = store.publish(
        films.model, films.dataset, films.sequences, {}, "e", "f", 0, adapter_folder=adapter
    )
    assert release.adapter_folder == release.folder / "adapter"
    assert "adapter/adapter_config.json" in release.manifest.files
    assert films.publish(store).adapter_folder is None


def test_a_file_size_limit_is_reported_as_a_full_disk(films: SmallDomain, store: ReleaseStore):
    first = films.publish(store)
    before = sorted(store.root.rglob("*"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(ReleaseError, match=r"the disk is full.*nothing was published"):
            films.publish(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(store.root.rglob("*")) == before
    assert store.load("films").release.version == first.version


def _publish_many(films: SmallDomain, store: ReleaseStore) -> None:
    for _ in range(10):
        films.publish(store)


@pytest.fixture
def tiny_disk(tmp_path: Path):
    """A file system of 200 KiB; the test is skipped where one may not be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no right to mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_release_before_as_it_was(films: SmallDomain, tiny_disk: Path):
    store = ReleaseStore(tiny_disk)
    first = films.publish(store)
    with pytest.raises(ReleaseError, match=r"the disk is full.*nothing was published"):
        _publish_many(films, store)
    versions = [release.version for release in store.list("films")]
    assert first.version in versions
    assert sorted(path.name for path in (tiny_disk / "films").iterdir()) == [*versions, CURRENT]
    assert store.verify("films").version == versions[-1]


def test_a_killed_publisher_leaves_only_whole_releases(films: SmallDomain, tmp_path: Path):
    """Killed at any moment, `current` points to a release that verifies."""
    store = ReleaseStore(tmp_path / "releases")
    films.publish(store)
    code = (
        "import sys; from pathlib import Path\n"
        "from crossrec.releases.store import ReleaseStore\n"
        "from tests.small_release import make_small_domain\n"
        f"films = make_small_domain(Path({str(tmp_path / 'films')!r}))\n"
        f"store = ReleaseStore(Path({str(store.root)!r}))\n"
        "while True: films.publish(store); print('.', flush=True)\n"
    )
    root = Path(__file__).resolve().parents[2]
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root)
        assert process.stdout is not None
        process.stdout.read(7)  # it is in the middle of its next one
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        for release in store.list("films"):
            store.verify("films", release.version)
        store.verify("films")
