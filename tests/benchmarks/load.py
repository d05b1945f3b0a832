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


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        times_ms: of the requests that were answered with 200.
        errors: status or error → how often.
        seconds: from the first request to the last answer.
    """

    times_ms: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Requests answered a second."""
        return len(self.times_ms) / self.seconds


class Connections:
    """One client's kept-alive connections, one a service."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

    async def ask(self, ask: Ask) -> int:
        """The status of the answer, once all of it was read."""
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
        return int(answer.split(b" ", 2)[1])

    def close(self) -> None:
        """Close all of them."""
        for _, writer in self._open.values():
            writer.close()


async def offer(load: Load) -> Outcome:
    """Ask all of it from this process."""
    outcome, waiting = Outcome(), iter(load.asks)
    start = time.perf_counter()

    async def client() -> None:
        connections = Connections()
        for ask in waiting:  # shared: each takes the next one
            began = time.perf_counter()
            if began - start > load.seconds:
                break
            try:
                status = await connections.ask(ask)
            except (OSError, EOFError) as err:
                status = type(err).__name__
            if status == 200:
                outcome.times_ms.append((time.perf_counter() - began) * 1000)
            else:
                outcome.errors[str(status)] = outcome.errors.get(str(status), 0) + 1
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
