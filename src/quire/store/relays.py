"""What is known of relays: how far their mailboxes are read, what was handed to them, what they did wrong.

Owns: `relays`, `relay_mailboxes`, `relay_posts`, `relayed`, `relay_faults`; local facts, untouched by a rebuild.
Must not know: what a record holds, which relays a space uses.

Of what came from a relay, `relayed` holds 8 bytes of each sealed event's nonce until the events that arrived here are
looked through for what that relay lacks: so nothing is handed back to it.
"""

from collections.abc import Iterable
from typing import NamedTuple

from quire.limits import MAX_INTEGER
from quire.store.blobs import BlobRow
from quire.store.database import Database

_COLUMNS = "b.n, b.event_id, b.space, b.epoch, b.device, b.seq, b.ts, b.genuine, b.sealed"


class Use(NamedTuple):
    """One identity's use of a relay in one space, all as numbers."""

    account: int
    space: int
    relay: int


class MailboxRow(NamedTuple):
    """How far a mailbox is read and written: see `quire.net.relay_client.Mark`."""

    cursor: int
    chain: bytes
    local: int
    head_length: int
    head_chain: bytes
    head_sig: bytes


class Placed(NamedTuple):
    """An event with its place in the own log, or the number of its arrival here, and when it was received (ms)."""

    place: int
    row: BlobRow
    received_ts: int


class FaultRow(NamedTuple):
    """What a relay did wrong (a slug), when (ms), and the heads it signed before and then: (length, chain, sig)."""

    ts: int
    misdeed: str
    before: tuple[int, bytes, bytes]
    now: tuple[int, bytes, bytes]


