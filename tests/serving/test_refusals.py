"""What Serve itself says, as it comes out of its middlewares."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from ray.serve._private.http_util import RequestIdMiddleware

from crossrec.serving.messages import ErrorBody
from crossrec.serving.refusals import SENTENCES
from crossrec.serving.request_ids import middlewares


def asked(answer: Response) -> httpx.Response:
    """The answer through the middlewares, in Serve's order."""
    app = RequestIdMiddleware(answer)
    for one in middlewares():
        app = one.cls(app, *one.args, **one.kwargs)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as http:
            return await http.get("/", headers={"x-request-id": "mine-1"})

    return asyncio.run(ask())


@pytest.mark.parametrize("status", [408, 429])
def test_a_refusal_is_one_json_sentence_with_the_request_id(status: int):
    found = asked(PlainTextResponse("Request dropped", status, headers={"retry-after": "1"}))
    assert found.status_code == status
    assert found.headers["content-type"] == "application/json"
    assert found.headers["retry-after"] == "1"
    assert found.headers.get_list("x-request-id") == ["mine-1"]
    body = ErrorBody.model_validate_json(found.content)
    assert (body.error, body.kind, body.request_id) == (SENTENCES[status], "ServiceError", "mine-1")


def test_all_else_goes_out_as_it_came():
    own = {"error": "wait", "kind": "ServiceError", "request_id": "mine-1"}
    assert json.loads(asked(JSONResponse(own, 429)).content) == own
    assert asked(PlainTextResponse("no replica", 503)).text == "no replica"
    assert asked(PlainTextResponse("figures")).text == "figures"
