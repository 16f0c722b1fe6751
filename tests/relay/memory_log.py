"""The smallest store that keeps the rules: for tests of what stands in front of one."""

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence

from quire.net.relay_wire import NO_CHAIN, Record, digest, link, sort_key
from quire.relay.log_store import (
    Appended,
    Grown,
    Kept,
    Part,
    Position,
    Pruned,
    Retention,
    StoreDamaged,
    StoreReadOnly,
    StoreUnavailable,
    Tip,
    Usage,
)


class _Log:
    def __init__(self) -> None:
        self.records: list[Kept] = []
        self.chains = [NO_CHAIN]
        self.pruned = 0
        self.local: dict[bytes, int] = {}
        self.synced: dict[bytes, int] = {}

    @property
    def tip(self) -> Tip:
        return Tip(len(self.records), self.chains[-1])

    def size(self, device: bytes | None = None) -> int:
        kept = self.records[self.pruned :]
        return sum(len(one.record.data) for one in kept if device in (None, one.device))


class MemoryLog:
    """`down` makes it fail; `full` makes appends fail, `blind` reads, `damaged` reads for good; `reads` counts what was
    asked of it. A look at it waits for `checking`, where that is set.

    `late` tells those who watch only after the append was answered, as real stores do.
    """

    def __init__(self) -> None:
        self.logs: dict[bytes, _Log] = {}
        self.down = self.full = self.blind = self.late = self.closed = self.damaged = False
        self.reads = 0
        self.key: bytes | None = None
        self.appending: asyncio.Event | None = None
        self.checking: asyncio.Event | None = None
        self._watchers: list[Callable[[bytes, Tip], None]] = []

    async def _log(self, mailbox: bytes) -> _Log:
        await asyncio.sleep(0)
        if self.down:
            raise StoreUnavailable("down")
        return self.logs.get(mailbox) or _Log()

    async def append(self, mailbox: bytes, device: bytes, records: Sequence[Record], now: int) -> Appended:
        log = await self._log(mailbox)
        had = log.local.get(device, 0)
        new = [record for record in records if record.local > had]
        if new and self.full:
            raise StoreReadOnly("disk full")
        if new and self.appending is not None:
            await self.appending.wait()
        if new:
            self.logs[mailbox] = log
        for record in new:
            log.records.append(Kept(len(log.records) + 1, device, record, digest(device, record)))
            log.chains.append(link(log.chains[-1], [log.records[-1].digest]))
            log.local[device] = record.local
        for watcher in self._watchers if new else ():
            if self.late:
                asyncio.get_running_loop().call_later(0.001, watcher, mailbox, log.tip)
            else:
                asyncio.get_running_loop().call_soon(watcher, mailbox, log.tip)
        return Appended(had, log.local.get(device, 0), log.tip, log.size())

    async def read(self, mailbox: bytes, after: int, most_records: int, most_bytes: int) -> Part:
        self.reads += 1
        log = await self._log(mailbox)
        if self.damaged:
            raise StoreDamaged("damaged")
        if self.blind:
            raise StoreUnavailable("blind")
        after = max(after, log.pruned)
        found: list[Kept] = []
        size = 0
        for kept in log.records[after : after + most_records]:
            size += len(kept.record.data)
            if found and size > most_bytes:
                break
            found.append(kept)
        return Part(after + 1, log.chains[after], found, log.tip)

    async def range(self, mailbox: bytes, low: str, high: str, limit: int, newest: bool) -> list[Kept]:
        log = await self._log(mailbox)
        kept = log.records[log.pruned :]
        keyed = sorted((sort_key(one.record.ts, one.record.local, one.device), one) for one in kept)
        keys = [key for key, _ in keyed]
        found = [one for _, one in keyed[bisect_left(keys, low) : bisect_left(keys, high)]]
        return found[::-1][:limit] if newest else found[:limit]

    async def acknowledge(self, mailbox: bytes, device: bytes, seq: int) -> None:
        log = await self._log(mailbox)
        log.synced[device] = max(log.synced.get(device, 0), min(seq, log.tip.length))
        self.logs.setdefault(mailbox, log)

    async def positions(self, mailbox: bytes) -> dict[bytes, Position]:
        log = await self._log(mailbox)
        devices = [*log.local, *(one for one in log.synced if one not in log.local)]
        return {
            one: Position(log.local.get(one, 0), log.synced.get(one, 0), log.size(one)) for one in devices
        }

    async def news(self, mailbox: bytes, device: bytes, after: int) -> list[tuple[bytes, int]]:
        log = await self._log(mailbox)
        return list(Counter(one.device for one in log.records[after:] if one.device != device).items())

    async def served_under(self) -> bytes | None:
        return self.key

    async def serve_under(self, key: bytes, before: bytes | None) -> bytes:
        if self.key in (None, before):
            self.key = key
        assert self.key is not None
        return self.key

    def watch(self, grown: Grown, growing: Grown | None = None) -> None:
        self._watchers.append(grown)

    async def prune(self, keep: Retention, now: int) -> Pruned:
        removed = 0
        for log in self.logs.values():
            while keep.size and log.size() > keep.size:
                log.pruned += 1
                removed += 1
        return Pruned(removed, 0)

    async def usage(self) -> Usage:
        records = sum(len(log.records) - log.pruned for log in self.logs.values())
        return Usage(len(self.logs), records, sum(log.size() for log in self.logs.values()), 0)

    async def check(self, writing: bool) -> None:
        if self.checking is not None:
            await self.checking.wait()
        if self.down:
            raise StoreUnavailable("down")
        if self.full and writing:
            raise StoreReadOnly("disk full")

    async def close(self) -> None:
        self.closed = True
