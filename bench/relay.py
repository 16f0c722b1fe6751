"""Whole processes and a relay between them: what was written while everybody else slept is read from it alone; live
messages between two who cannot reach each other; many who only listen; clients in batches.
"""

import asyncio
import os
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from bench import payload
from bench.children import running
from bench.figures import Figure
from bench.homes import fill, founder, reopened, sealed_batches
from bench.network import Embedded
from bench.relays import Client, Relay, access, client, relay
from quire.core.sealing import NONCE_BYTES
from quire.events.context import Context
from quire.handlers import invite
from quire.handlers import relay as relays
from quire.net.mailbox import Access
from quire.net.relay_wire import Ack, Add, Added, Entries, Record

CLIENTS, EACH, BATCH = 10, 10_000, 100
#: Bytes of a sealed message, and the time of day (ms) at which it was handed over.
RECORD, NOW = 450, 1_700_000_000_000
IDLE = 2_000


def catch_up(folder: Path, count: int) -> list[Figure]:
    """An author writes `count` messages in bulk, hands them over and goes; a newcomer reads the relay alone."""
    with relay(folder / "relay") as there:
        link = _founded(folder / "left", there, count)
        author = Embedded("handed", folder / "left")
        with running(author):
            handing = (author.next()["done"] - author.ready["at"]) / 1e9
        handed, before = there.carried, there.memory_mb()
        newcomer = _newcomer(folder / "right", link, "listed", count)
        with running(newcomer):
            took = (newcomer.next()["done"] - newcomer.ready["at"]) / 1e9
            memory = newcomer.peak_mb()
        read = there.carried - handed
        name = f"{count:,} messages through a relay"
        return [
            Figure(f"{name}: handing over", count / handing, "events/s"),
            Figure(f"{name}: catch-up of a newcomer, listable", count / took, "events/s", ">= 25000"),
            Figure(f"{name}: bytes per message, handing over", handed / count, "bytes"),
            Figure(f"{name}: bytes per message, catch-up", read / count, "bytes"),
            Figure(f"{name}: resident memory of the relay, after handing over", before, "MB"),
            Figure(f"{name}: peak memory of the relay", there.memory_mb(peak=True), "MB"),
            Figure(f"{name}: peak memory of the newcomer", memory, "MB"),
        ]


def _founded(home: Path, there: Relay, count: int) -> str:
    """A home with a space that uses a relay, and messages; an invite link."""
    author = founder(home)
    relays.add(author, there.address)
    fill(author, count, payload.texts(5_000))
    link = invite.create(author).link
    author.home.close()
    return link


def _newcomer(home: Path, link: str, role: str, *given: object) -> Embedded:
    home.mkdir()
    join = [sys.executable, "-m", "quire", "--home", str(home), "join", link, "--name", "bob", "--json"]
    subprocess.run(join, check=True, stdout=subprocess.DEVNULL)
    return Embedded(role, home, *given, listen="[::1]:0")


def one_by_one(folder: Path, count: int) -> list[Figure]:
    """The same, with a record for each message, as messages that were sent one by one lie there."""
    with relay(folder / "relay") as there:
        link = _founded(folder / "left", there, 0)
        author = Embedded("handed", folder / "left")
        with running(author):
            author.next()
        ctx = reopened(folder / "left")
        fill(ctx, count, payload.texts(5_000))
        handing = asyncio.run(_hand_over(there, ctx))
        ctx.home.close()
        handed = there.carried
        newcomer = _newcomer(folder / "right", link, "listed", count)
        with running(newcomer):
            took = (newcomer.next()["done"] - newcomer.ready["at"]) / 1e9
        read = there.carried - handed
        name = f"{count:,} messages of a record each through a relay"
        return [
            Figure(f"{name}: handing over", handing, "events/s"),
            Figure(f"{name}: catch-up of a newcomer, listable", count / took, "events/s"),
            Figure(f"{name}: bytes per message, catch-up", read / count, "bytes"),
        ]


