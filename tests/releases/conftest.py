from __future__ import annotations

from pathlib import Path

import pytest

from crossrec.releases.store import ReleaseStore
from tests.small_release import SmallDomain, make_small_domain


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> SmallDomain:
    return make_small_domain(tmp_path_factory.mktemp("data") / "films")


@pytest.fixture
def store(tmp_path: Path) -> ReleaseStore:
    return ReleaseStore(tmp_path / "releases")
