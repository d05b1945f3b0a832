"""The routes of a domain's learner, and the address that a request came from.

Leaves to others: what the learner does (learning.py), keys and errors (gateway.py).
"""

from __future__ import annotations

from typing import Protocol

from fastapi import APIRouter
from fastapi.responses import Response

from crossrec.serving.gateway import App, Receive, Scope, Send
from crossrec.serving.learned_weights import ADDRESS
from crossrec.serving.learning_messages import LearnerOrder, LearnerStatus


class LearnerBackend(Protocol):
    """What the routes need."""

    async def learner(self, order: LearnerOrder | None) -> LearnerStatus:
        """Do what an operator asks; None: nothing. What was learned then."""


def learner_routes(backend: LearnerBackend) -> APIRouter:
    """`/learner`, to look and to order."""
    routes = APIRouter()

    @routes.get("/learner", response_model=LearnerStatus)
    async def status() -> Response:
        """What was learned of the objectives' weights, from what, and who was bounded."""
        return _json(await backend.learner(None))

    @routes.post("/learner", response_model=LearnerStatus)
    async def order(order: LearnerOrder) -> Response:
        """Freeze, resume, reset, or roll back to an earlier version; needs the scope `admin`."""
        return _json(await backend.learner(order))

    return routes


def _json(status: LearnerStatus) -> Response:
    return Response(status.model_dump_json(), media_type="application/json")


class Addressed:
    """ASGI app that notes where a request came from, for whoever answers it (`ADDRESS`)."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note it, then answer."""
        if scope["type"] == "http":
            ADDRESS.set(address_of(scope))
        await self._app(scope, receive, send)


def address_of(scope: Scope) -> str | None:
    """The caller's address: what the proxy on this machine says, or who calls.

    Of several in `X-Forwarded-For` the last, which our own proxy wrote; what stands before it is
    the caller's own word.

    >>> headers = [(b"x-forwarded-for", b"9.9.9.9, 10.0.0.7")]
    >>> address_of({"client": ("127.0.0.1", 1), "headers": headers})
    '10.0.0.7'
    >>> address_of({"client": ("10.0.0.8", 1), "headers": headers})
    '10.0.0.8'
    """
    client = scope.get("client")
    caller = str(client[0]) if client else None
    if caller not in ("127.0.0.1", "::1"):
        return caller
    given = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return given[-1].decode("latin-1").split(",")[-1].strip() if given else caller
