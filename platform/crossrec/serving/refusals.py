"""What Serve itself refuses, in one JSON sentence like every other error; checked on Ray 2.60.

Serve says in plain text that a deadline has passed, or that more requests wait than it takes, where
no app of ours could answer. Its other errors stay plain text: from a 500 or 503 that is not in our
words `Client` knows that a process died, and asks again. But what Serve's own proxy says of those
may hold a stack trace, so no more than the status goes out. Leaves to others: errors of the routes
(gateway.py), where Serve is told of this (request_ids.py).
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # this is also imported in Serve's proxies, which need nothing of ours
    from crossrec.serving.gateway import App, Message, Receive, Scope, Send

SENTENCES = {
    408: "the deadline of the request (x-request-timeout-seconds) has passed; give it longer, or"
    " ask for less",
    429: "too many requests at once; try again in a second",
}


class OwnRefusals:
    """ASGI app that puts our words in the place of Serve's; around what adds the request id."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does, save for the words of a refusal."""
        body: bytes | None = None

        async def sent(message: Message) -> None:
            nonlocal body
            if message["type"] == "http.response.start" and _is_serves_own(message):
                kind, body = _told(message)
                message["headers"] = _headers(message, kind, len(body))
            elif message["type"] == "http.response.body" and body is not None:
                if message.get("more_body"):
                    return
                message["body"] = body
            await send(message)

        await self._app(scope, receive, sent)


def _is_serves_own(start: Message) -> bool:
    """What goes wrong in our apps is told in JSON."""
    if start["status"] not in SENTENCES and start["status"] < 500:
        return False
    headers: dict[bytes, bytes] = dict(start["headers"])
    return headers.get(b"content-type", b"").startswith(b"text/plain")


def _told(start: Message) -> tuple[bytes, bytes]:
    """Content type and body: as `messages.ErrorBody` has it, or the status alone."""
    status = start["status"]
    if status not in SENTENCES:
        return b"text/plain; charset=utf-8", HTTPStatus(status).phrase.encode()
    found = {name.lower(): value.decode("latin-1") for name, value in start["headers"]}
    words = {
        "error": SENTENCES[status],
        "kind": "ServiceError",
        "request_id": found.get(b"x-request-id"),
    }
    return b"application/json", json.dumps(words).encode()


def _headers(start: Message, kind: bytes, n_bytes: int) -> list[tuple[bytes, bytes]]:
    own = {b"content-type": kind, b"content-length": str(n_bytes).encode()}
    return [one for one in start["headers"] if one[0] not in own] + list(own.items())
