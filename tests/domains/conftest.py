"""Domains imported from the mirror, each once a session."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from crossrec.data.dataset import Dataset
from crossrec.data.importing import import_domain
from crossrec.domains import load_domain

Imported = Callable[[str], Dataset]


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory, crossrec_home: Path) -> Imported:
    """`imported("movies")` → the data set, imported when first asked for."""
    root = tmp_path_factory.mktemp("imported")
    return cache(lambda name: import_domain(load_domain(name), root, progress=False))
