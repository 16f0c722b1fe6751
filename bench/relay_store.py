"""A relay's store in a file, alone: appends of many devices at once, with hashes and chain, and reads."""

import asyncio
import os
import time
from pathlib import Path

from bench.figures import Figure
from quire.limits import RELAY_PAGE_BYTES
from quire.net.relay_wire import Record
from quire.relay.sqlite_log import SqliteLog

CLIENTS = 10
#: Records of about 450 bytes: a sealed message.
SIZE = 450
NOW = 1_700_000_000_000


def sqlite(folder: Path) -> list[Figure]:
    """Ten clients, each with a mailbox of its own; then all of one mailbox's; then everything read in pages."""
    folder.mkdir()
    figures = []
    for batch, count, wanted in ((1, 10_000, ""), (10, 50_000, ""), (100, 100_000, ">= 20000")):
        rate = asyncio.run(_appends(folder / f"{batch}.db", batch, count, shared=False))
        figures.append(Figure(f"relay store, appends of {batch} from 10 clients", rate, "records/s", wanted))
    rate = asyncio.run(_appends(folder / "shared.db", 100, 100_000, shared=True))
    figures.append(Figure("relay store, appends of 100 to one mailbox", rate, "records/s", ">= 20000"))
    whole = asyncio.run(_reads(folder / "100.db"))
    return [*figures, Figure("relay store, reads in pages", whole, "records/s", ">= 50000")]


async def _appends(path: Path, batch: int, count: int, shared: bool) -> float:
    store = SqliteLog(path)
    data = [os.urandom(SIZE) for _ in range(1_000)]

    async def client(number: int) -> None:
        mailbox, device = _mailbox(0 if shared else number), bytes([number]) * 32
        for start in range(1, count // CLIENTS + 1, batch):
            records = [Record(n, NOW + n, "space", data[n % len(data)]) for n in range(start, start + batch)]
            await store.append(mailbox, device, records, NOW + start)

    began = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    rate = count / (time.perf_counter() - began)
    await store.close()
    return rate


async def _reads(path: Path) -> float:
    store = SqliteLog(path)
    total = (await store.usage()).records

    async def client(number: int) -> int:
        after = 0
        while records := (await store.read(_mailbox(number), after, 4_096, RELAY_PAGE_BYTES)).records:
            after = records[-1].seq
        return after

    began = time.perf_counter()
    read = sum(await asyncio.gather(*(client(number) for number in range(CLIENTS))))
    rate = read / (time.perf_counter() - began)
    assert read == total
    await store.close()
    return rate


def _mailbox(number: int) -> bytes:
    return bytes([100 + number]) * 32
