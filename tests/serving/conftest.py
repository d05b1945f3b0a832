from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray

from crossrec.errors import ServiceError
from crossrec.releases.store import LoadedRelease, ReleaseStore
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.logs import LogFile
from crossrec.serving.recommender import Recommender
from tests.postgres import Server, postgres, server_program
from tests.small_release import SmallDomain, encode_words

NOW = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC, a Tuesday


class WordCounter:
    """Stands where the encoder's application would; counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.down = False

    async def __call__(self, texts: list[str]) -> NDArray[np.float32]:
        if self.down:
            raise ServiceError("the encoder does not answer", 503)
        self.asked += texts
        return encode_words(texts)


@pytest.fixture
def log_file(fresh_home: Path) -> Iterator[LogFile]:
    """As in a replica of the application `domains`."""
    logger, handler = logging.getLogger("crossrec"), LogFile("domains", "one")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture(scope="session")
def loaded(films: SmallDomain, tmp_path_factory: pytest.TempPathFactory) -> LoadedRelease:
    store = ReleaseStore(tmp_path_factory.mktemp("releases"))
    films.publish(store)
    return store.load("films")


@pytest.fixture
def log(tmp_path: Path):
    found = FeedbackLog(tmp_path / "feedback.db")
    yield found
    found.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """One server for all tests; each makes a database of its own."""
    if server_program() is None:
        pytest.skip("no PostgreSQL on this machine; Debian's package is postgresql")
    with postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: Server) -> str:
    """An empty database."""
    import psycopg

    name = f"log_{uuid4().hex}"
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgres_server.url(name)


@pytest.fixture
def encoder() -> WordCounter:
    return WordCounter()


@pytest.fixture
def recommender(
    loaded: LoadedRelease, log: FeedbackLog, encoder: Callable[..., object]
) -> Recommender:
    return Recommender(loaded, encoder, log, clock=lambda: NOW)
