"""Calls in a thread: in turn, with their results and errors, and waited for whoever is cancelled."""

import asyncio
from threading import Event, current_thread, main_thread

import pytest

from quire.relay.disk_thread import DiskThread


def test_calls_are_done_in_turn_beside_the_loop() -> None:
    async def scenario() -> None:
        thread, begun, order = DiskThread("disk"), Event(), []

        def slow() -> str:
            assert begun.wait(30)
            order.append("slow")
            assert current_thread() is not main_thread()
            return "done"

        first = asyncio.ensure_future(thread.run(slow))
        second = asyncio.ensure_future(thread.run(lambda: order.append("quick")))
        await asyncio.sleep(0)
        assert not first.done()  # and the loop goes on
        begun.set()
        assert (await first, await second) == ("done", None)
        assert order == ["slow", "quick"]
        thread.end()

    asyncio.run(scenario())


def test_an_error_is_raised_to_whoever_waits_and_the_next_call_is_done() -> None:
    async def scenario() -> None:
        thread = DiskThread("disk")
        with pytest.raises(ZeroDivisionError):
            await thread.run(lambda: 1 // 0)
        assert await thread.run(lambda: 3) == 3
        thread.end()

    asyncio.run(scenario())


@pytest.mark.parametrize("fails", [False, True])
def test_who_is_cancelled_waits_for_the_end(fails: bool) -> None:
    async def scenario() -> None:
        thread, begun, ended = DiskThread("disk"), Event(), []

        def slow() -> None:
            assert begun.wait(30)
            ended.append(True)
            if fails:
                raise OSError

        waiting = asyncio.ensure_future(thread.run(slow))
        await asyncio.sleep(0)
        waiting.cancel()
        asyncio.get_running_loop().call_later(0.05, begun.set)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert ended == [True]
        thread.end()

    asyncio.run(scenario())
