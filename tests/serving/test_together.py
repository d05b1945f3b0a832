"""Words of several requests in one call, in this process."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from crossrec.errors import ServiceError
from crossrec.serving.together import MAX_CALL_TEXTS, Timed, Together


class Encoder:
    """Counts letters; each call waits until it is let go."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], str]] = []
        self.gates: list[asyncio.Event] = []
        self.cancelled = 0
        self.error: Exception | None = None

    async def __call__(self, texts: list[str], version: str) -> Timed:
        self.calls.append((texts, version))
        self.gates.append(gate := asyncio.Event())
        try:
            await gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return np.array([[len(text)] for text in texts], np.float32), {"encode": 1.0}


async def soon() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def lengths(found: Timed) -> list[int]:
    return [int(value) for value in found[0][:, 0]]


def test_what_is_asked_while_a_call_is_under_way_goes_with_the_next():
    async def run() -> None:
        encoder = Encoder()
        together = Together(encoder)
        asking = [asyncio.create_task(together.encode(["a" * n], "v1")) for n in (1, 2, 3)]
        asking.append(asyncio.create_task(together.encode(["b" * 4, "b" * 5], "v1")))
        asking.append(asyncio.create_task(together.encode(["c"], "v2")))
        await soon()
        assert encoder.calls == [(["a"], "v1"), (["c"], "v2")]
        encoder.gates[0].set()
        await soon()
        assert encoder.calls[2:] == [(["aa", "aaa", "bbbb", "bbbbb"], "v1")]
        for gate in encoder.gates:
            gate.set()
        found = await asyncio.gather(*asking)
        assert [lengths(one) for one in found] == [[1], [2], [3], [4, 5], [1]]
        again = asyncio.create_task(together.encode(["dd"], "v1"))  # nobody is there: at once
        await soon()
        encoder.gates[-1].set()
        assert lengths(await again) == [2]

    asyncio.run(run())


def test_many_do_not_wait_for_one_call_to_end():
    async def run() -> None:
        encoder = Encoder()
        together = Together(encoder)
        asking = [asyncio.create_task(together.encode(["a"], "v")) for _ in range(MAX_CALL_TEXTS)]
        await soon()
        assert len(encoder.calls) == 1
        asking.append(asyncio.create_task(together.encode(["a"], "v")))
        await soon()
        assert [len(texts) for texts, _ in encoder.calls] == [1, MAX_CALL_TEXTS]
        for gate in encoder.gates:
            gate.set()
        assert len(await asyncio.gather(*asking)) == MAX_CALL_TEXTS + 1

    asyncio.run(run())


def test_whoever_has_gone_is_not_read_for():
    async def run() -> None:
        encoder = Encoder()
        together = Together(encoder)
        first, second, third = (
            asyncio.create_task(together.encode([text], "v")) for text in ("a", "bb", "ccc")
        )
        await soon()
        second.cancel()
        await soon()
        encoder.gates[0].set()
        await soon()
        assert [texts for texts, _ in encoder.calls] == [["a"], ["ccc"]]
        third.cancel()  # the only one of its call
        await soon()
        assert encoder.cancelled == 1
        assert lengths(await first) == [1]

    asyncio.run(run())


def test_an_error_is_told_to_all_of_the_call_and_to_nobody_else():
    async def run() -> None:
        encoder = Encoder()
        together = Together(encoder)
        encoder.error = ServiceError("too much", 429)
        asking = [asyncio.create_task(together.encode([text], "v")) for text in ("a", "b", "c")]
        await soon()
        encoder.gates[0].set()
        await soon()
        encoder.error = None
        encoder.gates[1].set()
        found = await asyncio.gather(*asking, return_exceptions=True)
        assert isinstance(found[0], ServiceError)
        assert [lengths(one) for one in found[1:]] == [[1], [1]]

    asyncio.run(run())


@pytest.mark.parametrize("n", [1, 40])
def test_nothing_is_left_behind(n: int):
    async def run() -> None:
        async def at_once(texts: list[str], version: str) -> Timed:
            return np.zeros((len(texts), 1), np.float32), {}

        together = Together(at_once)
        await asyncio.gather(*(together.encode(["a"], "v") for _ in range(n)))
        await soon()
        assert not together._queues
        assert not together._tasks

    asyncio.run(run())
