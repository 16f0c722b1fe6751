"""Clients that have proven nothing: what a relay process holds of them, and how many of one network it takes."""

import asyncio
import struct
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from quire.limits import (
    MAX_RELAY_HELLO,
    MAX_RELAY_MESSAGE,
    MAX_RELAY_REQUEST,
    RELAY_CROWDED_TIMES,
    RELAY_HELLO_BURST_S,
)
from quire.net import relay_wire as wire
from tests.process.harness import PATIENCE
from tests.process.relay_devices import RelayProcess, heard, line, opened, relay_process, said
from tests.relay.parties import Owner, key_of, records

PHONE = key_of("phone")
MIB = 1024 * 1024
STRANGERS = 200
#: Addresses of this machine that are not the one of its proxies.
NEAR, FAR = ("127.0.0.2", 0), ("127.0.0.3", 0)
#: What is met when a relay hangs up before it has said anything.
HUNG_UP = (ConnectionClosed, InvalidHandshake, ConnectionError, EOFError)


@pytest.fixture
def few(tmp_path: Path) -> Iterator[RelayProcess]:
    """A relay that takes three connections of one address."""
    with relay_process(tmp_path, "--address-connections", "3") as relay:
        yield relay


async def _many(
    stack: AsyncExitStack, relay: RelayProcess, count: int, **more: object
) -> list[ClientConnection]:
    return [await stack.enter_async_context(line(relay, **more)) for _ in range(count)]


async def _is_served(socket: ClientConnection, owner: str = "alice") -> None:
    await opened(socket, Owner(owner), PHONE)


async def _is_told(socket: ClientConnection) -> None:
    """Turned away with a reason and a time."""
    refusal = await heard(socket)
    assert isinstance(refusal, wire.Refusal), refusal
    assert (refusal.n, refusal.reason) == (0, "rate")
    assert refusal.retry_ms > 0
    assert "network" in refusal.text


