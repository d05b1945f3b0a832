"""Explanations over HTTP, by the real route and the real client of the package."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httpx
import pytest

from crossrec.serving.explanation_messages import ExplainResponse
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.gateway import Gateway
from crossrec.serving.http_api import domain_app
from crossrec.serving.recommender import Recommender


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