class Relays:
    """On a home's database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def number(self, key: bytes) -> int:
        """The number of a relay, by its public key (32 bytes)."""
        self._db.execute("INSERT OR IGNORE INTO relays (key) VALUES (?)", (key,))
        row = self._db.one("SELECT n FROM relays WHERE key = ?", (key,))
        assert row is not None
        return int(row[0])

    def mailbox(self, use: Use, mailbox: bytes) -> MailboxRow | None:
        """How far a mailbox is read; None for one never opened."""
        row = self._db.one(
            "SELECT cursor, chain, local, head_length, head_chain, head_sig FROM relay_mailboxes"
            " WHERE account = ? AND space = ? AND relay = ? AND mailbox = ?",
            (*use, mailbox),
        )
        return None if row is None else MailboxRow(*row)

    def keep_mailbox(self, use: Use, mailbox: bytes, kept: MailboxRow) -> None:
        """Note how far a mailbox is read."""
        self._db.execute(
            "INSERT OR REPLACE INTO relay_mailboxes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*use, mailbox, *kept),
        )

    def reached(self, account: int, space: int) -> set[bytes]:
        """The public keys of the relays at which an identity ever read a mailbox of a space."""
        rows = self._db.execute(
            "SELECT DISTINCT r.key FROM relay_mailboxes AS m JOIN relays AS r ON r.n = m.relay"
            " WHERE m.account = ? AND m.space = ?",
            (account, space),
        )
        return {bytes(key) for (key,) in rows}

    def posted(self, use: Use) -> tuple[int, int]:
        """The place of the own log, and the arrival, up to which own and others' events were handed to the relay."""
        row = self._db.one(
            "SELECT own, others FROM relay_posts WHERE account = ? AND space = ? AND relay = ?", use
        )
        return (0, 0) if row is None else (int(row[0]), int(row[1]))

    def keep_posted(self, use: Use, own: int, others: int) -> None:
        """Note how far events were handed to the relay."""
        self._db.execute(
            "INSERT INTO relay_posts VALUES (?, ?, ?, ?, ?, 0) ON CONFLICT DO UPDATE"
            " SET own = excluded.own, others = excluded.others",
            (*use, own, others),
        )

    def miss(self, use: Use, records: int) -> None:
        """The relay had removed so many records before they were read."""
        self._db.execute(
            "INSERT INTO relay_posts VALUES (?, ?, ?, 0, 0, ?) ON CONFLICT DO UPDATE"
            " SET missed = missed + excluded.missed",
            (*use, records),
        )

    def missed(self, use: Use) -> int:
        """How many records the relay had removed before they were read."""
        row = self._db.one(
            "SELECT missed FROM relay_posts WHERE account = ? AND space = ? AND relay = ?", use
        )
        return 0 if row is None else int(row[0])

    def note(self, use: Use, nonces: Iterable[bytes]) -> None:
        """The relay has the sealed events with these nonces."""
        self._db.executemany(
            "INSERT OR IGNORE INTO relayed VALUES (?, ?, ?, ?)", [(*use, _short(one)) for one in nonces]
        )

    def noted(self, use: Use, nonces: Iterable[bytes]) -> set[bytes]:
        """Which of these the relay is known to have."""
        found = set()
        for nonce in nonces:
            row = self._db.one(
                "SELECT 1 FROM relayed WHERE account = ? AND space = ? AND relay = ? AND nonce = ?",
                (*use, _short(nonce)),
            )
            if row is not None:
                found.add(nonce)
        return found

    def forget_noted(self, use: Use, nonces: Iterable[bytes]) -> None:
        """What was noted of these is not needed any more."""
        self._db.executemany(
            "DELETE FROM relayed WHERE account = ? AND space = ? AND relay = ? AND nonce = ?",
            [(*use, _short(one)) for one in nonces],
        )

    def forget_all_noted(self, use: Use) -> None:
        """All that arrived here was looked through: what is noted still is of events that came twice."""
        self._db.execute("DELETE FROM relayed WHERE account = ? AND space = ? AND relay = ?", use)

    def start_over(self, use: Use) -> None:
        """Read and write everything anew: the relay has lost some of it."""
        for table in ("relay_mailboxes", "relay_posts", "relayed"):
            self._db.execute(f"DELETE FROM {table} WHERE account = ? AND space = ? AND relay = ?", use)

    def add_fault(self, use: Use, fault: FaultRow) -> None:
        """Note what a relay did wrong: the latest of each kind is kept, with what it signed."""
        self._db.execute(
            "INSERT OR REPLACE INTO relay_faults VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*use, fault.misdeed, fault.ts, *fault.before, *fault.now),
        )

    def faults(self, use: Use) -> list[FaultRow]:
        """What a relay did wrong, the latest first."""
        rows = self._db.all(
            "SELECT ts, misdeed, before_length, before_chain, before_sig, now_length, now_chain, now_sig"
            " FROM relay_faults WHERE account = ? AND space = ? AND relay = ? ORDER BY ts DESC, misdeed",
            use,
        )
        return [FaultRow(row[0], row[1], tuple(row[2:5]), tuple(row[5:8])) for row in rows]

    def own(self, account: int, space: int, device: int, after: int, limit: int) -> list[Placed]:
        """Events that this device wrote in a space, above a place of its log, by place; also those that wait."""
        rows = self._db.execute(
            f"SELECT b.seq, {_COLUMNS}, r.received_ts FROM blobs AS b"
            " CROSS JOIN received AS r ON r.account = ? AND r.space = b.space AND r.ts = b.ts AND r.event = b.n"
            " WHERE b.device = ? AND b.space = ? AND b.seq > ? ORDER BY b.seq LIMIT ?",
            (account, device, space, after, limit),
        )
        return [Placed(row[0], BlobRow(*row[1:10]), row[10]) for row in rows]

    def others(
        self, account: int, space: int, device: int, after: int, until: int, limit: int
    ) -> list[Placed]:
        """Events of other devices that became valid for an identity in a space: arrivals in (`after`, `until`]."""
        rows = self._db.execute(
            f"SELECT a.cursor, {_COLUMNS}, r.received_ts FROM arrivals AS a CROSS JOIN blobs AS b ON b.n = a.event"
            " CROSS JOIN received AS r ON r.account = a.account AND r.space = b.space AND r.ts = b.ts AND r.event = b.n"
            " WHERE a.account = ? AND a.cursor > ? AND a.cursor <= ? AND b.space = ? AND b.device <> ?"
            " ORDER BY a.cursor LIMIT ?",
            (account, after, until, space, device, limit),
        )
        return [Placed(row[0], BlobRow(*row[1:10]), row[10]) for row in rows]


def _short(nonce: bytes) -> int:
    return int.from_bytes(nonce[:8]) & MAX_INTEGER
