"""One `x-request-id` an answer: Serve (2.60) adds the caller's, or one of its own, to ours.

Serve applies what `middlewares` gives around all that answers, also around what adds its own, where
RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH names it. Leaves to others: which id it is (gateway.py),
the words of what Serve refuses (refusals.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from starlette.middleware import Middleware

from crossrec.serving.refusals import OwnRefusals

if TYPE_CHECKING:  # this is also imported in Serve's proxies, which need nothing of ours
    from crossrec.serving.gateway import App, Message, Receive, Scope, Send

NAME = b"x-request-id"
Headers = Iterable[tuple[bytes, bytes]]


def middlewares() -> list[Middleware]:
    """For Serve; each stands around those before it."""
    return [Middleware(OneRequestId), Middleware(OwnRefusals)]


class OneRequestId:
    """ASGI app that lets only the first id out: ours, for Serve's comes after it."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = first_id(message.get("headers", ()))
            await send(message)

        await self._app(scope, receive, sent)


def first_id(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The headers without a second id.

    >>> first_id([(b"x-request-id", b"1"), (b"a", b"2"), (b"X-Request-ID", b"3")])
    [(b'x-request-id', b'1'), (b'a', b'2')]
    """
    kept: list[tuple[bytes, bytes]] = []
    found = False
    for name, value in headers:
        is_id = name.lower() == NAME
        if not (is_id and found):
            kept.append((name, value))
        found = found or is_id
    return kept
