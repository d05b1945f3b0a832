from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.gateway import Gateway, Message, Receive, Scope, Send
from crossrec.serving.http_api import domain_app
from crossrec.serving.recommender import Recommender
from crossrec.serving.straight import Straight

PLAIN = "application/json"
ROUNDABOUT = "application/json; charset=utf-8"
"""Means the same, and is FastAPI's."""


@dataclass
class Backend:
    recommender: Recommender
    feedback_log: FeedbackLog


@pytest.fixture
def app(recommender: Recommender, log: FeedbackLog) -> Gateway:
    return domain_app(Backend(recommender, log), None, "films")


def post(app: Gateway, body: bytes, kind: str) -> httpx.Response:
    async def one() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 1), raise_app_exceptions=False)
        headers = {"content-type": kind, "x-request-id": "same"}
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            return await http.post("/recommendations", content=body, headers=headers)

    return asyncio.run(one())


BODIES: list[Any] = [
    {},
    {"user_id": "user-1", "k": 3, "explain": True},
    {"user_id": "nobody", "text": "horror", "context": {"weather": "rain"}},
    {"history": [{"item_id": "film-1", "timestamp": 5}, {"item_id": "film-99"}]},
    {"user_id": "user-1", "filters": {"year": {"min": 1990}}, "exclude_seen": False},
    {"k": "7", "explain": "yes"},
    {"k": 7.0},
    {"user_id": None, "text": " "},
    {"context": {"wether": "rain"}},
    {"filters": {"year": "x"}},
    {"k": 0},
    {"k": 2.5},
    {"user": "1"},
    {"history": [{"item_id": 1}]},
    {"text": 5},
    [],
    "words",
    b"",
    b"{",
    b'{"k": NaN}',
    b'{"filters": {"year": {"min": NaN}}}',
    b'{"k": 1e999}',
    b'{"k": 1, "k": 2}',
    b'{"user_id": "\\ud800"}',
    b'{"filters": {"studio": "\\ud800"}}',
    '{"text": "M\u00fcller"}'.encode("latin-1"),
    '{"text": "M\u00fcller"}'.encode("utf-16"),
    b"\xef\xbb\xbf{}",
]


@pytest.mark.parametrize("body", BODIES, ids=str)
def test_both_ways_give_the_same_answer(app: Gateway, body: Any):
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    straight, roundabout = post(app, sent, PLAIN), post(app, sent, ROUNDABOUT)
    assert straight.status_code == roundabout.status_code
    assert straight.json() == roundabout.json()
    assert sorted(straight.headers.items()) == sorted(roundabout.headers.items())


class Asked(BaseModel):
    n: int


def calls_of(messages: list[Message], path: str = "/mounted/double") -> list[Any]:
    """What reaches the route and the app behind it, of one request in these messages."""
    calls: list[Any] = []
    waiting = iter(messages)

    async def receive() -> Message:
        return next(waiting)

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append([await receive() for _ in messages])

    async def answer(asked: Asked, request_id: str) -> Any:
        calls.append((asked.n, request_id))

        async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
            return None

        return nothing

    async def send(message: Message) -> None:
        raise AssertionError

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "root_path": "/mounted",
        "headers": [(b"content-type", b"application/json")],
        "state": {"request_id": "r"},
    }
    asyncio.run(Straight(behind, "/double", Asked, answer)(scope, receive, send))
    return calls


def part(body: bytes, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_may_come_in_parts():
    assert calls_of([part(b'{"n"', True), part(b": 2}", False)]) == [(2, "r")]


def test_what_is_not_valid_goes_on_as_it_came():
    messages = [part(b'{"n":', True), part(b' "x"}', False)]
    assert calls_of(messages) == [messages]


def test_a_caller_that_went_away_is_not_answered():
    messages = [part(b'{"n": 2}', True), {"type": "http.disconnect"}]
    assert calls_of(messages) == [messages]


def test_other_paths_are_left_to_the_app():
    assert calls_of([part(b'{"n": 2}', False)], "/mounted/other") == [[part(b'{"n": 2}', False)]]
