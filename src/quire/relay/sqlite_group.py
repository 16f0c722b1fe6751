"""What one transaction of a SQLite log store adds: the appends and acknowledgements that it takes together.

Owns: the rows of a mailbox, its devices and its log as they grow. Must not know: when it is committed, who waits.

Nothing here grows with history: a mailbox and a device are read once in a transaction and written back once.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from quire.limits import MAX_RELAY_LOG_RECORDS
from quire.net.relay_wire import NO_CHAIN, Record, digest, link, sort_key
from quire.relay.log_store import Appended, StoreBusy, Tip

#: `log.n` of a place is mailbox << PLACE_BITS | place.
PLACE_BITS = 32
#: Records that are hashed and inserted before others have their turn on the event loop: about a millisecond.
SLICE = 64

_INSERT = (
    "INSERT INTO log (n, device, nth, local, ts, arrived, scope, sort_key, digest, chain, data)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(slots=True)
class _Mailbox:
    n: int
    length: int
    chain: bytes
    floor: int
    size: int
    oldest: int | None
    changed: bool = False


@dataclass(slots=True)
class _Device:
    n: int
    local: int
    synced: int
    size: int
    records: int
    ever: int
    changed: bool = False


class Group:
    """The work of one transaction on a connection that has begun it. Any method may raise apsw.Error."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._mailboxes: dict[bytes, _Mailbox] = {}
        self._devices: dict[tuple[int, bytes], _Device] = {}
        self._made = self._records = self._size = 0
        self._turn = 0

    async def append(self, mailbox: bytes, device: bytes, records: Sequence[Record], now: int) -> Appended:
        """As `LogStore.append`; raises StoreBusy, with nothing done, where a log has no places left."""
        box, had = self._mailbox(mailbox), 0
        writer = self._device(box, device) if box else None
        if writer:
            had = writer.local
        fresh = _fresh(records, had)
        if not fresh:
            return Appended(had, had, _tip(box), box.size if box else 0)
        if box and box.length + len(fresh) > MAX_RELAY_LOG_RECORDS:
            raise StoreBusy("This mailbox has as many records as one can have. Its devices need a new one.")
        box = box or self._new_mailbox(mailbox)
        writer = writer or self._new_device(box, device)
        for start in range(0, len(fresh), SLICE):
            part = fresh[start : start + SLICE]
            self._insert(box, writer, device, part, now)
            await self._let_others_run(len(part))
        return Appended(had, writer.local, _tip(box), box.size)

    def _insert(self, box: _Mailbox, writer: _Device, device: bytes, records: list[Record], now: int) -> None:
        rows = []
        chain, n, nth, size = box.chain, box.n << PLACE_BITS | box.length, writer.ever, 0
        for record in records:
            local, ts, scope, data = record
            hashed = digest(device, record)
            chain = link(chain, (hashed,))
            n += 1
            nth += 1
            size += len(data)
            key = sort_key(ts, local, device)
            rows.append((n, writer.n, nth, local, ts, now, scope, key, hashed, chain, data))
        self._db.executemany(_INSERT, rows)
        if box.length == box.floor:
            box.oldest = now if records[0].scope == "space" else None
        box.length += len(rows)
        box.chain = chain
        box.size += size
        writer.local = records[-1].local
        writer.size += size
        writer.records += len(rows)
        writer.ever = nth
        box.changed = writer.changed = True
        self._records += len(rows)
        self._size += size

    async def acknowledge(self, mailbox: bytes, device: bytes, seq: int) -> None:
        """As `LogStore.acknowledge`."""
        box = self._mailbox(mailbox)
        seq = min(seq, box.length) if box else 0
        if box is None or seq <= 0:
            return
        reader = self._device(box, device) or self._new_device(box, device)
        if seq > reader.synced:
            reader.synced = seq
            reader.changed = True
        await self._let_others_run(1)

    def save(self) -> dict[bytes, Tip]:
        """Write what has changed; the mailboxes that grew."""
        boxes = {name: box for name, box in self._mailboxes.items() if box.changed}
        devices = [device for device in self._devices.values() if device.changed]
        self._db.executemany(
            "UPDATE mailboxes SET length = ?, chain = ?, size = ?, oldest = ? WHERE n = ?",
            [(box.length, box.chain, box.size, box.oldest, box.n) for box in boxes.values()],
        )
        self._db.executemany(
            "UPDATE devices SET local = ?, synced = ?, size = ?, records = ?, ever = ? WHERE n = ?",
            [(one.local, one.synced, one.size, one.records, one.ever, one.n) for one in devices],
        )
        if boxes:
            added = (self._made, self._records, self._size)
            self._db.execute(
                "UPDATE totals SET mailboxes = mailboxes + ?, records = records + ?, size = size + ?", added
            )
        return {name: _tip(box) for name, box in boxes.items()}

    def _mailbox(self, name: bytes) -> _Mailbox | None:
        if (known := self._mailboxes.get(name)) is not None:
            return known
        sql = "SELECT n, length, chain, floor, size, oldest FROM mailboxes WHERE mailbox = ?"
        for row in self._db.execute(sql, (name,)):
            return self._mailboxes.setdefault(name, _Mailbox(*row))
        return None

    def _device(self, box: _Mailbox, name: bytes) -> _Device | None:
        if (known := self._devices.get((box.n, name))) is not None:
            return known
        sql = "SELECT n, local, synced, size, records, ever FROM devices WHERE mailbox = ? AND device = ?"
        for row in self._db.execute(sql, (box.n, name)):
            return self._devices.setdefault((box.n, name), _Device(*row))
        return None

    def _new_mailbox(self, name: bytes) -> _Mailbox:
        sql = "INSERT INTO mailboxes (mailbox, length, chain, floor, floor_chain, size) VALUES (?, 0, ?, 0, ?, 0)"
        self._db.execute(sql, (name, NO_CHAIN, NO_CHAIN))
        self._made += 1
        made = _Mailbox(self._db.last_insert_rowid(), 0, NO_CHAIN, 0, 0, None)
        return self._mailboxes.setdefault(name, made)

    def _new_device(self, box: _Mailbox, name: bytes) -> _Device:
        sql = "INSERT INTO devices (mailbox, device, local, synced, size, records, ever) VALUES (?, ?, 0, 0, 0, 0, 0)"
        self._db.execute(sql, (box.n, name))
        return self._devices.setdefault((box.n, name), _Device(self._db.last_insert_rowid(), 0, 0, 0, 0, 0))

    async def _let_others_run(self, done: int) -> None:
        self._turn += done
        if self._turn >= SLICE:
            self._turn = 0
            await asyncio.sleep(0)


def _fresh(records: Sequence[Record], had: int) -> list[Record]:
    """Those above the device's last number, which each of them moves on."""
    fresh = []
    for record in records:
        if record.local > had:
            had = record.local
            fresh.append(record)
    return fresh


def _tip(box: _Mailbox | None) -> Tip:
    return Tip(box.length, box.chain) if box else Tip()
