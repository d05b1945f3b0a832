"""Explanations over HTTP, by the real route and the real client of the package."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from crossrec.releases.store import LoadedRelease, ReleaseStore
from crossrec.serving.arms import Arms
from crossrec.serving.explanation_messages import ExplainResponse
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.gateway import Gateway
from crossrec.serving.http_api import domain_app
from crossrec.serving.item_updates import Current
from crossrec.serving.recommender import Recommender
from crossrec.serving.traffic import experiment_of
from tests.serving.conftest import NOW, WordCounter
from tests.small_release import SmallDomain


@dataclass
class Backend:
    recommender: Recommender
    feedback_log: FeedbackLog


@pytest.fixture
def app(recommender: Recommender, log: FeedbackLog) -> Gateway:
    return domain_app(Backend(recommender, log), None, "films")


def post(app: Gateway, path: str, body: dict) -> httpx.Response:
    async def one() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 1), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            return await http.post(path, json=body)

    return asyncio.run(one())


def test_an_item_of_an_answer_is_explained(app: Gateway) -> None:
    request = {"user_id": "user-1", "k": 4}
    first, second = post(app, "/recommendations", request).json()["items"][:2]
    body = {"request": request, "item_id": first["item_id"], "language": "zh"}
    answer = post(app, "/explanations", body)
    assert answer.status_code == 200
    found = ExplainResponse.model_validate(answer.json())
    assert (found.rank, found.score) == (1, first["score"])
    assert found.contrast is not None
    assert found.contrast.item_id == second["item_id"]


def test_the_release_that_gave_an_answer_explains_it(
    films: SmallDomain, fresh_home: Path, log: FeedbackLog
) -> None:
    versions = [films.publish(ReleaseStore()).version for _ in range(2)]

    def answering(loaded: LoadedRelease) -> Recommender:
        return Recommender(loaded, WordCounter(), log, clock=lambda: NOW)

    async def load(version: str) -> Current:
        return Current(ReleaseStore().load("films", version), answering)

    arms = Arms("films", load)
    half = experiment_of("x", versions[0], [{"name": "b", "version": versions[1], "share": 0.5}])
    asyncio.run(arms.configure(versions[0], half))
    app = domain_app(Backend(arms.control.recommender, log), None, "films", arms=arms)
    explained_by = set()
    for _ in range(12):
        answer = post(app, "/recommendations", {"k": 2}).json()
        body = {"request": {"k": 2}, "item_id": answer["items"][0]["item_id"]}
        found = post(app, "/explanations", body | {"request_id": answer["request_id"]}).json()
        assert found["release"] == answer["release"]
        explained_by.add(found["release"])
    assert explained_by == set(versions)
    arms.close()


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"item_id": "film-99"}, 404, "'film-99'"),
        ({"against": "film-99"}, 404, "'film-99'"),
        ({"language": "fr"}, 422, "language: Input should be 'en' or 'zh'"),
        ({"request": {"k": 0}}, 422, "k: Input should be greater than or equal to 1"),
        ({"item": "film-1"}, 422, "item: Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_explained_is_said(
    app: Gateway, change: dict, status: int, message: str
) -> None:
    body = {"request": {"k": 24}, "item_id": "film-1"} | change
    answer = post(app, "/explanations", body)
    assert answer.status_code == status
    assert message in answer.json()["error"]
