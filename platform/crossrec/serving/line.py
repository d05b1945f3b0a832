"""A short line from domains to the one encoder of their machine: frames over a Unix socket.

A call through Serve from one application to another costs about a millisecond of either process,
as much as all else that a domain does for a request in words; a frame costs a twentieth of that, so
every text goes at once, and the encoder, which sees all that wait, makes larger batches. Only where
the encoder is a single replica: Serve shares the calls out among several, and counts them to scale
them. Leaves to others: when to use it (encoder_client.py), encoding (encoder_service.py).

A frame is its body's length, a number that the asker gave, its kind, and the body.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import socket
import stat
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from struct import Struct
from time import monotonic
from typing import Any, cast

import numpy as np

from crossrec import errors
from crossrec.errors import CrossrecError, ServiceError
from crossrec.serving.logs import ASKED, Asked
from crossrec.serving.together import Timed

log = logging.getLogger(__name__)

Encode = Callable[[list[str], str, str], Awaitable[Timed]]
"""Texts, domain and release → their vectors."""

_HEAD = Struct("<IIB")
_SHAPE = Struct("<II")
ASK, LEAVE, FOUND, FAILED = range(4)
MAX_BODY_BYTES = 64 << 20
"""Whoever announces more does not speak this language."""
LONGEST_PATH = 100
"""Bytes of a socket's path that every system takes."""
AGAIN_S = 1.0
"""After which a line that could not be opened is tried again."""


class NobodyThereError(ConnectionError):
    """There is no line, or it was cut before the answer came."""


def line_path(service: str) -> Path | None:
    """Where the line of a service is, in a folder of this user alone; None: there can be none."""
    folder = Path(tempfile.gettempdir()) / f"crossrec-lines-{os.getuid()}"
    name = hashlib.blake2b(service.encode(), digest_size=8).hexdigest()
    path = folder / name
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return path if own and len(os.fsencode(path)) <= LONGEST_PATH else None


class _Frames(asyncio.Protocol):
    """One end of a line."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has another base

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= _HEAD.size:
            length, number, kind = _HEAD.unpack_from(self._buffer)
            if length > MAX_BODY_BYTES:
                self._transport.abort()
                return
            end = _HEAD.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_HEAD.size : end])
            del self._buffer[:end]
            self.received(number, kind, body)

    def send(self, number: int, kind: int, body: bytes = b"") -> None:
        """Write a frame; to nobody, where the line was cut."""
        if not self._transport.is_closing():
            self._transport.write(_HEAD.pack(len(body), number, kind) + body)

    def received(self, number: int, kind: int, body: bytes) -> None:
        """A whole frame came."""
        raise NotImplementedError


class _Answering(_Frames):
    """The encoder's end."""

    def __init__(self, encode: Encode) -> None:
        super().__init__()
        self._encode = encode
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def received(self, number: int, kind: int, body: bytes) -> None:
        if kind == ASK:
            task = asyncio.get_running_loop().create_task(self._answer(number, body))
            self._tasks[number] = task
            task.add_done_callback(lambda _: self._tasks.pop(number, None))
        elif kind == LEAVE and number in self._tasks:
            self._tasks[number].cancel()

    async def _answer(self, number: int, body: bytes) -> None:
        try:
            texts, domain, version, asked = json.loads(body)
            ASKED.set(Asked(*asked))
            vectors, seconds = await self._encode(texts, domain, version)
        except Exception as err:
            if not isinstance(err, CrossrecError):
                log.exception("texts could not be encoded")
            self.send(number, FAILED, json.dumps(_said(err)).encode())
            return
        shape, known = _SHAPE.pack(*vectors.shape), json.dumps(seconds).encode()
        rows = np.ascontiguousarray(vectors, np.float32).tobytes()
        self.send(number, FOUND, shape + rows + known)

    def connection_lost(self, exc: Exception | None) -> None:
        for task in list(self._tasks.values()):
            task.cancel()


async def open_line(encode: Encode, path: Path) -> asyncio.Server:
    """Answer on a line, in place of who did before; keep the server, or it ends."""
    path.unlink(missing_ok=True)
    for other in path.parent.iterdir():
        _remove_dead(other)
    loop = asyncio.get_running_loop()
    return await loop.create_unix_server(lambda: _Answering(encode), str(path))


def _remove_dead(path: Path) -> None:
    """Remove the socket of a service that was ended before it could."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()


class _Asking(_Frames):
    """A domain's end."""

    def __init__(self) -> None:
        super().__init__()
        self.is_cut = False
        self._number = 0
        self._waiting: dict[int, asyncio.Future[Timed]] = {}

    async def ask(self, body: bytes) -> Timed:
        number = self._number = (self._number + 1) % (1 << 32)
        answer: asyncio.Future[Timed] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self.send(number, ASK, body)
        try:
            return await answer
        except asyncio.CancelledError:
            self.send(number, LEAVE)
            raise
        finally:
            self._waiting.pop(number, None)

    def received(self, number: int, kind: int, body: bytes) -> None:
        answer = self._waiting.get(number)
        if answer is None or answer.done():  # whoever asked has gone
            return
        if kind == FOUND:
            answer.set_result(_found(body))
        else:
            answer.set_exception(_meant(*json.loads(body)))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_cut = True
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(NobodyThereError("the encoder went away"))


class Line:
    """A domain's end of the line of a service, opened when it is needed, on one event loop."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._end: _Asking | None = None
        self._not_before = 0.0
        self._opening = asyncio.Lock()

    async def encode(self, texts: list[str], domain: str, version: str) -> Timed:
        """Vectors of texts, and the seconds of their batch.

        Raises:
            NobodyThereError: there is no line, or it was cut meanwhile; ask in another way.
            CrossrecError: what the encoder raised.
        """
        end = self._end if self._end and not self._end.is_cut else await self._open()
        return await end.ask(json.dumps([texts, domain, version, ASKED.get()]).encode())

    async def _open(self) -> _Asking:
        if self._path is None or monotonic() < self._not_before:
            raise NobodyThereError("there is no line to the encoder")
        async with self._opening:  # many may find it cut at once
            if self._end is None or self._end.is_cut:
                loop = asyncio.get_running_loop()
                try:
                    _, self._end = await loop.create_unix_connection(_Asking, str(self._path))
                except OSError as err:
                    self._not_before = monotonic() + AGAIN_S
                    raise NobodyThereError("there is no line to the encoder") from err
            return self._end

    def close(self) -> None:
        """Hang up."""
        if self._end is not None:
            self._end._transport.close()


def _found(body: bytes) -> Timed:
    n, dim = _SHAPE.unpack_from(body)
    end = _SHAPE.size + 4 * n * dim
    vectors = np.frombuffer(body, np.float32, n * dim, _SHAPE.size).reshape(n, dim)
    return vectors, json.loads(body[end:])


def _said(err: Exception) -> list[Any]:
    """An error as [its kind among crossrec's, message, status]; of others only that it failed."""
    if not isinstance(err, CrossrecError):
        return [ServiceError.__name__, "the encoder failed; its log has the reason", 503]
    kind = next(one for one in type(err).__mro__ if one.__module__ == errors.__name__)
    return [kind.__name__, str(err), getattr(err, "status", None)]


def _meant(kind: str, message: str, status: int | None) -> CrossrecError:
    """The error again."""
    found = getattr(errors, kind)
    meant: CrossrecError = found(message) if status is None else found(message, status)
    return meant
