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
from crossrec.serving.messages import FeedbackEvent, RecommendRequest
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
        assert raised in best.explanation.sentence.partition("your opinions of")[2]
        parts = [part.value for part in best.explanation.parts]
        assert sum(parts) == pytest.approx(best.score, abs=1e-3)
    assert_ratings_are_learned_from(recommender)
    log.close()


def assert_ratings_are_learned_from(recommender: Recommender) -> None:
    """Of two newcomers the one who rates high is promised more; impossible ratings are refused."""

    def told(user: str, item: str, value: float | None) -> FeedbackEvent:
        key = f"{user} {item} {value}"
        return FeedbackEvent(event_id=key, user_id=user, item_id=item, event="rating", value=value)

    for user, value in (("high", 5.0), ("low", 1.2)):
        answer = asyncio.run(
            recommender.feedback([told(user, f"i{n}", value) for n in range(0, 12, 2)])
        )
        assert (answer.accepted, answer.rejected) == (6, [])
    best = {}
    for user in ("high", "low"):
        request = RecommendRequest(user_id=user, k=1, explain=True)
        best[user] = asyncio.run(recommender.recommend(request)).items[0].score
    assert best["high"] > best["low"] + 0.5
    likes = [
        FeedbackEvent(event_id=f"like {n}", user_id="fan", item_id=f"i{n}", event="like")
        for n in range(0, 12, 2)
    ]
    assert asyncio.run(recommender.feedback(likes)).accepted == 6
    request = RecommendRequest(user_id="fan", k=1, explain=True)
    reason = asyncio.run(recommender.recommend(request)).items[0].explanation
    assert reason is not None
    assert "your opinion" in reason.sentence
    events = [told("u", "i1", value) for value in (1e9, 0.9, float("nan"), None)]
    refused = asyncio.run(recommender.feedback(events)).rejected
    assert [event.reason.partition(";")[0] for event in refused] == [
        f"a rating with {got}" for got in ("the value 1e+09", "the value 0.9", "the value nan")
    ] + ["a rating with no value"]
    assert refused[0].reason.endswith("expected a value from 1 to 5")


def test_of_general_events_only_like_is_a_rating() -> None:
    events = ["rating 1", "rating 3", "rating 5"]
    rules = FeedbackRules(Domain(name="stars", title=""), Vocabulary(["a"], events, {}))
    assert [rules.event_idx(e) for e in ("rating 3", "like", "click", "")] == [1, 2, -1, -1]
    assert [rules.event_idx("rating", value) for value in (1, 2.1, 4.4, 5)] == [0, 1, 2, 2]


def test_a_release_that_ranks_refuses_ratings_outside_those_of_its_data() -> None:
    domain, vocabulary = Domain(name="stars", title=""), Vocabulary(["a"], ["rating"], {})
    events = [
        FeedbackEvent(event_id=f"{value}", user_id="u", item_id="a", event="rating", value=value)
        for value in (0.5, 5.0, 1e9, None)
    ]
    kept, rejected = FeedbackRules(domain, vocabulary, (0.5, 5.0)).sort_out(events, 0)
    assert [event.value for event in kept] == [0.5, 5.0, None]
    assert rejected[0].reason == "a rating with the value 1e+09; expected a value from 0.5 to 5"
    assert FeedbackRules(domain, vocabulary).sort_out(events, 0) == (events, [])
