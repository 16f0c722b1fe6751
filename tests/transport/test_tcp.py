import asyncio
import socket
from collections.abc import Callable

import pytest

from quire.errors import HomeError
from quire.transport.sockets import Sockets
from quire.transport.tcp import Events, TcpStreams


class Side:
    """One end's node, as far as streams go: what it was told, and what it has to say."""

    def __init__(self, takes_calls: bool = True) -> None:
        self.tcp = TcpStreams("127.0.0.1", 0)
        self.takes_calls = takes_calls
        self.came: dict[int, bytes] = {}
        self.ended: list[int] = []
        self.to_say: dict[int, list[bytes]] = {}
        self.calls = 0

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.tcp._socket.getsockname()
        return host, port

    async def start(self) -> None:
        await self.tcp.start(Events(self._called, self._received, self.ended.append, self._to_send))

    def _called(self) -> int | None:
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

    run(body)


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
