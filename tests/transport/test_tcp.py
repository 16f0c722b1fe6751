import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest

from quire.errors import HomeError
from quire.transport.sockets import Sockets
from quire.transport.tcp import _MAX_LEAVING, Events, TcpStreams, _source


class Side:
    """One end's node, as far as streams go: what it was told, and what it has to say."""

    def __init__(self, takes_calls: bool = True) -> None:
        self.tcp = TcpStreams("127.0.0.1", 0)
        self.takes_calls = takes_calls
        self.came: dict[int, bytes] = {}
        self.ended: list[int] = []
        self.to_say: dict[int, list[bytes]] = {}
        self.calls = 0
        self.sources: list[str] = []

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.tcp._socket.getsockname()
        return host, port

    async def start(self) -> None:
        await self.tcp.start(Events(self._called, self._received, self.ended.append, self._to_send))

    def _called(self, source: str) -> int | None:
        self.sources.append(source)
        self.calls += 1
        return self.calls if self.takes_calls else None

    def _received(self, number: int, data: bytes) -> None:
        self.came[number] = self.came.get(number, b"") + data

    def _to_send(self, number: int) -> bytes:
        waiting = self.to_say.get(number, [])
        return waiting.pop(0) if waiting else b""


async def until(check: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if check():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen")


def run(body: Callable[[Side, Side], "asyncio.Future[None] | object"], takes_calls: bool = True) -> None:
    async def both() -> None:
        left, right = Side(), Side(takes_calls)
        await left.start()
        await right.start()
        try:
            await body(left, right)  # type: ignore[misc]
        finally:
            left.tcp.close()
            right.tcp.close()
            await asyncio.sleep(0)

    asyncio.run(both())


def test_bytes_go_both_ways_and_an_end_is_told() -> None:
    async def body(left: Side, right: Side) -> None:
        left.to_say[9] = [b"hel", b"lo"]
        right.to_say[1] = [b"you"]
        left.tcp.call(9, right.address)
        await until(lambda: right.came.get(1) == b"hello" and left.came.get(9) == b"you")
        left.tcp.hang_up(9)
        await until(lambda: right.ended == [1])
        assert left.ended == [], "who hangs up is not told of it"
        assert right.sources == ["127.0.0.1"]

    run(body)


@pytest.mark.parametrize(
    ("peer", "source"),
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("2001:db8::1:2:3:4%eth0", 5, 0, 0), "2001:db8::/64"),
        (None, ""),
    ],
)
def test_a_household_counts_as_one_place(peer: Any, source: str) -> None:
    assert _source(peer) == source


def test_what_is_written_later_goes_out_at_the_next_pump() -> None:
    async def body(left: Side, right: Side) -> None:
        left.tcp.call(9, right.address)
        await until(lambda: right.calls == 1)
        left.to_say[9] = [b"late"]
        left.tcp.pump()
        await until(lambda: right.came.get(1) == b"late")

    run(body)


def test_calls_that_nobody_takes_are_told_as_ended() -> None:
    async def body(left: Side, right: Side) -> None:
        left.tcp.call(9, right.address)
        await until(lambda: left.ended == [9])
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            left.tcp.call(10, nobody.getsockname())
            await until(lambda: left.ended == [9, 10])

    run(body, takes_calls=False)


def test_no_more_is_made_than_the_other_side_takes() -> None:
    """Who does not read stops us from making more: memory stays that of the buffers."""

    async def body(left: Side, right: Side) -> None:
        left.to_say[9] = [bytes(256 * 1024)] * 400
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen()
            left.tcp.call(9, deaf.getsockname())
            for _ in range(40):
                await asyncio.sleep(0.01)
                left.tcp.pump()
            assert len(left.to_say[9]) > 300

    run(body)


@asynccontextmanager
async def hung_up_on(side: Side, count: int) -> AsyncIterator[Callable[[], int]]:
    """Callers that never read, each with more written to it than the system takes; how many are still open here."""
    with ExitStack() as callers:
        for _ in range(count):
            callers.enter_context(socket.create_connection(side.address))
        side.to_say |= {number: [bytes(256 * 1024)] * 400 for number in range(1, count + 1)}
        await until(lambda: side.calls == count)
        side.tcp.pump()
        transports = [connection._transport for connection in side.tcp._open.values()]
        here = [transport.get_extra_info("socket") for transport in transports if transport is not None]
        assert len(here) == count
        side.to_say.clear()
        for number in range(1, count + 1):
            side.tcp.hang_up(number)
        yield lambda: sum(one.fileno() >= 0 for one in here)


def test_who_takes_nothing_keeps_no_stream_that_was_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quire.transport.tcp._LEAVING_S", 0.2)

    async def body(left: Side, right: Side) -> None:
        async with hung_up_on(right, 3) as still_open:
            assert still_open() == 3
            await until(lambda: still_open() == 0)

    run(body)


def test_so_many_are_waited_for_that_were_hung_up_on() -> None:
    async def body(left: Side, right: Side) -> None:
        async with hung_up_on(right, _MAX_LEAVING + 3) as still_open:
            await until(lambda: still_open() == _MAX_LEAVING)

    run(body)


def test_what_waits_is_still_written_to_who_takes_it() -> None:
    async def body(left: Side, right: Side) -> None:
        right.to_say[1] = [bytes(65_536)] * 200
        left.tcp.call(9, right.address)
        await until(lambda: 9 in left.came)
        made = (200 - len(right.to_say.pop(1))) * 65_536
        right.tcp.hang_up(1)
        await until(lambda: left.ended == [9])
        assert len(left.came[9]) == made

    run(body)


def test_both_sockets_of_a_node_have_one_port() -> None:
    sockets = Sockets("127.0.0.1", 0)
    assert sockets.tcp._socket.getsockname() == sockets.udp.address
    with pytest.raises(HomeError, match="UDP"):
        Sockets(*sockets.udp.address)
    sockets.close()
    sockets.close()


def test_a_taken_port_is_told_in_words() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(HomeError, match=r"Cannot listen on TCP .*another program uses it"):
            Sockets("127.0.0.1", taken.getsockname()[1])
