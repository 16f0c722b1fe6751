import asyncio
import socket
from collections.abc import Iterator
from random import Random

import pytest

from quire.core.address import HostPort
from quire.errors import HomeError
from quire.limits import MAX_DATAGRAM
from quire.transport.udp import UdpSocket


@pytest.fixture
def udp() -> Iterator[UdpSocket]:
    made = UdpSocket("127.0.0.1", 0)
    yield made
    made.close()


@pytest.fixture
def other() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(10)
        yield made


class Inbox:
    """What a socket received, and after which datagram each burst ended."""

    def __init__(self) -> None:
        self.datagrams: list[tuple[bytes, HostPort]] = []
        self.bursts: list[int] = []

    def received(self, data: bytes, address: HostPort) -> None:
        self.datagrams.append((data, address))

    def drained(self) -> None:
        self.bursts.append(len(self.datagrams))

    async def wait_for(self, count: int) -> None:
        for _ in range(1_000):
            if len(self.datagrams) >= count:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"only {len(self.datagrams)} of {count} datagrams came")


def test_datagrams_come_whole_with_their_source(udp: UdpSocket, other: socket.socket) -> None:
    sizes = [0, 1, MAX_DATAGRAM, MAX_DATAGRAM + 1, 65_507]
    sent = [Random(size).randbytes(size) for size in sizes]

    async def run() -> Inbox:
        inbox = Inbox()
        udp.start(asyncio.get_running_loop(), inbox.received, inbox.drained)
        for data in sent:
            other.sendto(data, udp.address)
            await inbox.wait_for(sent.index(data) + 1)
        udp.close()
        return inbox

    inbox = asyncio.run(run())
    assert inbox.datagrams == [(data, other.getsockname()) for data in sent]


def test_a_burst_is_told_once_and_leaves_turns_to_others(udp: UdpSocket, other: socket.socket) -> None:
    async def run() -> Inbox:
        inbox = Inbox()
        for number in range(600):
            other.sendto(b"%d" % number, udp.address)
        udp.start(asyncio.get_running_loop(), inbox.received, inbox.drained)
        await inbox.wait_for(600)
        udp.close()
        return inbox

    inbox = asyncio.run(run())
    assert [data for data, _ in inbox.datagrams] == [b"%d" % number for number in range(600)]
    steps = [after - before for before, after in zip([0, *inbox.bursts], inbox.bursts, strict=False)]
    assert max(steps) <= 256


def test_what_the_kernel_does_not_take_counts_as_lost(udp: UdpSocket, other: socket.socket) -> None:
    here = other.getsockname()
    refused: list[tuple[bytes, HostPort]] = [
        (b"x" * 70_000, here),  # larger than a datagram can be
        (b"x", ("::1", 5)),  # another family
        (b"x", ("127.0.0.1", 0)),
        (b"x", ("255.255.255.255", 9)),  # broadcast without leave
    ]
    udp.send([(b"first", here), *refused, (b"last", here)])
    assert [other.recv(100), other.recv(100)] == [b"first", b"last"]
    assert udp.unsent == len(refused)


def test_a_closed_port_at_the_other_end_stops_nothing(udp: UdpSocket, other: socket.socket) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        nobody = gone.getsockname()

    async def run() -> Inbox:
        inbox = Inbox()
        udp.start(asyncio.get_running_loop(), inbox.received, inbox.drained)
        for number in range(20):
            udp.send([(b"anybody?", nobody)])
            other.sendto(b"%d" % number, udp.address)
        await inbox.wait_for(20)
        udp.close()
        return inbox

    assert len(asyncio.run(run()).datagrams) == 20


def test_closing_twice_and_before_starting_is_fine() -> None:
    udp = UdpSocket("127.0.0.1", 0)
    udp.close()
    udp.close()
    with pytest.raises(OSError):
        udp.address  # noqa: B018


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_in_use_is_told_in_plain_words(host: str) -> None:
    try:
        first = UdpSocket(host, 0)
    except HomeError:
        pytest.skip(f"no {host} here")
    with pytest.raises(HomeError, match=r"another program uses it\. Choose another with --listen\.") as told:
        UdpSocket(host, first.address[1])
    assert (f"[{host}]:" if ":" in host else f"{host}:") + str(first.address[1]) in str(told.value)
    first.close()


def test_an_address_that_is_not_ours_is_told() -> None:
    with pytest.raises(HomeError, match=r"192\.0\.2\.1:7700: cannot assign requested address"):
        UdpSocket("192.0.2.1", 7_700)
