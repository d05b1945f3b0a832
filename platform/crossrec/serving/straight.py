"""The one route that is asked all day, without FastAPI's way to it.

FastAPI's middlewares, its look for the route, and a body that is parsed and then validated cost
about 0.2 ms, half of what recommending costs. Leaves to others: what the route answers and all
other routes (http_api.py), keys, sizes and errors (gateway.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from fastapi.responses import Response
from pydantic import BaseModel, ValidationError

from crossrec.serving.gateway import App, Message, Receive, Scope, Send

Asked = TypeVar("Asked", bound=BaseModel)


class Straight(Generic[Asked]):
    """ASGI app before a FastAPI app that has the same route, and documents it.

    What is no valid request, or no plain JSON, goes on to FastAPI as it came: it says what is
    wrong, and reads what is written in unusual ways.

    Args:
        app: the FastAPI app.
        path: of the route, below where the app is mounted; its method is POST.
        kind: what the body holds.
        answer: the route: request and its id → response. Errors it raises are the gateway's.
    """

    def __init__(
        self,
        app: App,
        path: str,
        kind: type[Asked],
        answer: Callable[[Asked, str], Awaitable[Response]],
    ) -> None:
        self._app = app
        self._path = path
        self._kind = kind
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the route; leave the rest to the app."""
        if not self._is_route(scope):
            await self._app(scope, receive, send)
            return
        messages = await _whole_body(receive)
        asked = self._read(messages)
        if asked is None:
            await self._app(scope, _again(messages, receive), send)
            return
        response = await self._answer(asked, scope["state"]["request_id"])
        await response(scope, receive, send)

    def _read(self, messages: list[Message]) -> Asked | None:
        if messages[-1]["type"] != "http.request":  # the caller went away
            return None
        try:
            body = b"".join(message.get("body", b"") for message in messages)
            return self._kind.model_validate_json(body)
        except ValidationError:
            return None

    def _is_route(self, scope: Scope) -> bool:
        if scope["type"] != "http" or scope["method"] != "POST":
            return False
        if str(scope["path"]).removeprefix(scope.get("root_path", "")) != self._path:
            return False
        kinds = [value for name, value in scope["headers"] if name == b"content-type"]
        return kinds[:1] == [b"application/json"]


async def _whole_body(receive: Receive) -> list[Message]:
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    return messages


def _again(messages: list[Message], receive: Receive) -> Receive:
    """`receive` that begins with what was received already."""
    waiting = iter(messages)

    async def again() -> Message:
        message = next(waiting, None)
        return await receive() if message is None else message

    return again
