"""The event log: blobs stored once, who holds which, each device's log, and the order of arrival.

Owns: `blobs`, `forks`, `received`, `arrivals`. Must not know: keys, or what is inside a blob.
All writes take whole batches; callers hold the transaction.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from operator import eq, itemgetter
from typing import NamedTuple

import orjson

from quire.limits import EVENTS_AT_HAND, MAX_INTEGER
from quire.store.database import Database
from quire.store.ids import Ids

VALID, BLOCKED, UNSUPPORTED = 0, 1, 2


class BlobRow(NamedTuple):
    """A row of `blobs`: one event as its author sealed it."""

    n: int
    event_id: str
    space: int
    epoch: int
    device: int
    seq: int
    ts: int
    genuine: int
    sealed: bytes


#: A row of `blobs` to insert, in the order of BlobRow. A bare tuple: one is made for every event.
NewBlob = tuple[int, str, int, int, int, int, int, int, bytes]

#: A row of `received`: account, space, ts, event, state, received_ts. A bare tuple: one is made for every event.
Held = tuple[int, int, int, int, int, int]

#: From so many events on, one statement for all of them is faster than one for each.
_RUN = 16

_COLUMNS = "b.n, b.event_id, b.space, b.epoch, b.device, b.seq, b.ts, b.genuine, b.sealed"


def as_run(numbers: Sequence[int]) -> range | None:
    """Numbers that follow each other, as a range; None for any others, and for few."""
    if len(numbers) < _RUN or numbers[-1] - numbers[0] + 1 != len(numbers):
        return None
    run = range(numbers[0], numbers[-1] + 1)
    return run if all(map(eq, numbers, run)) else None


class Blobs:
    """The tables of the event log."""

    def __init__(self, db: Database, ids: Ids) -> None:
        self._db = db
        self._ids = ids
        self._next: int | None = None
        self._heads: dict[int, tuple[int, str]] = {}
        self._tops: dict[int, int] = {}
        #: The last event that was stored by itself; the last few such by account, space and id, where they are held.
        self._lone: BlobRow | None = None
        self._at_hand: dict[tuple[int, int, str], BlobRow] = {}
        self._forked: dict[int, set[int]] | None = None
        db.on_rollback(self._forget)

    def _forget(self) -> None:
        self._next = None
        self._heads.clear()
        self._tops.clear()
        self._lone = None
        self._at_hand.clear()
        self._forked = None

    def mark_genuine(self, rows: Sequence[BlobRow]) -> None:
        """Note that stored blobs have been vouched for."""
        for device in {row.device: None for row in rows}:
            self.head(device)  # known from before, or one of these rows would be taken for it
        self._db.executemany("UPDATE blobs SET genuine = 1 WHERE n = ?", [(row.n,) for row in rows])
        self._extend_logs([row._replace(genuine=1) for row in rows])

    def take_numbers(self, count: int) -> range:
        """The next `count` event numbers."""
        if self._next is None:
            row = self._db.one("SELECT max(n) FROM blobs")
            self._next = 1 + (row[0] or 0 if row else 0)
        first = self._next
        self._next += count
        return range(first, first + count)

    def insert(self, rows: Sequence[NewBlob]) -> None:
        """Add blobs whose numbers were taken by `take_numbers`."""
        devices = {row[4]: None for row in rows}
        for device in devices:
            self.head(device)  # known from before these rows, or their own places would look taken
        self._db.executemany("INSERT INTO blobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self._ids.add(rows)
        self._extend_logs(rows)
        if len(rows) == 1:
            self._lone = lone = BlobRow(*rows[0])
            if lone.seq > self._tops.get(lone.device, MAX_INTEGER):
                self._tops[lone.device] = lone.seq
        else:
            for device in devices:
                self._tops.pop(device, None)

    def known(self, account: int, space: int, ids: Sequence[str]) -> dict[str, tuple[int, int | None]]:
        """Event id → (number, state for this account or None where it does not hold it), for known ids."""
        self._ids.catch_up()
        rows = self._db.execute(
            "SELECT b.event_id, b.n, r.state FROM json_each(?) AS j"
            " CROSS JOIN ids AS i ON i.short = substr(j.value, 1, 11)"
            " CROSS JOIN blobs AS b ON b.n = i.event AND b.event_id = j.value AND b.space = ?"
            " LEFT JOIN received AS r ON r.account = ? AND r.space = b.space AND r.ts = b.ts AND r.event = b.n",
            (orjson.dumps(ids).decode(), space, account),
        )
        return {event_id: (n, state) for event_id, n, state in rows}

    def hold(self, rows: Sequence[Held]) -> None:
        """Note that identities hold events, each for the first time."""
        self._db.executemany("INSERT INTO received VALUES (?, ?, ?, ?, ?, ?)", rows)
        lone = self._lone
        if lone is not None and len(rows) == 1 and rows[0][3] == lone.n:
            if len(self._at_hand) >= EVENTS_AT_HAND:
                self._at_hand.clear()
            self._at_hand[rows[0][0], lone.space, lone.event_id] = lone

    def at_hand(self, account: int, space: int, event_id: str) -> BlobRow | None:
        """An event of a space that was stored by itself a moment ago and that an identity holds: every peer is sent it.

        None for others: they are to be read.
        """
        return self._at_hand.get((account, space, event_id))

    def hold_run(self, account: int, run: range, state: int, now: int) -> None:
        """The same for events of successive numbers, all in one state, received now (ms): no row is made here."""
        self._db.execute(
            "INSERT INTO received SELECT ?, space, ts, n, ?, ? FROM blobs WHERE n BETWEEN ? AND ? ORDER BY n",
            (account, state, now, run.start, run.stop - 1),
        )

    def set_aside(self, account: int, rows: Sequence[BlobRow]) -> None:
        """An identity holds these no more: their bytes are damaged. Their places in the logs stay taken."""
        self._at_hand.clear()
        self._db.executemany(
            "DELETE FROM received WHERE account = ? AND space = ? AND ts = ? AND event = ?",
            [(account, row.space, row.ts, row.n) for row in rows],
        )
        self._db.executemany(
            "DELETE FROM frontiers WHERE account = ? AND device = ?",
            [(account, device) for device in dict.fromkeys(row.device for row in rows)],
        )

    def restore(self, number: int, epoch: int, sealed: bytes) -> None:
        """Put sound bytes in the place of damaged ones."""
        self._at_hand.clear()
        self._db.execute("UPDATE blobs SET epoch = ?, sealed = ? WHERE n = ?", (epoch, sealed, number))

    def set_state(self, account: int, state: int, keys: Iterable[tuple[int, int, int]]) -> None:
        """Change the state of held events, given as (space, ts, event)."""
        self._db.executemany(
            "UPDATE received SET state = ? WHERE account = ? AND space = ? AND ts = ? AND event = ?",
            [(state, account, space, ts, event) for space, ts, event in keys],
        )

    def arrive(self, account: int, events: Sequence[int], counted: bool) -> None:
        """Append events to the order in which they became valid; `counted`: they are in their buckets already."""
        run = as_run(events)
        if run is not None:
            self._db.execute(
                "INSERT INTO arrivals (account, event, counted) SELECT ?, n, ? FROM blobs WHERE n BETWEEN ? AND ?"
                " ORDER BY n",
                (account, counted, run.start, run.stop - 1),
            )
            return
        self._db.executemany(
            "INSERT INTO arrivals (account, event, counted) VALUES (?, ?, ?)",
            [(account, event, counted) for event in events],
        )

    def head(self, device: int) -> tuple[int, str | None]:
        """The greatest seq seen in a device's log, and that event's id; (0, None) when there is none."""
        head = self._heads.get(device)
        if head is None:
            row = self._db.one(
                "SELECT seq, event_id FROM blobs WHERE device = ? AND genuine = 1 ORDER BY seq DESC LIMIT 1",
                (device,),
            )
            if row is None:
                return 0, None
            head = self._heads[device] = (row[0], row[1])
        return head

    def top(self, device: int) -> int:
        """The greatest seq that any blob claims in a device's log, vouched for or not; 0 when there is none."""
        top = self._tops.get(device)
        if top is None:
            row = self._db.one("SELECT max(seq) FROM blobs WHERE device = ?", (device,))
            top = self._tops[device] = int(row[0] or 0) if row else 0
        return top

    def _extend_logs(self, rows: Sequence[NewBlob]) -> None:
        """Move the heads of the logs that stored blobs belong to, and note forks (two events at one seq).

        Only genuine blobs count: whatever else claims a place in a log moves nothing.
        """
        logs: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for _, event_id, _, _, device, seq, _, genuine, _ in rows:
            if genuine:
                logs[device].append((seq, event_id))
        for device, log in logs.items():
            head = self._heads.get(device, (0, ""))[0]
            seen: set[int] = set()
            taken: list[tuple[int, int]] = []
            for seq, _ in log:
                if seq <= head or seq in seen:
                    taken.append((device, seq))
                seen.add(seq)
            self._note_forks(taken)
            top = max(log, key=itemgetter(0))
            if top[0] > head:
                self._heads[device] = top

    def _note_forks(self, places: Sequence[tuple[int, int]]) -> None:
        if places:
            found = self._db.all(
                "INSERT OR IGNORE INTO forks SELECT b.device, b.seq FROM json_each(?) AS j CROSS JOIN blobs AS b"
                " ON b.device = j.value ->> 0 AND b.seq = j.value ->> 1 AND b.genuine = 1"
                " GROUP BY b.device, b.seq HAVING count(*) > 1 RETURNING device, seq",
                (orjson.dumps(places).decode(),),
            )
            if self._forked is not None:
                for device, seq in found:
                    self._forked.setdefault(device, set()).add(seq)

    def forked(self, device: int) -> set[int]:
        """The places of a log at which there is more than one genuine event."""
        if self._forked is None:
            forked: dict[int, set[int]] = {}
            for each, seq in self._db.all("SELECT device, seq FROM forks"):
                forked.setdefault(each, set()).add(seq)
            self._forked = forked
        return self._forked.get(device, set())

    def rivals(self, account: int, device: int) -> list[tuple[int, int]]:
        """(number, place) of the genuine events that an identity holds at the places of a log where there are forks."""
        rows = self._db.all(
            "SELECT b.n, b.seq FROM forks AS f"
            " CROSS JOIN blobs AS b ON b.device = f.device AND b.seq = f.seq AND b.genuine = 1"
            " CROSS JOIN received AS r ON r.account = ? AND r.space = b.space AND r.ts = b.ts AND r.event = b.n"
            " WHERE f.device = ?",
            (account, device),
        )
        return [(number, seq) for number, seq in rows]

    def at(self, account: int, device: int, seq: int) -> list[BlobRow]:
        """The events at one place of a log that an identity holds, if genuine (more than one: a fork)."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM blobs AS b"
            " CROSS JOIN received AS r ON r.account = ? AND r.space = b.space AND r.ts = b.ts AND r.event = b.n"
            " WHERE b.device = ? AND b.seq = ? AND b.genuine = 1",
            (account, device, seq),
        )
        return [BlobRow(*row) for row in rows]

    def genuine_at(self, device: int, seqs: Sequence[int]) -> set[int]:
        """Those of these places of a log at which there is a genuine event."""
        rows = self._db.execute(
            "SELECT j.value FROM json_each(?) AS j WHERE EXISTS"
            " (SELECT 1 FROM blobs WHERE device = ? AND seq = j.value AND genuine = 1)",
            (orjson.dumps(seqs).decode(), device),
        )
        return {seq for (seq,) in rows}

    def read(self, events: Sequence[int]) -> list[BlobRow]:
        """The blobs of event numbers, ascending."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM blobs AS b WHERE b.n IN (SELECT value FROM json_each(?)) ORDER BY b.n",
            (orjson.dumps(events).decode(),),
        )
        return [BlobRow(*row) for row in rows]

    def epochs(self, events: Sequence[int]) -> dict[int, int]:
        """Event number → the epoch that it is sealed under."""
        rows = self._db.execute(
            "SELECT n, epoch FROM blobs WHERE n IN (SELECT value FROM json_each(?))",
            (orjson.dumps(events).decode(),),
        )
        return dict(rows)

    def log_backwards(self, device: int, window: int) -> Iterator[BlobRow]:
        """Every stored event of a log by descending seq, read in windows of `window` places."""
        before: int | None = 1 << 62
        while before is not None:
            row = self._db.one("SELECT max(seq) FROM blobs WHERE device = ? AND seq < ?", (device, before))
            before = row[0] if row else None
            if before is not None:
                rows = self._db.all(
                    f"SELECT {_COLUMNS} FROM blobs AS b WHERE b.device = ? AND b.seq <= ? AND b.seq > ?"
                    " ORDER BY b.seq DESC, b.n",
                    (device, before, before - window),
                )
                yield from (BlobRow(*found) for found in rows)
                before -= window - 1  # the window's last place has been read

    def held_after(self, account: int, space: int, after: int, limit: int) -> list[tuple[BlobRow, int]]:
        """A page of (blob, state) that an identity holds in a space, by ascending number after `after`."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS}, r.state FROM blobs AS b"
            " CROSS JOIN received AS r ON r.account = ? AND r.space = b.space AND r.ts = b.ts AND r.event = b.n"
            " WHERE b.n > ? AND b.space = ? ORDER BY b.n LIMIT ?",
            (account, after, space, limit),
        )
        return [(BlobRow(*row[:9]), row[9]) for row in rows]

    def arrived_after(self, account: int, cursor: int, limit: int) -> list[tuple[int, BlobRow]]:
        """(cursor, blob) of events that became valid for an identity after a cursor, in that order."""
        rows = self._db.execute(
            f"SELECT a.cursor, {_COLUMNS}"
            " FROM arrivals AS a CROSS JOIN blobs AS b ON b.n = a.event"
            " WHERE a.cursor > ? AND a.account = ? ORDER BY a.cursor LIMIT ?",
            (cursor, account, limit),
        )
        return [(row[0], BlobRow(*row[1:])) for row in rows]

    def arrivals_by_own_devices(self, cursor: int) -> list[tuple[int, int, str]]:
        """(account, space, event id) of arrivals after a cursor that their holder itself wrote."""
        rows = self._db.execute(
            "SELECT r.account, b.space, b.event_id FROM arrivals AS r"
            " CROSS JOIN device_keys AS k ON k.account = r.account CROSS JOIN blobs AS b ON b.n = r.event"
            " CROSS JOIN devices AS d ON d.n = b.device AND d.device = k.device"
            " WHERE r.cursor > ? ORDER BY r.cursor",
            (cursor,),
        )
        return [(account, space, event_id) for account, space, event_id in rows]

    def forks_held(self, account: int, space: int, limit: int) -> list[tuple[str, int]]:
        """(device, seq) where an identity holds two genuine events, or more, at one place of a log."""
        rows = self._db.execute(
            "SELECT d.device, f.seq FROM devices AS d CROSS JOIN forks AS f ON f.device = d.n WHERE d.space = ?"
            " AND (SELECT count(*) FROM blobs AS b"
            " CROSS JOIN received AS r ON r.account = ? AND r.space = b.space AND r.ts = b.ts AND r.event = b.n"
            " WHERE b.device = f.device AND b.seq = f.seq AND b.genuine = 1) > 1"
            " ORDER BY f.device, f.seq LIMIT ?",
            (space, account, limit),
        )
        return [(device, seq) for device, seq in rows]

    def received_at(self, account: int, space: int, ts: int, event: int) -> int:
        """When an identity received an event (ms); 0 for one that it does not hold."""
        row = self._db.one(
            "SELECT received_ts FROM received WHERE account = ? AND space = ? AND ts = ? AND event = ?",
            (account, space, ts, event),
        )
        return int(row[0]) if row else 0

    def newest(self, account: int, space: int, but: int) -> int:
        """The latest timestamp of a valid event that an identity holds of other devices than `but` (0: none)."""
        row = self._db.one(
            "SELECT r.ts FROM received AS r CROSS JOIN blobs AS b ON b.n = r.event WHERE r.account = ?"
            f" AND r.space = ? AND r.state = {VALID} AND b.device <> ? ORDER BY r.ts DESC LIMIT 1",
            (account, space, but),
        )
        return int(row[0]) if row else 0

    def count_unsupported(self, account: int, space: int) -> int:
        """How many events an identity holds that are of a type or version not known here."""
        row = self._db.one(
            f"SELECT count(*) FROM received WHERE account = ? AND space = ? AND state = {UNSUPPORTED}",
            (account, space),
        )
        return int(row[0]) if row else 0

    def last_cursor(self) -> int:
        """The cursor of the newest arrival (0 when nothing has arrived)."""
        row = self._db.one("SELECT max(cursor) FROM arrivals")
        return int(row[0] or 0) if row else 0
