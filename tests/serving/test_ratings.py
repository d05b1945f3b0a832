"""A domain of ratings, from import to a served answer with reasons."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import crossrec
from crossrec.config import RunConfig
from crossrec.data.vocabulary import Vocabulary
from crossrec.domains.spec import Domain
from crossrec.models.encoder import TextEncoder
from crossrec.releases.store import ReleaseStore
from crossrec.serving.feedback import FeedbackRules
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.messages import RecommendRequest
from crossrec.serving.recommender import Recommender
from crossrec.training.pipeline import train_here
from tests.models.tiny import make_tiny_encoder
from tests.training.small import settings

N_USERS, N_ITEMS, N_RATED = 40, 24, 12
YAML = """
name: stars
title: Stars
task: rate
source: {kind: file}
"""


def rated() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Even users give 4 or 5, odd ones 1 or 2; items with an even number get the higher one."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(N_USERS):
        for step, item in enumerate(rng.permutation(N_ITEMS)[:N_RATED]):
            rating = (4.0 if user % 2 == 0 else 1.0) + (item % 2 == 0)
            rows.append((f"u{user}", f"i{item}", 1_000_000 + 100 * user + step, rating))
    columns = ["user_id", "item_id", "timestamp", "rating"]
    items = {
        "item_id": [f"i{n}" for n in range(N_ITEMS)],
        "title": [f"T{n}" for n in range(N_ITEMS)],
    }
    items["text"] = [f"a {'good' if n % 2 == 0 else 'poor'} thing {n}" for n in range(N_ITEMS)]
    return pl.DataFrame(items), pl.DataFrame(rows, schema=columns, orient="row")


def test_a_served_rating_is_near_what_such_a_user_gives_and_its_parts_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSREC_HOME", str(tmp_path))
    folder = tmp_path / "domains"
    folder.mkdir()
    (folder / "stars.yaml").write_text(YAML)
    for name, frame in zip(("items", "interactions"), rated(), strict=True):
        frame.write_parquet(folder / f"{name}.parquet")
    crossrec.import_data("stars")
    tiny = make_tiny_encoder(tmp_path / "tiny")
    config = RunConfig(**(settings().model_dump() | {"encoder": str(tiny)}))
    run = train_here("stars", config)
    assert run.metrics["metrics"]["rmse"] < 0.5
    encoder = TextEncoder.load(tiny)

    async def encode(texts: list[str]) -> np.ndarray:
        return encoder.encode(texts)

    log = FeedbackLog(tmp_path / "feedback.db")
    recommender = Recommender(ReleaseStore().load("stars"), encode, log)
    for user, level in (("u0", 5.0), ("u1", 2.0)):
        request = RecommendRequest(user_id=user, k=3, explain=True)
        answer = asyncio.run(recommender.recommend(request))
        best = answer.items[0]
        assert best.score == pytest.approx(level, abs=0.6)
        assert int(best.item_id[1:]) % 2 == 0
        assert best.explanation is not None
        raised = "raise" if user == "u0" else "lower"
        assert raised in best.explanation.sentence.partition("your ratings of")[2]
        parts = [part.value for part in best.explanation.parts]
        assert sum(parts) == pytest.approx(best.score, abs=1e-3)
    log.close()


def test_of_general_events_only_like_is_a_rating() -> None:
    events = ["rating 1", "rating 3", "rating 5"]
    rules = FeedbackRules(Domain(name="stars", title=""), Vocabulary(["a"], events, {}))
    assert [rules.event_idx(e) for e in ("rating 3", "like", "click", "")] == [1, 2, -1, -1]
