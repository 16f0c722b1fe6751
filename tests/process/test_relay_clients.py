"""A relay among clients that do not read, that attack, that come all at once; disks that are full; its end."""

import asyncio
import json
import os
import signal
import urllib.error
import urllib.request
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from quire.limits import MAX_RELAY_MESSAGE, MAX_RELAY_RECORD, RELAY_BURST_S
from quire.net import relay_wire as wire
from quire.net.relay_wire import Record
from tests.process.harness import PATIENCE
from tests.process.relay_devices import RelayProcess, heard, line, opened, relay_process, said
from tests.process.small_disk import SmallDisk
from tests.relay.parties import Owner, key_of, records

ALICE = Owner("alice")
PHONE, LAPTOP = key_of("phone"), key_of("laptop")
MIB = 1024 * 1024
#: Clients that never read.
READERS = 40
#: Records a second of one device: so few that no machine is slow enough for a whole flood to be kept.
FLOOD_PACE = 50
STALLED = 'connections_dropped_total{why="stalled"}'


def health(relay: RelayProcess) -> dict[str, Any]:
    with urllib.request.urlopen(
        relay.address.replace("ws", "http", 1) + "health", timeout=PATIENCE
    ) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


async def fill(relay: RelayProcess, mib: int) -> None:
    """A mailbox with so much in it."""
    async with line(relay) as socket:
        await opened(socket, ALICE, LAPTOP, frugal=True)
        local = 0
        for _ in range(mib):
            batch = [Record(local + n, 1, "private", bytes(MAX_RELAY_RECORD)) for n in range(1, 9)]
            local += 8
            await said(socket, wire.Add(1, batch))
            while not isinstance(message := await heard(socket), wire.Added):
                assert isinstance(message, wire.Grown), message


async def serves(relay: RelayProcess) -> None:
    """A new client is served as ever."""
    async with line(relay) as socket:
        await opened(socket, Owner("somebody else"), PHONE)
        assert isinstance(await heard(socket), wire.Entries)
        last = (await asyncio.to_thread(health, relay))["connections"]
        assert last >= 1


@pytest.mark.slow
def test_clients_that_never_read_cost_bounded_memory_and_are_dropped(tmp_path: Path) -> None:
    async def scenario(relay: RelayProcess) -> None:
        await fill(relay, 24)
        before = relay.memory()
        async with AsyncExitStack() as stack:
            for number in range(READERS):
                await _never_reads(await stack.enter_async_context(line(relay)), number)
            await asyncio.sleep(1)
            # Each may hold a page on its way and one more message: never its whole log.
            assert relay.memory() - before < READERS * 2 * MIB
            await serves(relay)
            async with asyncio.timeout(PATIENCE):
                while await asyncio.to_thread(_counts, relay, STALLED) < READERS:
                    await asyncio.sleep(0.1)
            assert (await asyncio.to_thread(health, relay))["connections"] == 0
        await serves(relay)

    with relay_process(tmp_path, "--stall-seconds", "3") as relay:
        asyncio.run(scenario(relay))


async def _never_reads(socket: ClientConnection, number: int) -> None:
    """Open a mailbox so often that what comes is more than the system takes, and take nothing of it."""
    challenge = await heard(socket)
    assert isinstance(challenge, wire.Challenge)
    socket.transport.pause_reading()
    for n in range(1, 25):
        await said(socket, ALICE.hello(challenge, key_of(f"reader {number}"), n=n))


def _counts(relay: RelayProcess, name: str) -> float:
    address = relay.address.replace("ws", "http", 1) + "metrics"
    with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
        lines = answer.read().decode().splitlines()
    found = [text for text in lines if text.startswith(f"quire_relay_{name} ")]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


