"""Who begins when, in this process."""

from __future__ import annotations

import asyncio

from crossrec.serving.turns import Turns


def test_one_begins_in_each_pass_of_the_loop_in_the_order_they_came():
    async def run() -> None:
        turns, begun, passes = Turns(), [], []

        async def request(number: int) -> None:
            await turns.take()
            begun.append(number)

        asking = [asyncio.create_task(request(number)) for number in range(5)]
        while not all(one.done() for one in asking):
            before = len(begun)
            await asyncio.sleep(0)
            passes.append(len(begun) - before)
        assert begun == [0, 1, 2, 3, 4]
        assert max(passes) == 1

    asyncio.run(run())


def test_alone_nobody_waits():
    async def run() -> None:
        turns, others = Turns(), []
        for _ in range(2):
            asyncio.get_running_loop().call_soon(others.append, 1)
            await turns.take()
            assert not others  # the loop was not given away
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            others.clear()

    asyncio.run(run())


def test_who_goes_away_while_waiting_holds_nobody_up():
    async def run() -> None:
        turns = Turns()
        asking = [asyncio.create_task(turns.take()) for _ in range(4)]
        await asyncio.sleep(0)
        asking[1].cancel()
        asking[2].cancel()
        await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), 5)
        assert [one.cancelled() for one in asking] == [False, True, True, False]
        await asyncio.wait_for(turns.take(), 5)

    asyncio.run(run())
