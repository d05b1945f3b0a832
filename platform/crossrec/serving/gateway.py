"""What stands before every HTTP route: size, key, load, and one shape for every error.

A pure ASGI wrapper and the one place where errors become HTTP status codes. Leaves to others:
the routes (http_api.py), keys (auth.py), their rates (limits.py), what was refused (audit.py).
"""

from __future__ import annotations

import ipaddress
import logging
import math
import re
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from functools import lru_cache
from time import perf_counter
from typing import Any

from crossrec.errors import (
    AuthError,
    CrossrecError,
    ReleaseError,
    RequestError,
    ServiceError,
    UnknownDomainError,
    UnknownItemError,
    UnknownReleaseError,
)
from crossrec.serving.audit import AuditLog, Sparse
from crossrec.serving.auth import KeyRing, expect_scope
from crossrec.serving.limits import RateError, RateLimits
from crossrec.serving.logs import ASKED, Asked
from crossrec.serving.messages import ErrorBody
from crossrec.serving.metrics import Metrics
from crossrec.serving.stages import ADMIT, ANSWER, begin
from crossrec.serving.turns import Turns

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES = 2 << 20
MAX_IN_FLIGHT = 64
"""Requests one replica works on at once; more are told to come back."""
RETRY_AFTER_S = 1
DEADLINE = "x-request-timeout-seconds"
"""Ray Serve's own header, checked on 2.60: when to give a request up."""
MAX_SHOWN = 20
"""Characters of a header that an error says again."""

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
LOOKING = ("GET", "HEAD", "OPTIONS")
ASKED_BY_POST = ("/recommendations", "/explanations")
"""Ends of paths that are only asked, although their method is POST."""
ADMIN = "/v1/admin/"
"""What lies below it needs that scope, even to look."""
ROUTES = (
    *("recommendations", "explanations", "feedback", "items", "users", "card", "learner"),
    *("domains", "admin", "changes", "experiment", "shadow"),
)
"""First parts of paths that may be written down; anything else may be a user's id."""

PUBLIC = ("/health", "/ready", "/docs", "/openapi.json")
"""Paths that need no key: they say nothing of items and users."""

STATUS: dict[type[CrossrecError], int] = {
    UnknownReleaseError: 404,
    UnknownDomainError: 404,
    UnknownItemError: 404,
    RequestError: 422,
    ReleaseError: 503,
}
"""Error → HTTP status; AuthError and ServiceError carry their own, all others are 500."""
FOR_CALLERS: tuple[type[CrossrecError], ...] = (AuthError, ServiceError, *STATUS)
"""Errors whose words are the answer; those of others are for whoever runs the service."""

RANDOM_ID = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}")
"""A UUID, ours or Serve's."""

log = logging.getLogger(__name__)


class TooLargeError(RequestError):
    """A body is larger than MAX_BODY_BYTES."""


class TooBusyError(ServiceError):
    """MAX_IN_FLIGHT requests are being worked on."""

    def __init__(self) -> None:
        super().__init__("too many requests at once; try again in a second", 429)


def needed_scope(method: str, path: str) -> str:
    """The scope that a request needs: what removes or changes is for admins, feedback apart.

    >>> needed_scope("DELETE", "/users/7"), needed_scope("POST", "/feedback")
    ('admin', 'feedback')
    >>> needed_scope("POST", "/recommendations"), needed_scope("GET", "/items/x/feedback")
    ('read', 'read')
    >>> needed_scope("GET", "/v1/admin/domains")
    'admin'
    """
    if path.startswith(ADMIN):
        return "admin"
    if method in LOOKING:
        return "read"
    if method == "POST" and path.endswith("/feedback"):
        return "feedback"
    return "read" if method == "POST" and path.endswith(ASKED_BY_POST) else "admin"