def test_malicious_clients_are_cut_off_and_others_are_served(tmp_path: Path) -> None:
    async def scenario(relay: RelayProcess) -> None:
        await serves(relay)
        for data in (b"garbage", b"", "text", bytes(MAX_RELAY_MESSAGE + 1)):
            async with line(relay) as socket:
                await heard(socket)
                await socket.send(data)
                assert all(isinstance(one, wire.Refusal) and one.n == 0 for one in await _to_the_end(socket))
        async with line(relay) as first, line(relay) as second:
            challenge = await heard(first)
            assert isinstance(challenge, wire.Challenge)
            await heard(second)
            await said(second, ALICE.hello(challenge, PHONE, records=records(1, 3)))
            assert (await _refusal(second)).reason == "forbidden"
        async with line(relay) as socket:
            await opened(socket, Owner("bob"), PHONE)
            await said(socket, wire.Add(2, records(1, 3)))
            assert (await _refusal(socket)).reason == "forbidden"
        await asyncio.gather(*(_flood(relay, number) for number in range(5)), serves(relay))
        assert (await asyncio.to_thread(health, relay))["status"] == "ok"

    with relay_process(tmp_path, "--records-per-second", str(FLOOD_PACE)) as relay:
        asyncio.run(scenario(relay))


async def _to_the_end(socket: ClientConnection) -> list[wire.FromRelay]:
    """All that is said until the relay closes the connection."""
    found = []
    with suppress(ConnectionClosed):
        while True:
            found.append(await heard(socket))
    return found


async def _refusal(socket: ClientConnection) -> wire.Refusal:
    while not isinstance(message := await heard(socket), wire.Refusal):
        assert isinstance(message, wire.Entries), message
    return message


async def _flood(relay: RelayProcess, number: int) -> None:
    """Far more than the pace: what may come at once is kept, whoever else floods; the rest is refused with a time."""
    async with line(relay) as socket:
        await opened(socket, Owner(f"flood {number}"), key_of(f"flood {number}"), frugal=True)
        for first in range(1, 2_000, 100):
            await said(socket, wire.Add(1, records(first, first + 99)))
        answers: list[wire.FromRelay] = []
        while len(answers) < 20:
            if not isinstance(message := await heard(socket), wire.Grown):
                answers.append(message)
        at_once = FLOOD_PACE * RELAY_BURST_S // 100
        assert all(isinstance(one, wire.Added) for one in answers[:at_once])
        refusals = [one for one in answers if isinstance(one, wire.Refusal)]
        assert refusals
        assert all(one.reason == "rate" and one.retry_ms > 0 for one in refusals)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_thousand_clients_that_come_back_at_once_are_all_served(tmp_path: Path) -> None:
    async def scenario(relay: RelayProcess) -> None:
        lines = await asyncio.gather(*(_stays(relay, number) for number in range(1_000)))
        assert all(length == 1 for length in lines)
        assert (await asyncio.to_thread(health, relay))["held"]["mailboxes"] == 250
        await asyncio.to_thread(relay.kill)
        await asyncio.to_thread(relay.start)
        lines = await asyncio.gather(*(_stays(relay, number) for number in range(1_000)))
        assert all(length == 1 for length in lines)
        assert relay.memory() < 200 * MIB

    with relay_process(tmp_path) as relay:
        asyncio.run(scenario(relay))


async def _stays(relay: RelayProcess, number: int) -> int:
    """Open a mailbox that four share, add the first's record, and see it come; how long the log is then."""
    async with line(relay) as socket:
        mine = records(1, 1) if number % 4 == 0 else []
        await opened(socket, Owner(f"owner {number // 4}"), key_of(f"device {number % 4}"), records=mine)
        while True:
            page = await heard(socket)
            assert isinstance(page, wire.Entries), page
            if page.head.length:
                return page.head.length


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_thousand_idle_connections_fit_in_100_mb(tmp_path: Path) -> None:
    async def scenario(relay: RelayProcess) -> None:
        async with asyncio.TaskGroup() as group:
            quit_ = asyncio.Event()
            ready = asyncio.Semaphore(0)
            for number in range(2_000):
                group.create_task(_idles(relay, number, ready, quit_))
            for _ in range(2_000):
                await ready.acquire()
            await asyncio.sleep(1)
            memory = relay.memory()
            quit_.set()
        assert memory < 100 * 10**6, memory

    with relay_process(tmp_path) as relay:
        asyncio.run(scenario(relay))


