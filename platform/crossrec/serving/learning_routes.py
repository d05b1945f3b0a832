"""The routes of a domain's learner, and the note of where a request came from.

Leaves to others: what the learner does (learning.py), keys and errors (gateway.py), which proxies
are believed (addresses.py).
"""

from __future__ import annotations

from typing import Protocol

from fastapi import APIRouter
from fastapi.responses import Response

from crossrec.serving.addresses import address_of, trusted_proxies
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
        """Freeze, resume, reset, roll back to an earlier version, put on trial, go live, or explore
        more or less; needs the scope `admin`.
        """
        return _json(await backend.learner(order))

    return routes


def _json(status: LearnerStatus) -> Response:
    return Response(status.model_dump_json(), media_type="application/json")


class Addressed:
    """ASGI app that notes where a request came from, for whoever answers it (`ADDRESS`)."""

    def __init__(self, app: App) -> None:
        """Raises as `trusted_proxies`."""
        self._app = app
        self._trusted = trusted_proxies()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note it, then answer."""
        if scope["type"] == "http":
            client = scope.get("client")
            headers = scope["headers"]
            said = [text.decode("latin-1") for name, text in headers if name == b"x-forwarded-for"]
            ADDRESS.set(address_of(client and client[0], said, self._trusted))
        await self._app(scope, receive, send)