async def _raw(
    relay: RelayProcess, request: bytes, local: tuple[str, int] | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = urlsplit(relay.address).netloc.split(":")
    reader, writer = await asyncio.open_connection(host, int(port), local_addr=local)
    writer.write(request)
    return reader, writer


_UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


def _frame(announced: int, sent: int, fin: bool = True) -> bytes:
    """The beginning of a masked binary frame."""
    return bytes([0x82 if fin else 0x02, 0xFF]) + struct.pack("!Q", announced) + bytes(4) + bytes(sent)


def test_strangers_who_send_much_cost_little(tmp_path: Path) -> None:
    """Each announces a message of the largest size, and sends of it what it can."""

    async def scenario(relay: RelayProcess) -> None:
        before = relay.memory()
        kept = [await _raw(relay, _UPGRADE + b"\r\n") for _ in range(STRANGERS)]
        for reader, writer in kept:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(_frame(MAX_RELAY_MESSAGE, MAX_RELAY_HELLO - 1024))
            await writer.drain()
        await asyncio.sleep(1)
        # What may be held of each, what the library takes for one, and what is not given back to the system.
        assert relay.memory() - before < STRANGERS * (2 * MAX_RELAY_HELLO + 32 * 1024)
        for _, writer in kept:
            writer.write(bytes(MIB))
        for reader, writer in kept:
            await _is_ended(reader)
            writer.close()
        async with line(relay) as socket:
            await _is_served(socket)

    with relay_process(tmp_path) as relay:
        asyncio.run(scenario(relay))


async def _is_ended(reader: asyncio.StreamReader) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            while await reader.read(MIB):
                pass
    except ConnectionError:
        pass


def test_what_is_too_long_is_cut_off_and_a_proven_key_lifts_the_bound(tmp_path: Path) -> None:
    async def scenario(relay: RelayProcess) -> None:
        reader, writer = await _raw(relay, _UPGRADE + b"X: y\r\n" * (MAX_RELAY_REQUEST // 6))
        await _is_ended(reader)
        writer.close()
        reader, writer = await _raw(relay, _UPGRADE + b"\r\n")  # in pieces of one message
        writer.write(
            _frame(MAX_RELAY_HELLO - 9, MAX_RELAY_HELLO - 9, fin=False) + _frame(4096, 4000, fin=False)
        )
        await _is_ended(reader)
        writer.close()
        async with line(relay) as socket:
            await _is_served(socket)
            much = records(1, 15, size=100_000)
            await said(socket, wire.Add(1, much))
            while not isinstance(message := await heard(socket), wire.Added):
                assert isinstance(message, wire.Entries), message
            assert message.taken == 15

    with relay_process(tmp_path) as relay:
        asyncio.run(scenario(relay))


def test_one_address_has_so_many_connections_and_others_theirs(few: RelayProcess) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            served = await _many(stack, few, 3, local_addr=NEAR)
            for number, socket in enumerate(served):
                await _is_served(socket, f"owner {number}")
            for _ in range(2):
                (told,) = await _many(stack, few, 1, local_addr=NEAR)
                await _is_told(told)
                await told.wait_closed()
            crowd = [await _raw(few, b"", NEAR) for _ in range(3 * (RELAY_CROWDED_TIMES - 1))]
            with pytest.raises(HUNG_UP):
                await connect(few.address, proxy=None, local_addr=NEAR)  # far too many are told nothing
            for _, writer in crowd:
                writer.close()
            for socket in await _many(stack, few, 3, local_addr=FAR):
                await _is_served(socket)
            for socket in await _many(
                stack, few, 9
            ):  # this machine's own address: whoever comes through a proxy
                await _is_served(socket)
            await served[0].close()
            (again,) = await _many(stack, few, 1, local_addr=NEAR)
            await _is_served(again)

    asyncio.run(scenario())


def _by(*addresses: str) -> dict[str, object]:
    return {"additional_headers": {"X-Forwarded-For": ", ".join(addresses)}}


def test_a_proxy_is_believed_where_it_is_one_of_ours(tmp_path: Path) -> None:
    async def scenario(relay: RelayProcess) -> None:
        async with AsyncExitStack() as stack:
            for socket in await _many(stack, relay, 3, **_by("203.0.113.9")):
                await _is_served(socket)
            # What a client says itself stands before what the proxy adds.
            for told in await _many(stack, relay, 2, **_by("198.51.100.1", "203.0.113.9")):
                await _is_told(told)
            for socket in await _many(stack, relay, 3, **_by("198.51.100.1")):
                await _is_served(socket)

    with relay_process(tmp_path, "--address-connections", "3", "--proxies", "127.0.0.1") as relay:
        asyncio.run(scenario(relay))


def test_who_is_no_proxy_of_ours_says_nothing_of_addresses(few: RelayProcess) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            for number in range(3):
                more = _by(f"203.0.113.{number}") | {"local_addr": NEAR}
                await _is_served((await _many(stack, few, 1, **more))[0])
            (told,) = await _many(stack, few, 1, **_by("203.0.113.9"), local_addr=NEAR)
            await _is_told(told)

    asyncio.run(scenario())


def test_one_address_opens_so_many_mailboxes_at_once(tmp_path: Path) -> None:
    async def scenario(relay: RelayProcess) -> None:
        async with line(relay, local_addr=NEAR) as socket, line(relay, local_addr=FAR) as other:
            challenge = await heard(socket)
            assert isinstance(challenge, wire.Challenge)
            for n in range(1, RELAY_HELLO_BURST_S + 2):
                hello = Owner(f"owner {n}").hello(challenge, PHONE, n=n, frugal=True)
                await said(socket, hello)
            for _ in range(RELAY_HELLO_BURST_S):
                assert isinstance(await heard(socket), wire.Greeting)
            refusal = await heard(socket)
            assert isinstance(refusal, wire.Refusal), refusal
            assert refusal.reason == "rate"
            assert 0 < refusal.retry_ms <= 1_000
            await _is_served(other)

    with relay_process(tmp_path, "--address-hellos-per-second", "1") as relay:
        asyncio.run(scenario(relay))