def status_of(error: Exception) -> int:
    """HTTP status that answers an error."""
    if isinstance(error, AuthError):
        return error.status
    if isinstance(error, ServiceError):
        return error.status or 503
    if isinstance(error, TooLargeError):
        return 413
    kinds = (STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    return next(kinds, 500)


def error_body(error: Exception, request_id: str) -> ErrorBody:
    """What is said of an error; nothing of one that is a fault of the service or of its files."""
    if isinstance(error, FOR_CALLERS):
        known = next(kind for kind in type(error).__mro__ if kind.__module__ == "crossrec.errors")
        return ErrorBody(error=str(error), kind=known.__name__, request_id=request_id)
    text = f"the service failed; its log has the reason under the request id {request_id}"
    return ErrorBody(error=text, kind="ServiceError", request_id=request_id)


@dataclass(frozen=True)
class Door:
    """What all gateways of a process have in common, so that a key counts once for all of them."""

    turns: Turns = field(default_factory=Turns)
    limits: RateLimits = field(default_factory=RateLimits)


class Gateway:
    """ASGI app around another one.

    Args:
        app: the routes.
        keys: whom to let in; None: whoever calls from this machine, and nobody else.
        prefix: of the routes of `app`, below where it is mounted.
        name: of the app, for the audit log.
        metrics: where requests are counted and timed; None: nowhere.
        door: of the whole process, where it has several gateways; None: this is the only one.
    """

    def __init__(
        self,
        app: App,
        keys: KeyRing | None,
        prefix: str = "",
        name: str = "",
        metrics: Metrics | None = None,
        door: Door | None = None,
    ) -> None:
        self._app = app
        self._keys = keys
        self._name = name
        self._audit = AuditLog()
        self._refusals = Sparse()
        self._public = {prefix + path for path in PUBLIC} | {"/"}  # which leads to the page
        self._in_flight = 0
        door = door or Door()
        self._turns, self._limits = door.turns, door.limits
        self._metrics = metrics or Metrics()
        self._metrics.ask("crossrec_in_flight", lambda: float(self._in_flight))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        arrived, stages = perf_counter(), begin()
        headers = {name.decode("latin-1"): value for name, value in scope["headers"]}
        answer = _Answer(send, _request_id(headers) or uuid.uuid4().hex)
        scope.setdefault("state", {})["request_id"] = answer.request_id
        ASKED.set(Asked(answer.request_id, self._name))
        self._in_flight += 1
        self._turns.under_way += 1
        refused = False
        try:
            if self._turns.under_way > MAX_IN_FLIGHT:
                raise TooBusyError
            await self._turns.take()
            self._admit(scope, headers)
            stages.lap(ADMIT)
            await self._app(scope, _limited(receive, headers), answer)
        except Exception as err:
            refused = isinstance(err, AuthError | RateError)
            if (status := status_of(err)) >= 500:
                route = f"{_method(scope)} {_route(_path(scope))}"
                log.error("%s failed with %d", route, status, exc_info=err)
            await answer.fail(err, status)
        finally:
            self._in_flight -= 1
            self._turns.under_way -= 1
            stages.lap(ANSWER)
            whole_s = perf_counter() - arrived
            self._metrics.request(_first_part(_path(scope)), answer.status, whole_s, stages)
            # Also of a caller who hung up: what was asked for may have been done.
            if refused or _changes(scope):
                self._note(scope, answer, refused)

    def _admit(self, scope: Scope, headers: dict[str, bytes]) -> None:
        path = _path(scope)
        if self._keys is None:
            _expect_loopback(scope)
        elif path not in self._public:  # whole paths: an item may be called `x/health`
            key = self._keys.find(_key(headers))
            scope["state"]["key_id"] = key.key_id
            self._limits.take(key.key_id, key.requests_per_s)
            expect_scope(key, needed_scope(scope["method"], path))
        _expect_deadline(headers)

    def _note(self, scope: Scope, answer: _Answer, refused: bool) -> None:
        """A line in the audit log for what removes or changes, and for who was not let in.

        Anybody can be refused, as often as they like: of a key and a status one line a minute. A
        request id of the caller's own may say anything, so it is no part of it unless it is a
        random number. (Serve gives each request one before we see it.)
        """
        key_id = scope["state"].get("key_id")
        counted = {}
        if refused:
            n_before = self._refusals.count(f"{key_id} {answer.status}")
            if n_before is None:
                return
            counted = {"since_last_line": n_before}
        self._audit.write(
            "refused" if refused else "admin request",
            service=self._name,
            key_id=key_id,
            method=_method(scope),
            route=_route(_path(scope)),
            status=answer.status,
            request_id=answer.request_id if RANDOM_ID.fullmatch(answer.request_id) else None,
            **counted,
        )


class _Answer:
    """Passes the answer on with its request id; remembers whether it has begun."""

    def __init__(self, send: Send, request_id: str) -> None:
        self.request_id = request_id
        self._send = send
        self._begun = False
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            self.status = message["status"]
            own = (b"x-request-id", self.request_id.encode())
            message["headers"] = [*message.get("headers", []), own]
        await self._send(message)

    async def fail(self, error: Exception, status: int) -> None:
        """Answer with the error, if nothing was sent yet."""
        if self._begun:
            return
        body = error_body(error, self.request_id).model_dump_json().encode()
        headers = [
            (b"content-length", str(len(body)).encode()),
            (b"content-type", b"application/json"),
        ]
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if status == 429:
            wait_s = error.retry_after_s if isinstance(error, RateError) else RETRY_AFTER_S
            headers.append((b"retry-after", str(wait_s).encode()))
        await self({"type": "http.response.start", "status": status, "headers": headers})
        await self({"type": "http.response.body", "body": body})


def _request_id(headers: dict[str, bytes]) -> str | None:
    """The caller's own, if it is harmless."""
    given = headers.get("x-request-id", b"").decode("latin-1")
    return given if re.fullmatch(r"[\w.-]{1,100}", given, re.ASCII) else None


def _changes(scope: Scope) -> bool:
    """Whether a request removes or changes something, and does not only look."""
    looks = scope["method"] in LOOKING
    return not looks and needed_scope(scope["method"], _path(scope)) == "admin"


def _method(scope: Scope) -> str:
    return str(scope["method"]) if scope["method"] in METHODS else "other"


def _path(scope: Scope) -> str:
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def _route(path: str) -> str:
    """A path without the names in it.

    >>> _route("/users/jane@example.org"), _route("/jane"), _route("/v1/domains/films/users/7")
    ('/users/…', '/…', '/domains/…/users/…')
    """
    parts = [part for part in path.strip("/").split("/") if part != "v1"]
    found = [part if part in ROUTES else "…" for part in parts[:4]]
    return "/" + "/".join(found)


def _first_part(path: str) -> str:
    """What is asked for, as a label that nobody else can choose.

    >>> _first_part("/recommendations"), _first_part("/v1/domains"), _first_part("/x9")
    ('recommendations', 'domains', 'other')
    """
    part = path.removeprefix("/v1").strip("/").partition("/")[0]
    return part if part in ROUTES else "other"


def _key(headers: dict[str, bytes]) -> str | None:
    kind, _, key = headers.get("authorization", b"").decode("latin-1").partition(" ")
    return key.strip() if kind.lower() == "bearer" else None


def _expect_deadline(headers: dict[str, bytes]) -> None:
    """Serve ends a request at its caller's deadline, and passes over one that it cannot read.

    Raises:
        RequestError: it is no number of seconds.

    >>> _expect_deadline({"x-request-timeout-seconds": b"2.5"})
    """
    if (given := headers.get(DEADLINE)) is None:
        return
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        shown = given[:MAX_SHOWN].decode("latin-1")
        raise RequestError(
            f"the header {DEADLINE} got '{shown}'; expected seconds, more than 0, as in '2.5'"
        )


def _expect_loopback(scope: Scope) -> None:
    """Without keys only this machine may ask, whatever address a port happens to listen on.

    Raises:
        AuthError: (403) the caller is another machine.
    """
    if not _is_loopback((scope.get("client") or ("",))[0]):
        raise AuthError("this service is open to its own machine only", status=403)


@lru_cache(64)
def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _limited(receive: Receive, headers: dict[str, bytes]) -> Receive:
    """`receive` that stops at MAX_BODY_BYTES, announced or not.

    Raises:
        TooLargeError: more is announced, or comes.
    """
    announced = headers.get("content-length", b"0")
    size = int(announced) if announced.isdigit() else 0
    if size > MAX_BODY_BYTES:
        raise TooLargeError(f"got a body of {size} bytes; expected at most {MAX_BODY_BYTES}")
    received = 0

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY_BYTES:
            raise TooLargeError(f"got a body of more than {MAX_BODY_BYTES} bytes")
        return message

    return limited
