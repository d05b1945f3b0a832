"""What Serve itself says, as it comes out of its middlewares."""

from __future__ import annotations

import asyncio
import json
import traceback

import httpx
import pytest
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from ray.exceptions import RayTaskError
from ray.serve._private.common import DeploymentID
from ray.serve._private.http_util import RequestIdMiddleware, get_http_response_status
from ray.serve.exceptions import DeploymentUnavailableError

from crossrec.serving.client import _cut_off
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


def failed_route() -> RayTaskError:
    """What a replica raises at Serve's proxy."""
    try:
        raise ValueError("secret")
    except ValueError as err:
        return RayTaskError("route", traceback.format_exc(), err)


@pytest.mark.parametrize(
    ("error", "hidden", "told"),
    [
        (failed_route(), 'File "', "Internal Server Error"),
        (DeploymentUnavailableError(DeploymentID("a")), "Deployment", "Service Unavailable"),
    ],
)
def test_a_failure_that_serve_answers_for_is_told_without_a_trace(
    error: Exception, hidden: str, told: str
):
    from_serve = get_http_response_status(error, None, "mine-1")
    assert hidden in from_serve.message
    found = asked(PlainTextResponse(from_serve.message, from_serve.code))
    assert (found.status_code, found.text) == (from_serve.code, told)
    assert found.headers["content-type"].startswith("text/plain")
    assert _cut_off(found)  # so that `Client` asks again


def test_all_else_goes_out_as_it_came():
    own = {"error": "wait", "kind": "ServiceError", "request_id": "mine-1"}
    for status in (429, 500, 503):
        assert json.loads(asked(JSONResponse(own, status)).content) == own
    assert asked(PlainTextResponse("figures")).text == "figures"
