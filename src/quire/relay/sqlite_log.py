"""The log store in one SQLite file: the default of a relay, with nothing to install.

Owns: which appends share a transaction, and who waits for it. Must not know: SQL, sockets, quotas.

Appends that arrive while the disk is busy are written together when it is free again: with many devices one wait for
the disk serves all of them. Acknowledgements go with the next append, or after a while.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from quire.limits import ACK_DELAY_S, MAX_RELAY_WAITING_BYTES, MAX_WAITING_ACKS, RELAY_GROUP_RECORDS
from quire.net.relay_wire import Record
from quire.relay import sqlite_reads, sqlite_upkeep
from quire.relay.log_store import (
    Appended,
    Grown,
    Kept,
    Part,
    Position,
    Pruned,
    Retention,
    StoreBusy,
    StoreUnavailable,
    Tip,
    Usage,
)
from quire.relay.sqlite_file import LogFile
from quire.relay.sqlite_group import Group
from quire.relay.waiting_acks import WaitingAcks

_Result = TypeVar("_Result")
#: What a record that waits is counted as, beside its data (bytes).
_RECORD_BYTES = 256


class _Waiting(NamedTuple):
    """A piece of work that waits for its transaction; `done` is answered once that is on the disk."""

    work: Callable[[Group], Awaitable[Any]]
    records: int
    size: int
    done: "asyncio.Future[Any]"


class SqliteLog:
    """A `LogStore` in one file, which one process holds, used on one event loop.

    Raises HomeError or Damaged (quire.errors) where the file is held, cannot be used, is not a log store, is of
    another version, or damaged. It starts from a copy made by `backup()` as from any other file.
    """

    def __init__(self, path: Path) -> None:
        """Open the store, or make it."""
        self._file = LogFile(path)
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._writer: asyncio.Task[None] | None = None
        self._acks = WaitingAcks()
        self._acks_soon: asyncio.Task[None] | None = None
        self._watchers: list[Grown] = []
        self._foretold: list[Grown] = []

    async def append(self, mailbox: bytes, device: bytes, records: Sequence[Record], now: int) -> Appended:
        """As `LogStore.append`. StoreUnavailable also when more waits for the disk than it can take."""
        if not records:
            with self._file.reading() as db:
                had, tip, kept = sqlite_reads.standing(db, mailbox, device)
            return Appended(had, had, tip, kept)
        self._file.look_for_room()
        size = sum(len(record.data) + _RECORD_BYTES for record in records)
        return await self._write(
            lambda group: group.append(mailbox, device, records, now), len(records), size
        )

    async def acknowledge(self, mailbox: bytes, device: bytes, seq: int) -> None:
        """As `LogStore.acknowledge`. Written with the next append or soon after; by close() at the latest."""
        with self._file.reading() as db:
            seq = min(seq, sqlite_reads.length(db, mailbox))
        if seq <= 0:
            return
        self._acks.put(mailbox, device, seq)
        if len(self._acks) >= MAX_WAITING_ACKS:
            await self._write_acks()
        elif self._acks_soon is None or self._acks_soon.done():
            self._acks_soon = asyncio.create_task(self._write_acks_soon())

    async def read(self, mailbox: bytes, after: int, most_records: int, most_bytes: int) -> Part:
        """As `LogStore.read`."""
        with self._file.reading() as db:
            return sqlite_reads.read(db, mailbox, after, most_records, most_bytes)

    async def range(self, mailbox: bytes, low: str, high: str, limit: int, newest: bool) -> list[Kept]:
        """As `LogStore.range`."""
        with self._file.reading() as db:
            return sqlite_reads.by_sort_key(db, mailbox, low, high, limit, newest)

    async def positions(self, mailbox: bytes) -> dict[bytes, Position]:
        """As `LogStore.positions`."""
        with self._file.reading() as db:
            return self._acks.over(mailbox, sqlite_reads.positions(db, mailbox))

    async def news(self, mailbox: bytes, device: bytes, after: int) -> list[tuple[bytes, int]]:
        """As `LogStore.news`."""
        with self._file.reading() as db:
            return sqlite_reads.news(db, mailbox, device, after)

    async def served_under(self) -> bytes | None:
        """As `LogStore.served_under`."""
        with self._file.reading() as db:
            return sqlite_reads.served_under(db)

    async def serve_under(self, key: bytes, before: bytes | None) -> bytes:
        """As `LogStore.serve_under`."""
        return await sqlite_upkeep.serve_under(self._file, key, before)

    def watch(self, grown: Grown, growing: Grown | None = None) -> None:
        """As `LogStore.watch`: called on the event loop after the commit, and while it waits for the disk."""
        self._watchers.append(grown)
        self._foretold += [] if growing is None else [growing]

    async def prune(self, keep: Retention, now: int) -> Pruned:
        """As `LogStore.prune`; the file gives back what it will not soon need."""
        return await sqlite_upkeep.prune(self._file, keep, now)

    async def compact(self) -> None:
        """Give all space that nothing uses back to the disk."""
        await sqlite_upkeep.compact(self._file)

    async def backup(self, path: Path) -> None:
        """A consistent copy, with all that was acknowledged before the call. Raises HomeError."""
        await sqlite_upkeep.backup(self._file, path)

    async def usage(self) -> Usage:
        """As `LogStore.usage`."""
        with self._file.reading() as db:
            return Usage(*sqlite_reads.totals(db), self._file.size())

    async def check(self, writing: bool) -> None:
        """As `LogStore.check`. StoreReadOnly, as from append(), before the disk is quite full."""
        self._file.look_for_files()
        with self._file.reading() as db:
            sqlite_reads.totals(db)
        self._file.look_for_room()
        if writing:
            async with self._file.transaction() as db:
                db.execute("UPDATE totals SET records = records")

    async def close(self) -> None:
        """Finish what waits and let go of the file. Raises StoreUnavailable where that cannot be."""
        if self._acks_soon is not None:
            self._acks_soon.cancel()
        try:
            if self._acks:
                await self._write_acks()
        finally:
            while self._writer is not None:
                await self._writer
            self._file.close()

    async def _write_acks_soon(self) -> None:
        while self._acks:
            await asyncio.sleep(ACK_DELAY_S)
            with suppress(StoreUnavailable):  # they wait on; whoever appends or reads is told
                if self._acks:
                    await self._write_acks()

    async def _write_acks(self) -> None:
        """Every group takes those along that wait: one with nothing else."""
        await self._write(_nothing, 0, 0)

    async def _write(self, work: Callable[[Group], Awaitable[_Result]], records: int, size: int) -> _Result:
        if self._waiting_bytes + size > MAX_RELAY_WAITING_BYTES:
            raise StoreBusy(
                "The disk of the relay's store is slower than what arrives: too much waits for it. The relay takes "
                "more as soon as it has caught up; if that is often so, it needs a faster disk or fewer devices."
            )
        done: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(work, records, size, done))
        self._waiting_bytes += size
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all())
        return await done

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                await self._write_group(self._take())
        finally:
            self._writer = None

    def _take(self) -> list[_Waiting]:
        """The first that wait, as many as one transaction takes."""
        taken = [self._waiting.popleft()]
        room = RELAY_GROUP_RECORDS - taken[0].records
        while self._waiting and self._waiting[0].records <= room:
            taken.append(self._waiting.popleft())
            room -= taken[-1].records
        return taken

    async def _write_group(self, taken: list[_Waiting]) -> None:
        try:
            async with self._file.transaction() as db:
                group, acks = Group(db), self._acks.all()
                answers = [await _answer(one, group) for one in taken]
                for ack in acks:
                    await group.acknowledge(*ack)
                grown = group.save()
                asyncio.get_running_loop().call_soon(
                    _tell, self._foretold, grown
                )  # once the commit is under way
            self._acks.written(acks)
        except Exception as error:  # nothing of it was kept, and each of them has to know
            answers, grown = [error] * len(taken), {}
        finally:
            self._waiting_bytes -= sum(one.size for one in taken)
        for one, answer in zip(taken, answers, strict=True):
            if one.done.done():
                continue  # whoever waited has gone
            if isinstance(answer, Exception):
                one.done.set_exception(answer)
            else:
                one.done.set_result(answer)
        if grown:
            asyncio.get_running_loop().call_soon(_tell, self._watchers, grown)


def _tell(watchers: Sequence[Grown], grown: Mapping[bytes, Tip]) -> None:
    for mailbox, tip in grown.items():
        for watcher in watchers:
            watcher(mailbox, tip)


async def _nothing(_: Group) -> None:
    """No work: see `_write_acks`."""


async def _answer(one: _Waiting, group: Group) -> Any:
    """What a piece of work comes to, or that this one cannot be done; what else fails, fails for the whole group."""
    try:
        return await one.work(group)
    except StoreUnavailable as refused:
        return refused
