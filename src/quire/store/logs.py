"""The logs that an identity holds in a space: how far without a gap, and the blobs of a part of one.

Owns: `frontiers`, brought up to date when it is asked for. Must not know: what is inside a blob, who asks.

Law. What is not genuine is in no log: anybody can claim a place of another's.

A log that may have lost its end in a power cut goes on in another part of its places (LOG_PART): each part is told of
as a log of its own.
"""

from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from quire.limits import LOG_PART, MAX_LOG_PARTS
from quire.store.database import Database


class LogHeight(NamedTuple):
    """`seq` is the last place of a part of a device's log that is held without a gap, `born` the timestamp of the first
    (ms).
    """

    device: str
    seq: int
    event_id: str
    born: int


class Part(NamedTuple):
    """Blobs of a log in order, by key id, and the last place among them."""

    groups: list[tuple[bytes, list[bytes]]]
    reached: int


class StoreLogs:
    """Of one identity in one space."""

    def __init__(self, db: Database, account: int, space: int) -> None:
        self._db = db
        self._account = account
        self._space = space

    def heights(self) -> list[LogHeight]:
        """Of every part of a log held from its beginning, but for logs of which two histories are known.

        Reads what has come since the last time. Only logs of devices that are, or were, a member's: anybody can make
        up others, and as many as would keep all true ones from being told of.
        """
        self.catch_up()
        rows = self._db.execute(
            "SELECT d.device, f.seq, f.event_id, f.born FROM member_devices AS m"
            " CROSS JOIN frontiers AS f ON f.account = m.account AND f.device = m.device"
            " CROSS JOIN devices AS d ON d.n = m.device"
            " WHERE m.account = ? AND m.space = ? AND m.device NOT IN (SELECT device FROM forks)"
            " ORDER BY f.born, d.device",
            (self._account, self._space),
        )
        return [LogHeight(*row) for row in rows]

    def catch_up(self) -> None:
        """Note how far the members' logs are held by now: reads what has come since the last time, once."""
        with self._db.transaction():
            rows = self._db.all(
                "SELECT m.device, f.part, f.seq FROM member_devices AS m"
                " LEFT JOIN frontiers AS f ON f.account = m.account AND f.device = m.device"
                " WHERE m.account = ? AND m.space = ?",
                (self._account, self._space),
            )
            held = {(device, part): seq for device, part, seq in rows if part is not None}
            for device in dict.fromkeys(device for device, _, _ in rows):
                self._advance_parts(device, held)

    def _advance_parts(self, device: int, held: dict[tuple[int, int], int]) -> None:
        part = 0
        for _ in range(MAX_LOG_PARTS):
            if not self._advance(device, part, held.get((device, part), part * LOG_PART)):
                return
            beyond = self._db.one(
                "SELECT seq FROM blobs WHERE device = ? AND seq > ? AND genuine = 1 ORDER BY seq LIMIT 1",
                (device, (part + 1) * LOG_PART),
            )
            if beyond is None:
                return
            part = beyond[0] // LOG_PART

    def _advance(self, device: int, part: int, seq: int) -> bool:
        """Note how far a part is held now that was held up to `seq`; whether anything is held beyond."""
        before, last, born = seq, "", 0
        gap = False
        for place, event_id, ts in self._held(device, seq):
            if gap := place > seq + 1:
                break
            if place > seq:  # else of another history than the one before it
                born = born or ts
                seq, last = place, event_id
        if seq > before:
            self._db.execute(
                "INSERT INTO frontiers VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
                " SET seq = excluded.seq, event_id = excluded.event_id",
                (self._account, device, part, seq, last, born),
            )
        return gap

    def _held(self, device: int, after: int) -> Iterable[tuple[int, str, int]]:
        """Place, id and timestamp of each, read as they are asked for."""
        return self._db.execute(
            "SELECT b.seq, b.event_id, b.ts FROM blobs AS b"
            " CROSS JOIN received AS r ON r.account = ? AND r.space = b.space AND r.ts = b.ts AND r.event = b.n"
            " WHERE b.device = ? AND b.seq > ? AND b.genuine = 1 ORDER BY b.seq",
            (self._account, device, after),
        )

    def reaches(self, device: str, seq: int) -> bool:
        """Whether the part of a device's log that has a place is held from its beginning up to there."""
        part = seq // LOG_PART
        with self._db.transaction():
            row = self._db.one("SELECT n FROM devices WHERE space = ? AND device = ?", (self._space, device))
            if row is None or seq < 1:
                return seq < 1
            self._advance(row[0], part, self._held_to(row[0], part))
            return self._held_to(row[0], part) >= seq

    def _held_to(self, device: int, part: int) -> int:
        row = self._db.one(
            "SELECT seq FROM frontiers WHERE account = ? AND device = ? AND part = ?",
            (self._account, device, part),
        )
        return part * LOG_PART if row is None else int(row[0])

    def id_at(self, device: str, seq: int) -> str:
        """The id of the event held at a place of a log; empty where there is none, or more than one."""
        rows = self._db.all(
            "SELECT b.event_id FROM devices AS d"
            " CROSS JOIN blobs AS b ON b.device = d.n AND b.seq = ? AND b.genuine = 1"
            " CROSS JOIN received AS r ON r.account = ? AND r.space = b.space AND r.ts = b.ts AND r.event = b.n"
            " WHERE d.space = ? AND d.device = ?",
            (seq, self._account, self._space, device),
        )
        return str(rows[0][0]) if len(rows) == 1 else ""

    def part(self, device: str, after: int, until: int, most_bytes: int) -> Part:
        """The blobs held of a log above `after`, up to `until`, and to about `most_bytes` of them."""
        rows = self._db.execute(
            "SELECT e.key_id, b.sealed, b.seq FROM devices AS d"
            " CROSS JOIN blobs AS b ON b.device = d.n AND b.seq > ? AND b.seq <= ? AND b.genuine = 1"
            " CROSS JOIN received AS r ON r.account = ? AND r.space = b.space AND r.ts = b.ts AND r.event = b.n"
            " CROSS JOIN epochs AS e ON e.n = b.epoch WHERE d.space = ? AND d.device = ? ORDER BY b.seq",
            (after, until, self._account, self._space, device),
        )
        found: list[tuple[bytes, bytes]] = []
        size = 0
        for key_id, sealed, seq in rows:
            found.append((key_id, sealed))
            after = seq
            size += len(sealed)
            if size >= most_bytes:
                break
        return Part(_by_key(found), after)


def _by_key(found: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, list[bytes]]]:
    return [(key_id, [blob for _, blob in run]) for key_id, run in groupby(found, itemgetter(0))]
