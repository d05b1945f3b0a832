"""Context that the last item tells, in a small domain that is really trained: what is taken out of
the history does not tell it any more, in the search and when the answer is verified.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import crossrec
from crossrec.config import RunConfig
from crossrec.explanation.things import shortened, whole
from crossrec.models.encoder import TextEncoder
from crossrec.releases.store import LoadedRelease, ReleaseStore
from crossrec.serving.explaining import Explainer
from crossrec.serving.explanation_messages import ExplainRequest
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.messages import RecommendRequest, RecommendResponse
from crossrec.serving.recommender import Recommender
from crossrec.training.pipeline import train_here
from tests.models.tiny import make_tiny_encoder
from tests.serving.conftest import NOW
from tests.training.small import settings

TOWNS = ("Lima", "Oslo", "Rome")
N_EACH = 10
YAML = """
name: walks
title: Walks
time_kind: order_index_per_user
source: {kind: file}
tables: {items: {path: items.parquet}, interactions: {path: interactions.parquet}}
context: [{name: city, kind: category, derive: last_item, restricts: town}]
objectives: [{name: relevance, weight: 1.0}, {name: popularity}]
"""


def walks() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Ninety people who see places of one town, and at times move on to another."""
    rng = np.random.default_rng(0)
    ids = [f"{town}-{n}" for town in TOWNS for n in range(N_EACH)]
    towns = [town for town in TOWNS for _ in range(N_EACH)]
    columns = {"item_id": ids, "title": ids, "text": [f"a place {n % 7}" for n in range(len(ids))]}
    rows = []
    for person in range(90):
        town, unseen = int(rng.integers(3)), set(range(len(ids)))
        for step in range(9):
            town = int(rng.integers(3)) if rng.random() < 0.25 else town
            near = sorted(unseen & set(range(town * N_EACH, (town + 1) * N_EACH)))
            place = int(rng.choice(near or sorted(unseen)))
            unseen.discard(place)
            rows.append((f"p{person}", ids[place], step))
    walked = pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")
    return pl.DataFrame({**columns, "town": towns}), walked


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedRelease]:
    home = tmp_path_factory.mktemp("walks")
    (home / "domains").mkdir()
    (home / "domains" / "walks.yaml").write_text(YAML)
    for name, frame in zip(("items", "interactions"), walks(), strict=True):
        frame.write_parquet(home / "domains" / f"{name}.parquet")
    tiny = make_tiny_encoder(home / "tiny")
    config = RunConfig(**(settings("training.max_epochs=8").model_dump() | {"encoder": str(tiny)}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSREC_HOME", str(home))
        crossrec.import_data("walks")
        train_here("walks", config)
        loaded = ReleaseStore().load("walks")
        yield loaded
        loaded.close()


@pytest.fixture
def recommender(release: LoadedRelease, tmp_path: Path) -> Iterator[Recommender]:
    log = FeedbackLog(tmp_path / "feedback.db")
    encoder = TextEncoder.load(release.release.manifest.encoder)

    async def encode(texts: list[str]) -> np.ndarray:
        return encoder.encode(texts)

    yield Recommender(release, encode, log, clock=lambda: NOW)
    log.close()


def ask(recommender: Recommender, history: list[str], **fields: object) -> RecommendResponse:
    told = [{"item_id": item_id} for item_id in history]
    return asyncio.run(recommender.recommend(RecommendRequest(history=told, **fields)))


def test_what_is_then_the_last_item_tells_the_context(recommender: Recommender) -> None:
    history = [{"item_id": item_id} for item_id in ("Oslo-1", "Rome-2", "Lima-3")]
    question = recommender._reader.read(RecommendRequest(history=history), [], None, NOW)
    full = whole(question.queries)
    steps = [[1, 1, 1], [1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]
    rows = [type(full)(np.array(s, bool), full.request, "", full.fields) for s in steps]
    rows.append(type(full)(full.steps, full.request, "", frozenset()))
    got = shortened(question.queries, rows, question.of_last).context["city"]
    # Lima is 0, Oslo 1, Rome 2; nobody tells it without a history, or where it is taken out
    np.testing.assert_array_equal(got, [0, 2, 1, 0, np.nan, np.nan])
    told = RecommendRequest(history=history, context={"city": "Rome"})
    assert recommender._reader.read(told, [], None, NOW).of_last == {}


def test_a_counterfactual_holds_when_it_is_asked_for_without_the_last_items(
    recommender: Recommender,
) -> None:
    k, checked, moved = 5, 0, 0
    for start in range(N_EACH - 2):
        history = [f"Oslo-{start}", f"Rome-{start}", f"Oslo-{start + 1}", f"Lima-{start}"]
        for item in ask(recommender, history, k=k).items:
            asked = RecommendRequest(history=[{"item_id": one} for one in history], k=k)
            request = ExplainRequest(request=asked, item_id=item.item_id)
            found = asyncio.run(Explainer(recommender).explain(request))
            assert found.counterfactuals
            for one in found.counterfactuals:
                if one.kind == "context":
                    continue
                left = [item_id for item_id in history if item_id not in one.names]
                again = ask(recommender, left, k=30, blocked=one.names)
                place = [other.item_id for other in again.items].index(item.item_id) + 1
                assert place == one.rank > k
                checked += 1
                moved += history[-1] in one.names
    assert checked > 10
    assert moved > 5
