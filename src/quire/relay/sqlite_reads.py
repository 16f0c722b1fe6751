"""What is read from a SQLite log store: each a look-up by an index, on a connection that sees whole commits.

Owns: the queries. Must not know: writing, waiting, who asks.
"""

from typing import Any

import apsw

from quire.net.relay_wire import NO_CHAIN, Record
from quire.relay.log_store import Kept, Part, Position, Tip
from quire.relay.sqlite_group import PLACE_BITS

_PLACE = (1 << PLACE_BITS) - 1
_COLUMNS = (
    "log.n, d.device, log.local, log.ts, log.scope, log.data, log.digest"
    " FROM log CROSS JOIN devices AS d ON d.n = log.device"
)


def read(db: apsw.Connection, mailbox: bytes, after: int, most_records: int, most_bytes: int) -> Part:
    """As `LogStore.read`. After a place that is beyond the end it is as if it were the end."""
    box = _mailbox(db, mailbox, "n, floor, floor_chain, length, chain")
    if box is None:
        return Part(1, NO_CHAIN, [], Tip())
    n, floor, floor_chain, length, chain = box
    after = min(max(after, floor), length)
    base = n << PLACE_BITS
    before = floor_chain if after == floor else _chain_at(db, base | after)
    rows = db.execute(
        f"SELECT {_COLUMNS} WHERE log.n > ? AND log.n <= ? ORDER BY log.n LIMIT ?",
        (base | after, base | length, max(most_records, 1)),
    )
    return Part(after + 1, before, _up_to(rows, most_bytes), Tip(length, chain))


def _up_to(rows: apsw.Cursor, most_bytes: int) -> list[Kept]:
    kept: list[Kept] = []
    for n, device, local, ts, scope, data, hashed in rows:
        most_bytes -= len(data)
        if most_bytes < 0 and kept:
            break
        kept.append(Kept(n & _PLACE, device, Record(local, ts, scope, data), hashed))
    rows.close(True)
    return kept


def _chain_at(db: apsw.Connection, n: int) -> bytes:
    return bytes(db.execute("SELECT chain FROM log WHERE n = ?", (n,)).get)


def by_sort_key(
    db: apsw.Connection, mailbox: bytes, low: str, high: str, limit: int, newest: bool
) -> list[Kept]:
    """As `LogStore.range`."""
    rows = db.execute(
        f"SELECT {_COLUMNS} WHERE log.mailbox = (SELECT n FROM mailboxes WHERE mailbox = ?)"
        f" AND sort_key >= ? AND sort_key < ? ORDER BY sort_key {'DESC' if newest else 'ASC'} LIMIT ?",
        (mailbox, low, high, max(limit, 0)),
    )
    return [
        Kept(n & _PLACE, device, Record(local, ts, scope, data), hashed)
        for n, device, local, ts, scope, data, hashed in rows
    ]


def length(db: apsw.Connection, mailbox: bytes) -> int:
    """How many records a mailbox's log has had."""
    box = _mailbox(db, mailbox, "length")
    return 0 if box is None else int(box[0])


def standing(db: apsw.Connection, mailbox: bytes, device: bytes) -> tuple[int, Tip, int]:
    """The device's last local number, the mailbox's tip, and the bytes kept in it."""
    box = _mailbox(db, mailbox, "n, length, chain, size")
    if box is None:
        return 0, Tip(), 0
    n, length, chain, size = box
    sql = "SELECT local FROM devices WHERE mailbox = ? AND device = ?"
    return db.execute(sql, (n, device)).get or 0, Tip(length, chain), size


def positions(db: apsw.Connection, mailbox: bytes) -> dict[bytes, Position]:
    """As `LogStore.positions`."""
    rows = db.execute(
        "SELECT device, local, synced, size FROM devices"
        " WHERE mailbox = (SELECT n FROM mailboxes WHERE mailbox = ?)",
        (mailbox,),
    )
    return {device: Position(local, synced, size) for device, local, synced, size in rows}


def news(db: apsw.Connection, mailbox: bytes, device: bytes, after: int) -> list[tuple[bytes, int]]:
    """As `LogStore.news`: the number of a device's last record up to the place, taken from that of its last."""
    box = _mailbox(db, mailbox, "n")
    if box is None:
        return []
    (n,) = box
    rows = db.execute(
        "SELECT d.device, d.ever - coalesce((SELECT nth FROM log WHERE log.device = d.n AND log.n <= ?"
        " ORDER BY log.n DESC LIMIT 1), d.ever - d.records) AS lacking"
        " FROM devices AS d WHERE d.mailbox = ? AND d.device != ? AND lacking > 0 ORDER BY d.device",
        (n << PLACE_BITS | min(max(after, 0), _PLACE), n, device),
    )
    return [(other, lacking) for other, lacking in rows]


def served_under(db: apsw.Connection) -> bytes | None:
    """As `LogStore.served_under`."""
    found: bytes | None = db.execute("SELECT key FROM served").get
    return found


def totals(db: apsw.Connection) -> tuple[int, int, int]:
    """Mailboxes, records and bytes of data in the whole store."""
    mailboxes, records, size = db.execute("SELECT mailboxes, records, size FROM totals").get
    return mailboxes, records, size


def _mailbox(db: apsw.Connection, name: bytes, columns: str) -> tuple[Any, ...] | None:
    rows = db.execute(f"SELECT {columns} FROM mailboxes WHERE mailbox = ?", (name,)).fetchall()
    return rows[0] if rows else None
