"""Load on HTTP services: kept-alive clients in a process of their own, each asking in turn.

Run as a module it reads a `Load` as JSON and prints its `Outcome`. HTTP/1.1 is spoken by hand on
asyncio streams: a client library would take more of the two cores than some of the services do.
Leaves to others: what is asked and compared (throughput.py).
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

SLOW_S = 1.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0


@dataclass(frozen=True)
class Ask:
    """One request: `body` None is a GET."""

    url: str
    body: dict[str, Any] | None = None


@dataclass(frozen=True)
class Load:
    """Requests that are asked once each, in order, by whichever client is free."""

    asks: list[Ask]
    n_clients: int
    seconds: float
    """At most so long; what was not begun by then is left out."""
    patience_s: float = 0.0
    """A request that was cut off, or answered with 5xx, is asked once more as soon as whoever is
    asked is well again, at most so much later; 0: it has failed. See `Client`."""
    reopen: bool = False
    """A kept connection that was closed before any of the answer came is opened again and asked
    once more, as HTTP clients do: servers close what was idle for some seconds at any moment."""


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        times_ms: of the requests that were answered with 200.
        failed_at: status or error → when each of them ended, by the clock.
        seconds: from the first request to the last answer.
        first_errors: the same as `errors`, of requests that were asked once more.
        hit_at: when a request ended that was asked once more, or took over SLOW_S, by the clock.
    """

    times_ms: list[float] = field(default_factory=list)
    failed_at: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    first_errors: dict[str, int] = field(default_factory=dict)
    hit_at: list[float] = field(default_factory=list)

    @property
    def errors(self) -> dict[str, int]:
        """Status or error → how often."""
        return {status: len(moments) for status, moments in self.failed_at.items()}

    @property
    def per_second(self) -> float:
        """Requests answered a second."""
        return len(self.times_ms) / self.seconds


class Connections:
    """One client's kept-alive connections, one a service."""

    def __init__(self, reopen: bool = False) -> None:
        self._open: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
        self._reopen = reopen

    async def ask(self, ask: Ask) -> int:
        """The status of the answer, once all of it was read."""
        kept = urlsplit(ask.url).netloc in self._open
        try:
            return await self._ask(ask)
        except (OSError, asyncio.IncompleteReadError) as err:
            begun = isinstance(err, asyncio.IncompleteReadError) and err.partial
            if not (self._reopen and kept) or begun:
                raise
            return await self._ask(ask)

    async def _ask(self, ask: Ask) -> int:
        place = urlsplit(ask.url)
        if place.netloc not in self._open:
            self._open[place.netloc] = await asyncio.open_connection(place.hostname, place.port)
        reader, writer = self._open[place.netloc]
        body = b"" if ask.body is None else json.dumps(ask.body).encode()
        head = (
            f"{'GET' if ask.body is None else 'POST'} {place.path} HTTP/1.1\r\n"
            f"host: {place.netloc}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        try:
            answer = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b":", 1) for line in answer.split(b"\r\n")[1:-2])
            await reader.readexactly(int(fields[b"content-length"]))
        except BaseException:
            self._open.pop(place.netloc)[1].close()
            raise
        if fields.get(b"connection", b"").strip() == b"close":
            self._open.pop(place.netloc)[1].close()
        return int(answer.split(b" ", 2)[1])

    async def tried(self, ask: Ask) -> str:
        """The status, or the kind of error where there is none."""
        try:
            return str(await self.ask(ask))
        except (OSError, EOFError) as err:
            return type(err).__name__

    async def wait_for(self, ask: Ask, patience_s: float) -> None:
        """Until the domain that is asked answers, or patience ends."""
        health = Ask(ask.url.rpartition("/")[0] + "/health")
        until, pause_s = time.perf_counter() + patience_s, FIRST_PAUSE_S
        while time.perf_counter() < until and await self.tried(health) != "200":
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def close(self) -> None:
        """Close all of them."""
        for _, writer in self._open.values():
            writer.close()


async def offer(load: Load) -> Outcome:
    """Ask all of it from this process."""
    outcome, waiting = Outcome(), iter(load.asks)
    start = time.perf_counter()

    async def client() -> None:
        connections = Connections(load.reopen)
        for ask in waiting:  # shared: each takes the next one
            began = time.perf_counter()
            if began - start > load.seconds:
                break
            status = await connections.tried(ask)
            again = load.patience_s > 0 and status not in ("200", "404", "422", "429")
            if again:
                outcome.first_errors[status] = outcome.first_errors.get(status, 0) + 1
                await connections.wait_for(ask, load.patience_s)
                status = await connections.tried(ask)
            took = time.perf_counter() - began
            if again or took > SLOW_S:
                outcome.hit_at.append(time.time())
            if status == "200":
                outcome.times_ms.append(took * 1000)
            else:
                outcome.failed_at.setdefault(status, []).append(time.time())
        connections.close()

    await asyncio.gather(*(client() for _ in range(load.n_clients)))
    outcome.seconds = time.perf_counter() - start
    return outcome


def offered(load: Load) -> Outcome:
    """Ask all of it from a second process."""
    command = [sys.executable, "-m", "tests.benchmarks.load"]
    answer = subprocess.run(
        command, input=json.dumps(asdict(load)), capture_output=True, text=True, check=True
    )
    return Outcome(**json.loads(answer.stdout))


if __name__ == "__main__":
    given = json.load(sys.stdin)
    given["asks"] = [Ask(**ask) for ask in given["asks"]]
    print(json.dumps(asdict(asyncio.run(offer(Load(**given))))))
