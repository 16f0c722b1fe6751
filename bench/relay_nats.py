"""The relay's JetStream store on three servers of this machine: appends from ten clients, reads."""

import asyncio
import time
from pathlib import Path

from bench.figures import Figure
from quire.limits import RELAY_PAGE_BYTES
from quire.net.relay_wire import Record
from quire.relay.log_store import LogStore
from quire.relay.stores import open_store
from tests.relay.cluster import Cluster

CLIENTS = 10
BATCH = 100
BATCHES = 40
BYTES = 400
DATA = bytes(BYTES)


def replicated(folder: Path) -> list[Figure]:
    """Records of 400 bytes, a hundred to an append: to a mailbox each, then all to one; and what was kept, read."""
    found = []
    for synced in (False, True):
        (folder / str(synced)).mkdir(parents=True)
        with Cluster(folder / str(synced), synced=synced) as cluster:
            found += asyncio.run(_synced(cluster.url) if synced else _measured(cluster.url))
    return found


async def _synced(url: str) -> list[Figure]:
    """The same where servers sync to their disks before they answer."""
    store = await open_store(url)
    apart = await _append(store, [_name(b"box", n) for n in range(CLIENTS)])
    alone = await _one_by_one(store)
    await store.close()
    return [
        Figure(
            "JetStream, sync_interval: always: appends from 10 clients, a mailbox each", apart, "records/s"
        ),
        Figure("JetStream, sync_interval: always: one append of one record", alone, "ms"),
    ]


async def _measured(url: str) -> list[Figure]:
    store = await open_store(url)
    apart = await _append(store, [_name(b"box", n) for n in range(CLIENTS)])
    together = await _append(store, [_name(b"one", 0)] * CLIENTS)
    second = await open_store(url)
    contended = await _append(store, [_name(b"two", 0)] * CLIENTS, second)
    await store.close()
    await second.close()
    store = await open_store(url)  # remembers nothing
    cold, warm = await _read(store, _name(b"one", 0)), await _read(store, _name(b"one", 0))
    alone = await _one_by_one(store)
    await store.close()
    return [
        Figure(
            "JetStream, three replicas: appends from 10 clients, a mailbox each",
            apart,
            "records/s",
            ">= 10000",
        ),
        Figure(
            "JetStream, three replicas: appends from 10 clients, one mailbox",
            together,
            "records/s",
            ">= 10000",
        ),
        Figure("the same through two connections", contended, "records/s"),
        Figure("JetStream: reads, nothing remembered", cold, "records/s", ">= 50000"),
        Figure("JetStream: reads, what was read lately", warm, "records/s", ">= 50000"),
        Figure("JetStream: one append of one record", alone, "ms"),
    ]


def _name(kind: bytes, number: int) -> bytes:
    return kind.ljust(31, b".") + bytes([number])


async def _append(store: LogStore, mailboxes: list[bytes], second: LogStore | None = None) -> float:
    stores = [store, second or store]

    async def client(number: int) -> None:
        for batch in range(BATCHES):
            first = batch * BATCH + 1
            records = [Record(n, n, "space", DATA) for n in range(first, first + BATCH)]
            await stores[number % 2].append(mailboxes[number], _name(b"device", number), records, 0)

    start = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return CLIENTS * BATCHES * BATCH / (time.perf_counter() - start)


async def _read(store: LogStore, mailbox: bytes) -> float:
    start, after = time.perf_counter(), 0
    while (part := await store.read(mailbox, after, 4_096, RELAY_PAGE_BYTES)).records:
        after = part.records[-1].seq
    assert after == CLIENTS * BATCHES * BATCH
    return after / (time.perf_counter() - start)


async def _one_by_one(store: LogStore) -> float:
    taken = []
    for n in range(1, 202):
        start = time.perf_counter()
        await store.append(_name(b"alone", 0), _name(b"device", 0), [Record(n, n, "space", DATA)], 0)
        taken.append(time.perf_counter() - start)
    return sorted(taken)[len(taken) // 2] * 1_000
