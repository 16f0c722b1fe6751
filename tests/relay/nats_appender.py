"""A relay process's store that is there to be killed: it appends from many devices, and says what is acknowledged.

`nats_appender.py URL FIRST`: devices FIRST to FIRST + DEVICES - 1 append to a mailbox each and to one that all share.
Each line on standard output is `mailbox device local`: the device's last number that was acknowledged.
"""

import asyncio
import os
import sys
from random import Random

from quire.relay.log_store import LogStore, StoreUnavailable
from quire.relay.stores import open_store
from tests.relay.log_model import T0, name, records

DEVICES = 5
#: The number of the mailbox that all share.
SHARED = 0


async def append_forever(store: LogStore, mailbox: int, device: int) -> None:
    random = Random()
    local = 0
    while True:
        added = records(max(1, local - random.randrange(3)), random.choice((4, 9, 60)), size=300, seed=device)
        try:
            done = await store.append(name("mailbox", mailbox), name("device", device), added, T0)
        except StoreUnavailable:
            continue  # the same again: what was kept all the same is skipped
        local = done.taken
        os.write(1, f"{mailbox} {device} {local}\n".encode())


async def main(url: str, first: int) -> None:
    store = await open_store(url)
    pairs = [(mailbox, device) for device in range(first, first + DEVICES) for mailbox in (SHARED, device)]
    await asyncio.gather(*(append_forever(store, *pair) for pair in pairs))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
