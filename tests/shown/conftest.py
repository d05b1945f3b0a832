from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import crossrec
from crossrec.config import RunConfig
from crossrec.domains.registry import domain_yaml
from crossrec.models.encoder import TextEncoder
from crossrec.releases.store import ReleaseStore
from crossrec.verbs.answering import Opened
from tests.small_release import SmallDomain, make_small_domain


@pytest.fixture(scope="session")
def real_encoder() -> TextEncoder:
    return TextEncoder.load(RunConfig().encoder)


@pytest.fixture
def home(fresh_home: Path, real_encoder: TextEncoder) -> Path:
    """A home with the small domain `films`: its YAML, its data and a release."""
    films: SmallDomain = make_small_domain(
        fresh_home / "data" / "films", encode=real_encoder.encode
    )
    (fresh_home / "domains").mkdir()
    text = domain_yaml(films.dataset.domain)
    (fresh_home / "domains" / "films.yaml").write_text(text, encoding="utf-8")
    films.publish(ReleaseStore(), real_encoder.name, real_encoder.fingerprint)
    return fresh_home


@pytest.fixture
def answers(home: Path) -> Iterator[Opened]:
    with crossrec.release("films").open() as opened:
        yield opened
