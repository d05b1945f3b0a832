"""What Serve itself refuses, in one JSON sentence like every other error; checked on Ray 2.60.

Serve says in plain text that a deadline has passed, or that more requests wait than it takes, where
no app of ours could answer. Its other errors stay as they are: from a 500 or 503 that is not in our
words `Client` knows that a process died, and asks again. Leaves to others: errors of the routes
(gateway.py), where Serve is told of this (request_ids.py).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # this is also imported in Serve's proxies, which need nothing of ours
    from crossrec.serving.gateway import App, Message, Receive, Scope, Send

SENTENCES = {
    408: "the deadline of the request (x-request-timeout-seconds) has passed; give it longer, or"
    " ask for less",
    429: "too many requests at once; try again in a second",
}


class JsonRefusals:
    """ASGI app that puts our sentence in the place of Serve's; around what adds the request id."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does, save for the words of a refusal."""
        body: bytes | None = None

        async def sent(message: Message) -> None:
            nonlocal body
            if message["type"] == "http.response.start" and _is_plain_refusal(message):
                body = _body(message)
                message["headers"] = _headers(message, len(body))
            elif message["type"] == "http.response.body" and body is not None:
                if message.get("more_body"):
                    return
                message["body"] = body
            await send(message)

        await self._app(scope, receive, sent)


def _is_plain_refusal(start: Message) -> bool:
    if start["status"] not in SENTENCES:
        return False
    headers: dict[bytes, bytes] = dict(start["headers"])
    return headers.get(b"content-type", b"").startswith(b"text/plain")


def _body(start: Message) -> bytes:
    """As `messages.ErrorBody` has it."""
    found = {name.lower(): value.decode("latin-1") for name, value in start["headers"]}
    words = {
        "error": SENTENCES[start["status"]],
        "kind": "ServiceError",
        "request_id": found.get(b"x-request-id"),
    }
    return json.dumps(words).encode()


def _headers(start: Message, n_bytes: int) -> list[tuple[bytes, bytes]]:
    own = {b"content-type": b"application/json", b"content-length": str(n_bytes).encode()}
    return [one for one in start["headers"] if one[0] not in own] + list(own.items())
