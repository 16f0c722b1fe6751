"""A program that is there to be killed: it appends to a SQLite store from many devices, and says what is acknowledged.

`appender.py FILE [most bytes kept in a mailbox]`. Each line on standard output is `mailbox device local`, the device's
last number that was acknowledged; `begin` before the store is opened, and `unavailable TEXT` when it refused.
"""

import asyncio
import os
import sys
from pathlib import Path
from random import Random

from quire.relay.log_store import Retention, StoreUnavailable
from quire.relay.sqlite_log import SqliteLog
from tests.relay.log_model import T0, name, records

MAILBOXES = 3
DEVICES = 6


def mailbox_name(number: int) -> bytes:
    return name("mailbox", number)


def device_name(number: int) -> bytes:
    return name("device", number)


def tell(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def append_forever(store: SqliteLog, mailbox: int, device: int) -> None:
    random = Random()
    local = (await store.append(mailbox_name(mailbox), device_name(device), [], T0)).taken
    while True:
        added = records(max(1, local - random.randrange(3)), random.choice((1, 5, 60)), size=300, seed=device)
        try:
            done = await store.append(mailbox_name(mailbox), device_name(device), added, T0)
            assert done.had == local
            local = done.taken
            tell(mailbox, device, local)
            await store.acknowledge(mailbox_name(mailbox), device_name(device), done.tip.length)
        except StoreUnavailable as refused:
            tell("unavailable", refused)
            await asyncio.sleep(0.02)


async def prune_forever(store: SqliteLog, size: int) -> None:
    while True:
        await asyncio.sleep(0.01)
        try:
            await store.prune(Retention(size=size), T0)
            await store.compact()
        except StoreUnavailable as refused:
            tell("unavailable", refused)


async def main(path: Path, size: int) -> None:
    tell("begin")
    store = SqliteLog(path)
    upkeep = [prune_forever(store, size)] if size else []
    pairs = [(mailbox, device) for mailbox in range(MAILBOXES) for device in range(DEVICES)]
    await asyncio.gather(*(append_forever(store, *pair) for pair in pairs), *upkeep)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
