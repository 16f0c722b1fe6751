"""`quire relay serve` over a store that lies: a real relay with its real key, which signs whatever the store tells.

`lying_relay.py relay serve …`, where QUIRE_TEST_LIE names a file: while it is there, the lie that it names is told of
every mailbox with enough in it.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quire.cli import main
from quire.net import relay_wire as wire
from quire.net.relay_wire import NO_CHAIN, Record
from quire.relay.log_store import Grown, Kept, LogStore, Part, Tip
from quire.relay.nats_access import NatsAccess
from quire.relay.stores import open_store
from quire.runtime import relay_server

#: Nothing is lied about in a mailbox with fewer records: those of a door, for one.
ENOUGH = 4


def drop(log: list[Kept]) -> list[Kept]:
    return log[:1] + log[2:]


def reorder(log: list[Kept]) -> list[Kept]:
    return [log[1], log[0], *log[2:]]


def roll_back(log: list[Kept]) -> list[Kept]:
    return log[: len(log) // 2]


def duplicate(log: list[Kept]) -> list[Kept]:
    return [log[0], *log]


def invent(log: list[Kept]) -> list[Kept]:
    made = Record(1, log[0].record.ts, log[0].record.scope, bytes(600))
    return [Kept(0, b"n" * 32, made, wire.digest(b"n" * 32, made)), *log]


LIES = {lie.__name__: lie for lie in (drop, reorder, roll_back, duplicate, invent)}


class LyingStore:
    """A store, told otherwise than it is; what is kept is kept."""

    def __init__(self, store: LogStore, file: Path) -> None:
        self._store = store
        self._file = file
        self._told: set[asyncio.Task[None]] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, mailbox: bytes, device: bytes, records: Sequence[Record], now: int) -> Any:
        done = await self._store.append(mailbox, device, records, now)
        return done._replace(tip=_tip(await self._log(mailbox)))

    async def read(self, mailbox: bytes, after: int, most_records: int, most_bytes: int) -> Part:
        log = await self._log(mailbox)
        before = wire.link(NO_CHAIN, [one.digest for one in log[:after]])
        return Part(after + 1, before, log[after : after + most_records], _tip(log))

    async def acknowledge(self, mailbox: bytes, device: bytes, seq: int) -> None:
        await self._store.acknowledge(mailbox, device, min(seq, (await self._true(mailbox))[-1].seq))

    def watch(self, grown: Grown, growing: Grown | None = None) -> None:
        async def tell(mailbox: bytes) -> None:
            grown(mailbox, _tip(await self._log(mailbox)))

        def heard(mailbox: bytes, _tip: Tip) -> None:
            task = asyncio.ensure_future(tell(mailbox))
            self._told.add(task)
            task.add_done_callback(self._told.discard)

        self._store.watch(heard)

    async def _true(self, mailbox: bytes) -> list[Kept]:
        return (await self._store.read(mailbox, 0, 1_000_000, 1 << 40)).records

    async def _log(self, mailbox: bytes) -> list[Kept]:
        log = await self._true(mailbox)
        if self._file.exists() and len(log) >= ENOUGH:
            log = LIES[self._file.read_text()](log)
        return [one._replace(seq=place) for place, one in enumerate(log, 1)]


def _tip(log: list[Kept]) -> Tip:
    return Tip(len(log), wire.link(NO_CHAIN, [one.digest for one in log]))


async def _open(url: str, access: NatsAccess) -> LyingStore:
    return LyingStore(await open_store(url, access), Path(os.environ["QUIRE_TEST_LIE"]))


if __name__ == "__main__":
    relay_server.open_store = _open  # type: ignore[attr-defined, assignment]
    main()
