"""A home with two small simulated cities, imported; every integration test trains on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.towns import make_home


@pytest.fixture(scope="session")
def towns_home(crossrec_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of its own, so that the towns are no domains of other tests."""
    home = tmp_path_factory.mktemp("towns")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSREC_HOME", str(home))
        return make_home(home)


@pytest.fixture
def towns(towns_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`$CROSSREC_HOME` with the towns, for one test."""
    monkeypatch.setenv("CROSSREC_HOME", str(towns_home))
    return towns_home
