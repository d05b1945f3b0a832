"""The short line to the encoder, over real sockets in this process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
import uvloop

from crossrec.errors import ServiceError, UnknownDomainError
from crossrec.serving import line as lines
from crossrec.serving.gateway import TooBusyError
from crossrec.serving.line import Line, NobodyThereError, line_path, open_line
from crossrec.serving.logs import ASKED, Asked, LogFile
from crossrec.serving.together import Timed
from tests.service_log import logged


class Encoder:
    """Counts letters; texts that say so fail, or wait until they are let go."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.n_waiting = self.n_cancelled = 0

    async def __call__(self, texts: list[str], domain: str, version: str) -> Timed:
        match texts[0]:
            case "unknown":
                raise UnknownDomainError(f"no domain '{domain}'")
            case "busy":
                raise TooBusyError
            case "broken":
                raise ZeroDivisionError("a secret")
            case "wait":
                await self._wait()
        lengths = [[len(text), len(domain), len(version)] for text in texts]
        return np.array(lengths, np.float64), {"encode": 0.5}

    async def _wait(self) -> None:
        self.n_waiting += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.n_cancelled += 1
            raise


Steps = Callable[[Encoder, Line, asyncio.Server], Awaitable[None]]


def on_a_line(folder: Path, steps: Steps) -> None:
    """Run steps with both ends of a line, on Python's own event loop and on that of Serve."""
    for loop in (asyncio.new_event_loop, uvloop.new_event_loop):
        _on_a_line(folder, steps, loop)


def _on_a_line(folder: Path, steps: Steps, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:

    async def run() -> None:
        encoder, path = Encoder(), folder / "line"
        server, line = await open_line(encoder, path), Line(path)
        await asyncio.wait_for(steps(encoder, line, server), 20)
        line.close()
        server.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.001)


def test_everybody_gets_their_own_vectors(tmp_path: Path):
    async def steps(encoder: Encoder, line: Line, server: asyncio.Server) -> None:
        slow = asyncio.create_task(line.encode(["wait", "x"], "films", "v10"))
        await until(lambda: encoder.n_waiting == 1)
        asked = [line.encode(["a" * n, "ä中"], "films", "v1") for n in range(50)]
        for n, (vectors, seconds) in enumerate(await asyncio.gather(*asked)):
            assert vectors.dtype == np.float32
            assert vectors.tolist() == [[n, 5, 2], [2, 5, 2]]
            assert seconds == {"encode": 0.5}
        encoder.gate.set()  # who waited holds up nobody
        assert (await slow)[0].tolist() == [[4, 5, 3], [1, 5, 3]]

    on_a_line(tmp_path, steps)


def test_a_large_answer_comes_whole(tmp_path: Path):
    async def steps(encoder: Encoder, line: Line, server: asyncio.Server) -> None:
        vectors, _ = await line.encode(["x" * 10_000] * 2_000, "films", "v")
        assert vectors.shape == (2_000, 3)
        assert (vectors[:, 0] == 10_000).all()

    on_a_line(tmp_path, steps)


def test_errors_are_those_of_the_encoder_and_its_log_knows_whose(tmp_path: Path, log_file: LogFile):
    async def steps(encoder: Encoder, line: Line, server: asyncio.Server) -> None:
        ASKED.set(Asked("mine-1"))
        with pytest.raises(UnknownDomainError, match="no domain 'films'"):
            await line.encode(["unknown"], "films", "v1")
        with pytest.raises(ServiceError, match="too many requests") as busy:
            await line.encode(["busy"], "films", "v1")
        assert busy.value.status == 429
        with pytest.raises(ServiceError) as broken:
            await line.encode(["broken"], "films", "v1")
        assert broken.value.status == 503
        assert "secret" not in str(broken.value)
        [said] = logged("mine-1")
        assert said["message"] == "texts could not be encoded"
        assert "a secret" in said["exception"]
        log_file.path.unlink()
        assert (await line.encode(["a"], "films", "v1"))[0][0, 0] == 1

    on_a_line(tmp_path, steps)


def test_nothing_is_encoded_for_whoever_has_gone(tmp_path: Path):
    async def steps(encoder: Encoder, line: Line, server: asyncio.Server) -> None:
        gone = asyncio.create_task(line.encode(["wait"], "films", "v1"))
        await until(lambda: encoder.n_waiting == 1)
        gone.cancel()
        await until(lambda: encoder.n_cancelled == 1)
        assert (await line.encode(["a"], "films", "v1"))[0][0, 0] == 1

    on_a_line(tmp_path, steps)


def test_a_line_that_is_cut_says_so_and_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lines, "AGAIN_S", 0.05)

    async def steps(encoder: Encoder, line: Line, server: asyncio.Server) -> None:
        waiting = asyncio.create_task(line.encode(["wait"], "films", "v1"))
        await until(lambda: encoder.n_waiting == 1)
        server.close()
        assert line._end is not None
        line._end._transport.abort()
        with pytest.raises(NobodyThereError):
            await waiting
        with pytest.raises(NobodyThereError):
            await line.encode(["a"], "films", "v1")
        after = await open_line(encoder, tmp_path / "line")
        await asyncio.sleep(0.1)
        assert (await line.encode(["a"], "films", "v1"))[0][0, 0] == 1
        after.close()

    on_a_line(tmp_path, steps)


def test_who_speaks_no_frames_is_cut_off(tmp_path: Path):
    async def steps(encoder: Encoder, line: Line, server: asyncio.Server) -> None:
        reader, writer = await asyncio.open_unix_connection(tmp_path / "line")
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):  # what was sent is not read to its end
            assert await reader.read() == b""
        writer.close()

    on_a_line(tmp_path, steps)


def test_sockets_of_services_that_were_killed_are_removed(tmp_path: Path):
    async def steps(encoder: Encoder, line: Line, server: asyncio.Server) -> None:
        dead = tmp_path / "dead"
        with socket.socket(socket.AF_UNIX) as killed:
            killed.bind(str(dead))
        other = await open_line(encoder, tmp_path / "other")
        assert not dead.exists()
        assert (await line.encode(["a"], "films", "v1"))[0][0, 0] == 1  # the living one stays
        other.close()

    on_a_line(tmp_path, steps)


def test_without_a_line_nobody_is_there():
    async def run() -> None:
        with pytest.raises(NobodyThereError):
            await Line(None).encode(["a"], "films", "v1")

    asyncio.run(run())


def test_a_line_lies_where_only_this_user_may_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lines.tempfile, "gettempdir", lambda: str(tmp_path))
    path = line_path("a service")
    assert path is not None
    assert path != line_path("another")
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.parent.chmod(0o755)  # somebody else made it
    assert line_path("a service") is None
    deep = tmp_path / ("x" * 60) / ("y" * 60)
    deep.mkdir(parents=True)
    monkeypatch.setattr(lines.tempfile, "gettempdir", lambda: str(deep))
    assert line_path("a service") is None
