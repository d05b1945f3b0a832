"""Fixtures that every room's tests share; nothing here starts before a test asks for it.

Tests never touch the user's own `~/.crossrec`: the whole session has a home of its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.small_release import SmallDomain

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"
MIRROR = Path(os.environ.get("CROSSREC_DATA_MIRROR") or SHARED / "data")
PEERS = SHARED / "peers"


def _chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what this machine cannot run."""
    for item in items:
        if item.get_closest_marker("mirror") and not MIRROR.is_dir():
            item.add_marker(pytest.mark.skip(reason=f"no data mirror at {MIRROR}"))
        if item.get_closest_marker("browser") and _chromium() is None:
            item.add_marker(pytest.mark.skip(reason="no chromium on this machine"))
        if item.get_closest_marker("gpu") and not _has_gpu():
            item.add_marker(pytest.mark.skip(reason="no CUDA device on this machine"))


@pytest.fixture(scope="session", autouse=True)
def crossrec_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`$CROSSREC_HOME` of the whole session; the mirror's address is set where there is one."""
    home = tmp_path_factory.mktemp("crossrec_home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSREC_HOME", str(home))
        if MIRROR.is_dir():
            patch.setenv("CROSSREC_DATA_MIRROR", str(MIRROR))
        yield home


@pytest.fixture
def fresh_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty `$CROSSREC_HOME` for one test."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("CROSSREC_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def data_mirror() -> Path:
    """Folder of the shared data sets' canonical tables; the test is skipped where it is absent."""
    if not MIRROR.is_dir():
        pytest.skip(f"no data mirror at {MIRROR}")
    return MIRROR


@pytest.fixture(scope="session")
def peers_folder() -> Path:
    """Folder of the peers' splits and figures; the test is skipped where it is absent."""
    if not PEERS.is_dir():
        pytest.skip(f"no peers' figures at {PEERS}")
    return PEERS


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the system's Chromium."""
    path = _chromium()
    if path is None:
        pytest.skip("no chromium on this machine")
    return path


@pytest.fixture(scope="session")
def ray_cluster(crossrec_home: Path) -> Iterator[None]:
    """One local Ray for all tests marked `ray`: 4 logical CPUs, no dashboard, ended at the end."""
    import ray

    # Ray's processes inherit the environment of this one; workers import test modules by name.
    paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    ray.init(
        num_cpus=4,
        include_dashboard=False,
        object_store_memory=256 * 2**20,
        log_to_driver=False,
        configure_logging=False,
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> SmallDomain:
    """A small domain with everything that a release needs."""
    from tests.small_release import make_small_domain

    return make_small_domain(tmp_path_factory.mktemp("data") / "films")