async def _idles(relay: RelayProcess, number: int, ready: asyncio.Semaphore, quit_: asyncio.Event) -> None:
    async with line(relay) as socket:
        await opened(socket, Owner(f"owner {number}"), PHONE)
        assert isinstance(await heard(socket), wire.Entries)
        ready.release()
        await quit_.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_full_disk_refuses_records_reads_go_on_and_it_recovers(tmp_path: Path) -> None:
    async def scenario(relay: RelayProcess, disk: SmallDisk) -> None:
        async with line(relay) as socket:
            await opened(socket, ALICE, PHONE, frugal=True, records=records(1, 5))
            disk.fill()
            message, last = await _grow_until_refused(socket)
            assert message.reason == "unavailable"
            assert message.retry_ms > 0
            assert await asyncio.to_thread(seen_by_monitors, relay) == (503, "read-only")
            async with line(relay) as other:
                greeting = await opened(other, ALICE, LAPTOP)
                assert greeting.head.length >= 5
                page = await heard(other)
                assert isinstance(page, wire.Entries)
                assert [entry.data for entry in page.entries[:5]] == [one.data for one in records(1, 5)]
            disk.free()
            await said(socket, wire.Add(1, records(last, last, size=50_000)))
            while not isinstance(answer := await heard(socket), wire.Added):
                assert isinstance(answer, wire.Grown), answer
            assert answer.taken == last
            assert await asyncio.to_thread(seen_by_monitors, relay) == (200, "ok")

    disk = SmallDisk(tmp_path / "disk")
    if not disk.made:
        pytest.skip("no small disk can be mounted here")
    try:
        with relay_process(disk.folder) as relay:
            asyncio.run(scenario(relay, disk))
    finally:
        disk.close()


def seen_by_monitors(relay: RelayProcess) -> tuple[int, str]:
    """What monitors and balancers see."""
    host = urlsplit(relay.address).netloc
    try:
        with urllib.request.urlopen(f"http://{host}/health", timeout=30) as answer:
            return answer.status, json.load(answer)["status"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["status"]


async def _grow_until_refused(socket: ClientConnection) -> tuple[wire.Refusal, int]:
    for local in range(6, 500):
        await said(socket, wire.Add(1, records(local, local, size=50_000)))
        while isinstance(message := await heard(socket), wire.Grown):
            pass
        if isinstance(message, wire.Refusal):
            return message, local
    raise AssertionError("the disk is not full")


def test_a_relay_that_stops_tells_its_clients_when_to_come_again(tmp_path: Path) -> None:
    async def scenario(relay: RelayProcess) -> None:
        async with line(relay) as reader, line(relay) as writer:
            await opened(reader, ALICE, LAPTOP, frugal=True)
            await opened(writer, ALICE, PHONE, frugal=True)
            await said(writer, wire.Add(1, records(1, 500)))
            assert relay.process is not None
            relay.process.send_signal(signal.SIGTERM)
            answers = [*await _to_the_end(writer), *await _to_the_end(reader)]
            goodbyes = [one for one in answers if isinstance(one, wire.Refusal) and one.n == 0]
            assert [one.reason for one in goodbyes] == ["going-away"] * 2
            assert all(one.retry_ms > 0 for one in goodbyes)
            kept = any(isinstance(one, wire.Added) for one in answers)
        await asyncio.to_thread(relay.ended)
        await asyncio.to_thread(relay.start)
        async with line(relay) as again:
            assert (await opened(again, ALICE, PHONE)).taken == (500 if kept else 0)

    with relay_process(tmp_path) as relay:
        asyncio.run(scenario(relay))
        lines = [json.loads(text) for text in relay.said().splitlines()]
    assert [one["event"] for one in lines] == ["listening", "draining", "stopped", "listening"]
    assert PHONE.text not in relay.said()
