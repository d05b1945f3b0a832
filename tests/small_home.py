"""A home with everything that the app's pages look into, and a service of it without a cluster.

The service is the real routes on a real port, served by uvicorn in a thread; words are encoded by
counting, as in `tests/small_release.py`. Figures of the evaluations are made up, of sixty users.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from crossrec.config import home
from crossrec.errors import ServiceError
from crossrec.evaluation import saved
from crossrec.evaluation.detail import CaseNotes, Detail, figures
from crossrec.releases.store import LoadedRelease, ReleaseStore
from crossrec.serving.auth import KeyRing
from crossrec.serving.cards import domain_summary
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.http_api import domain_app, system_app
from crossrec.serving.learning_messages import LearnerOrder, LearnerStatus
from crossrec.serving.messages import DomainSummary, FeedbackEvent
from crossrec.serving.metrics_page import metrics_page
from crossrec.serving.recommender import Recommender
from crossrec.tuning.selection import TrialRecord, append_trial
from tests.ports import free_port
from tests.small_release import N_ITEMS, PLACES, encode_words, genre_of, make_small_domain

RUN = "20260101-000000-abc"
N_CASES = 60


@contextmanager
def small_home(folder: Path) -> Iterator[list[str]]:
    """`$CROSSREC_HOME` is this folder, filled; gives the versions of its releases."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSREC_HOME", str(folder))
        yield make_small_home(folder)


def make_small_home(home: Path) -> list[str]:
    """Fill a home, which is `$CROSSREC_HOME`; the versions of its two releases, oldest first."""
    films = make_small_domain(home / "data" / "films")
    versions = [films.publish(ReleaseStore()).version for _ in range(2)]
    for seed, version in enumerate(versions):
        _evaluate(version, seed)
    for number in range(1, 4):
        figures = [0.02 * number, 0.01 * number]
        point = {"model.dropout": 0.1 * number, "model.dim": "large"}
        best, seconds = max(figures), float(number)
        record = TrialRecord(number, point, best, "complete", 2, seconds, figures=figures)
        append_trial(_made(home / "runs" / RUN / "films"), record)
    path = _made(home / "transfers") / f"{RUN}.json"
    path.write_text(json.dumps({"at": 1_700_000_000, **TRANSFER}), encoding="utf-8")
    log = FeedbackLog()
    event = FeedbackEvent(event_id="e", user_id="user-1", item_id="film-1", event="like")
    log.append("films", [event]).result()
    log.close()
    return versions


def add_places(home: Path) -> None:
    """A second domain, with every kind of context, whose release nobody has evaluated."""
    make_small_domain(home / "data" / "places", "places", like=PLACES).publish(ReleaseStore())


TRANSFER: dict[str, Any] = {
    "target": "films",
    "sources": ["books"],
    "nearness": {"books": 0.7},
    "data_hash": "c" * 64,
    "seed": 0,
    "release": None,
    "shares": [
        {
            "share": 0.1,
            "n_users": 6,
            "chosen": "books",
            "best_peer": "popularity",
            "starts": {
                "scratch": {"validation": 0.1, "test": 0.1, "seconds": 1.0},
                "books": {
                    "validation": 0.12, "test": 0.13, "seconds": 1.0, "gain_ci95": [-0.01, 0.07],
                },
            },
            "peers": {"popularity": {"validation": 0.05, "test": 0.06}},
        }
    ],
}  # fmt: skip


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _evaluate(version: str, seed: int) -> None:
    """Sixty cases with ranks drawn by a seed; the second release is the better one."""
    rng = np.random.default_rng(seed)
    notes = CaseNotes(N_CASES)
    notes.ranks[:] = rng.integers(1, 12 if seed else 20, N_CASES)
    notes.top[:] = rng.permuted(np.tile(np.arange(N_ITEMS), (N_CASES, 1)), axis=1)[:, :10]
    notes.confidence[:] = rng.random(N_CASES)
    targets = np.arange(N_CASES) % N_ITEMS
    users = [f"user-{n}" for n in range(N_CASES)]
    warm = np.ones(N_CASES, np.bool_)
    lengths = np.where(np.arange(N_CASES) % 2, 3, 9)
    detail = Detail(users, lengths, targets, warm, notes, np.arange(N_ITEMS, 0, -1))
    genders = ["f" if n % 3 else "m" for n in range(N_CASES)]
    found = figures(detail, {"gender": genders}, [genre_of(n) for n in range(N_ITEMS)])
    found |= {"report": _report(notes, version), "provider_column": "category"}
    items = [(f"film-{n}", f"The {genre_of(n)} number {n}") for n in range(N_ITEMS)]
    saved.save("films", version, found, detail, items)


def _report(notes: CaseNotes, version: str) -> dict[str, Any]:
    value = float((1 / np.log2(notes.ranks + 1)).mean())
    rows = [
        {
            "model": model,
            "origin": origin,
            "figures": {
                "ndcg@10": value * share, "recall@10": 0.9 * share, "mrr@10": 0.3,
                "warm_ndcg@10": value * share, "cold_ndcg@10": None, "warm_recall@10": 0.9,
                "cold_recall@10": None, "coverage@10": 1.0,
            },
            "ci95": [value * share - 0.05, value * share + 0.05],
            "ours_minus": None if share == 1 else [value * 0.5, 0.01, 0.2],
            "params": {},
        }
        for model, origin, share in (("crossrec", "ours", 1.0), ("popularity", "baseline", 0.5))
    ]  # fmt: skip
    facts = {"domain": "films", "simulated": False, "protocol": "leave_one_out", "part": "test"}
    counts = {"n": N_CASES, "n_cold": 0, "n_items": N_ITEMS}
    hashes = {"fingerprint": "f" * 64, "data_hash": "c" * 64}
    return {**facts, **counts, **hashes, "rows": rows, "notes": [f"release {version}"]}


@dataclass
class _Backend:
    recommender: Recommender
    feedback_log: FeedbackLog

    async def learner(self, order: LearnerOrder | None) -> LearnerStatus:
        raise ServiceError("no learner runs here", 503)


class _Directory:
    def __init__(self, loaded: dict[str, LoadedRelease]) -> None:
        self._loaded = loaded

    async def states(self) -> dict[str, str]:
        return {"encoder": "RUNNING", **{f"domain-{name}": "RUNNING" for name in self._loaded}}

    async def metrics(self) -> bytes:
        metrics_folder = home() / "metrics"
        return metrics_page(metrics_folder)

    async def domains(self) -> list[DomainSummary]:
        return [domain_summary(one) for one in self._loaded.values()]

    async def names(self) -> list[str]:
        return sorted(self._loaded)


async def _encode(texts: list[str]) -> Any:
    return encode_words(texts)


@contextmanager
def small_service(keys: KeyRing | None = None) -> Iterator[str]:
    """Address of a service of the domains of `$CROSSREC_HOME`, with its real routes."""
    store, log = ReleaseStore(), FeedbackLog()
    loaded = {name: store.load(name) for name in store.domains()}
    routes = []
    for name, one in loaded.items():
        backend = _Backend(Recommender(one, _encode, log), log)
        answers = domain_app(backend, keys, name)  # type: ignore[arg-type]
        routes.append(Mount(f"/v1/domains/{name}", answers))
    routes.append(Mount("/", system_app(_Directory(loaded), keys)))
    port = free_port()
    config = uvicorn.Config(
        Starlette(routes=routes), "127.0.0.1", port, log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
        log.close()
        for one in loaded.values():
            one.close()
