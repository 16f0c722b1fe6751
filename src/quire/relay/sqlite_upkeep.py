"""The upkeep of a SQLite log store while it runs: its relay's key, retention, giving space back, copies.

Owns: the steps that these are made of, each short, with room for appends in between. Must not know: when it is time.
"""

import asyncio
from collections import Counter
from contextlib import closing
from pathlib import Path

import apsw

from quire.limits import RELAY_STEP_MAILBOXES, RELAY_STEP_PAGES, RELAY_STEP_RECORDS
from quire.relay import sqlite_copy, sqlite_reads
from quire.relay.log_store import Pruned, Retention
from quire.relay.sqlite_file import LogFile
from quire.relay.sqlite_group import PLACE_BITS

#: After a pruning the file keeps this share of itself free, for what comes next.
SPARE_SHARE = 8
#: More bytes than any mailbox has.
_ALL = 1 << 62


async def serve_under(file: LogFile, key: bytes, before: bytes | None) -> bytes:
    """As `LogStore.serve_under`."""
    async with file.transaction() as db:
        known = sqlite_reads.served_under(db)
        if known is not None and known != before:
            return known
        db.execute("DELETE FROM served")
        db.execute("INSERT INTO served VALUES (?)", (key,))
        return key


async def prune(file: LogFile, keep: Retention, now: int) -> Pruned:
    """As `LogStore.prune`. Raises StoreUnavailable; what was removed until then is."""
    removed = Pruned(0, 0)
    n = 1
    with file.reading() as db:
        last = db.execute("SELECT max(n) FROM mailboxes").get or 0
    while n <= last:
        with file.reading() as db:
            due = _due(db, n, keep, now)
        if due is None:
            n += RELAY_STEP_MAILBOXES
            await asyncio.sleep(0)
            continue
        n = due
        step = await _prune_step(file, n, keep, now)
        n += not step.records
        removed = Pruned(removed.records + step.records, removed.size + step.size)
    if removed.records:
        await compact(file, SPARE_SHARE)
    return removed


def _due(db: apsw.Connection, n: int, keep: Retention, now: int) -> int | None:
    """The next mailbox of which something is to be removed, among a bounded number from `n` on."""
    sql = (
        "SELECT n FROM mailboxes WHERE n >= ? AND n < ? AND (oldest < ? OR size > ? OR oldest IS NULL AND size > ?)"
        " ORDER BY n LIMIT 1"
    )
    bounds = now - keep.age if keep.age else -1, keep.size or _ALL, keep.lasting if keep.age else _ALL
    found: int | None = db.execute(sql, (n, n + RELAY_STEP_MAILBOXES, *bounds)).get
    return found


async def _prune_step(file: LogFile, n: int, keep: Retention, now: int) -> Pruned:
    """Remove the first records of one mailbox, as many as one step may."""
    async with file.transaction() as db:
        floor, size = db.execute("SELECT floor, size FROM mailboxes WHERE n = ?", (n,)).get
        first = n << PLACE_BITS | floor
        going: list[tuple[int, int, bytes]] = []
        oldest: int | None = None
        sql = "SELECT scope, arrived, device, length(data), chain FROM log WHERE n > ? AND n < ? ORDER BY n LIMIT ?"
        for scope, arrived, device, length, chain in db.execute(
            sql, (first, n + 1 << PLACE_BITS, RELAY_STEP_RECORDS + 1)
        ):
            if len(going) == RELAY_STEP_RECORDS or not keep.removes(scope, arrived, size, now):
                oldest = arrived if scope == "space" else None
                break
            going.append((device, length, chain))
            size -= length
        if not going:
            return Pruned(0, 0)
        _note_removed(db, n, floor + len(going), going, oldest)
        last = first + len(going)
        await file.in_thread(lambda: db.execute("DELETE FROM log WHERE n > ? AND n <= ?", (first, last)))
        return Pruned(len(going), sum(length for _, length, _ in going))


def _note_removed(
    db: apsw.Connection, n: int, floor: int, going: list[tuple[int, int, bytes]], oldest: int | None
) -> None:
    sizes: Counter[int] = Counter()
    counts: Counter[int] = Counter()
    for device, length, _ in going:
        sizes[device] += length
        counts[device] += 1
    total = sizes.total()
    db.execute(
        "UPDATE mailboxes SET floor = ?, floor_chain = ?, size = size - ?, oldest = ? WHERE n = ?",
        (floor, going[-1][2], total, oldest, n),
    )
    db.executemany(
        "UPDATE devices SET size = size - ?, records = records - ? WHERE n = ?",
        [(sizes[device], counts[device], device) for device in counts],
    )
    db.execute("UPDATE totals SET records = records - ?, size = size - ?", (len(going), total))


async def compact(file: LogFile, spare_share: int = 0) -> None:
    """Give space that nothing uses back to the disk, but for one part in `spare_share` of the file (0: all).

    Raises StoreUnavailable; what was given back until then is.
    """
    with file.reading() as db:
        free, pages = db.pragma("freelist_count"), db.pragma("page_count")
    spare = pages // spare_share if spare_share else 0
    if free <= spare:
        return
    for start in range(spare, free, RELAY_STEP_PAGES):
        count = min(RELAY_STEP_PAGES, free - start)
        async with file.transaction() as db:
            db.execute(f"PRAGMA incremental_vacuum({count})").fetchall()
        await asyncio.sleep(0)
    async with file.held() as db:  # it is the checkpoint that cuts the file off
        with file.plain_errors():
            await file.in_thread(lambda: db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())


async def backup(file: LogFile, path: Path) -> None:
    """Copy the store as it is at the end of the copying; the copy is there whole, or not at all.

    Raises HomeError where that cannot be done, Damaged where the store is; it is as it was.
    """
    with sqlite_copy.begun(file.path, path) as part:
        await _copy(file, part)
        await asyncio.to_thread(sqlite_copy.check, file.path, part)
        sqlite_copy.finish(part, path)


async def _copy(file: LogFile, part: Path) -> None:
    """Page by page on the connection that writes, so that what is written meanwhile goes into the copy too."""
    with closing(apsw.Connection(str(part))) as copy:
        copy.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")  # it is thrown away if it fails
        async with file.held() as db:
            copying = copy.backup("main", db, "main")
        with copying:
            while not copying.done:
                async with file.held():
                    await file.in_thread(lambda: copying.step(RELAY_STEP_PAGES))