async def _hand_over(there: Relay, ctx: Context) -> float:
    """Hand over all of a home's messages, a hundred records to a message; how many in a second."""
    home, member = ctx.home, ctx.member
    epoch = home.store.names.key_id(max(member.contents))
    items = [one for batch in sealed_batches(ctx, BATCH) for one in batch if one.startswith(epoch)]
    secret = member.epochs[max(member.contents)][0]
    mailbox = Access(secret, there.key, member.device_key.seed, "space")
    async with client(there) as one:
        last = (await one.open(mailbox)).had
        start = time.perf_counter()
        for first in range(0, len(items), BATCH):
            sealed = [mailbox.seal([item], os.urandom(NONCE_BYTES)) for item in items[first : first + BATCH]]
            records = [Record(last + place, NOW, "space", data) for place, data in enumerate(sealed, 1)]
            await one.say(Add(1, records))
            last = (await one.hear(Added)).taken
        return len(items) / (time.perf_counter() - start)


def live(folder: Path) -> list[Figure]:
    """Between two nodes that cannot reach each other: one is at an IPv4 address, the other at an IPv6 address."""
    with relay(folder / "relay") as there:
        link = _founded(folder / "left", there, 0)
        author = Embedded("handed", folder / "left")
        with running(author):
            author.next()
        newcomer = _newcomer(folder / "right", link, "handed")
        with running(newcomer):
            newcomer.next()
        reader = Embedded("read", folder / "right", listen="[::1]:0")
        writer = Embedded("write", folder / "left")
        with running(reader, writer):
            said = reader.next()
    if said["met"]:
        raise RuntimeError("the two reached each other, so nothing is known of the relay")
    took = said["took"]
    return [
        Figure("live latency device-relay-device, median", took[len(took) // 2], "ms", "<= 3"),
        Figure("live latency device-relay-device, p99", took[len(took) * 99 // 100], "ms"),
    ]


def idle(folder: Path) -> list[Figure]:
    """What a relay takes for those who only listen."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * IDLE, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with relay(folder) as there:
        before = there.memory_mb()
        after = asyncio.run(_listen(there))
    name = f"resident memory of a relay with {IDLE:,} connections, each with a mailbox"
    return [
        Figure(name, after, "MB", "<= 100"),
        Figure("resident memory of a relay without connections", before, "MB"),
    ]


async def _listen(there: Relay) -> float:
    async with AsyncExitStack() as stack:
        for number in range(IDLE):
            one = await stack.enter_async_context(client(there))
            await one.open(access(there, f"mailbox {number}", f"device {number}"))
        await asyncio.sleep(1)
        return there.memory_mb()


def through(folder: Path) -> list[Figure]:
    """Records of a sealed message's size, in batches, through a relay process; then all of them read by others."""
    with relay(folder) as there:
        appends = asyncio.run(_timed(there, _append))
        reads = asyncio.run(_timed(there, _read))
        memory = there.memory_mb(peak=True)
    return [
        Figure(
            f"relay process, appends of {BATCH} from {CLIENTS} connections", appends, "records/s", ">= 20000"
        ),
        Figure(f"relay process, reads by {CLIENTS} connections", reads, "records/s", ">= 50000"),
        Figure("relay process, peak memory of these", memory, "MB"),
    ]


async def _timed(there: Relay, act: Callable[[Relay, Client, int], Awaitable[None]]) -> float:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client(there)) for _ in range(CLIENTS)]
        start = time.perf_counter()
        await asyncio.gather(*(act(there, one, number) for number, one in enumerate(clients)))
        return CLIENTS * EACH / (time.perf_counter() - start)


async def _append(there: Relay, one: Client, number: int) -> None:
    await one.open(access(there, f"mailbox {number}", f"device {number}"))
    data = [os.urandom(RECORD) for _ in range(BATCH)]
    for start in range(1, EACH + 1, BATCH):
        records = [Record(start + place, NOW, "space", each) for place, each in enumerate(data)]
        await one.say(Add(1, records))
        await one.hear(Added)


async def _read(there: Relay, one: Client, number: int) -> None:
    await one.open(access(there, f"mailbox {number}", "reader"))
    last = 0
    while last < EACH:
        page = await one.hear(Entries)
        last = page.first + len(page.entries) - 1
        await one.say(Ack(1, last))
