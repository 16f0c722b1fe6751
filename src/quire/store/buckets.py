"""Summaries of what an identity holds in a space, kept as events arrive, and read by reconciliation.

Owns: `buckets`. Each event counts in one coarse and one fine bucket of time; a summary is the number of
events and the sum of their ids modulo 2^256, so that adding needs no reading of what is already there.
`StoreIndex` is what `quire.sync` sees of the store. Must not know: protocols.
"""

from collections.abc import Sequence

import orjson

from quire.core.encoding import from_text, to_text
from quire.core.summary import COARSE, FINE, Position, Summary
from quire.errors import Damaged
from quire.limits import INGEST_BATCH, MAX_BATCH
from quire.store.database import Database

_MODULUS = 1 << 256


class Buckets:
    """Keeps the summaries: what was valid at once is counted in bulk before they are next read."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, account: int, space: int, events: Sequence[tuple[int, str]]) -> None:
        """Count held events, given as (ts in ms, event id), in their buckets."""
        sums: dict[tuple[int, int], list[int]] = {}
        for ts, event_id in events:
            number = int.from_bytes(_raw(event_id), "big")
            for level in (COARSE, FINE):
                cell = sums.setdefault((level, ts >> level), [0, 0])
                cell[0] += 1
                cell[1] += number
        for (level, bucket), (count, total) in sums.items():
            self._add_cell(account, space, level, bucket, Summary(count, total))

    def _add_cell(self, account: int, space: int, level: int, bucket: int, more: Summary) -> None:
        count, total = more
        old = self._db.one(
            "SELECT count, total FROM buckets WHERE account = ? AND space = ? AND level = ? AND bucket = ?",
            (account, space, level, bucket),
        )
        if old is not None:
            count, total = count + old[0], total + int.from_bytes(old[1], "big")
        self._db.execute(
            "INSERT OR REPLACE INTO buckets VALUES (?, ?, ?, ?, ?, ?)",
            (account, space, level, bucket, count, (total % _MODULUS).to_bytes(32, "big")),
        )

    def recount_all(self) -> None:
        """Work every summary out anew from what is held."""
        self._db.execute("DELETE FROM buckets")
        for account, space in self._db.all("SELECT DISTINCT account, space FROM received"):
            for (level, bucket), summary in recount(self._db, account, space).items():
                self._add_cell(account, space, level, bucket, summary)
        self._db.execute("UPDATE bucket_cursor SET cursor = (SELECT coalesce(max(cursor), 0) FROM arrivals)")

    def count_arrivals(self) -> None:
        """Count all that has arrived since the last time."""
        while self.step():
            pass

    def step(self) -> bool:
        """Count up to INGEST_BATCH arrivals in one transaction; whether there were any."""
        rows = self._db.all(
            # A join with bucket_cursor would have all that waits sorted for each step.
            "SELECT a.cursor, a.account, b.space, b.ts, b.event_id, a.counted FROM arrivals AS a"
            " CROSS JOIN blobs AS b ON b.n = a.event WHERE a.cursor > (SELECT cursor FROM bucket_cursor)"
            " ORDER BY a.cursor LIMIT ?",
            (INGEST_BATCH,),
        )
        if not rows:
            return False
        by_owner: dict[tuple[int, int], list[tuple[int, str]]] = {}
        for _, account, space, ts, event_id, counted in rows:
            if not counted:
                by_owner.setdefault((account, space), []).append((ts, event_id))
        with self._db.transaction():
            for (account, space), events in by_owner.items():
                self.add(account, space, events)
            self._db.execute("UPDATE bucket_cursor SET cursor = ?", (rows[-1][0],))
        return True


class StoreIndex:
    """What one identity holds in one space, as `quire.sync` asks for it (its `EventIndex`)."""

    def __init__(self, db: Database, buckets: Buckets, account: int, space: int) -> None:
        self._db = db
        self._buckets = buckets
        self._account = account
        self._space = space
        #: The last millisecond that held more than a page, in order, and the changes it was read after.
        self._crowd: list[Position] = []
        self._crowd_changes = -1

    def whole(self) -> Summary:
        """The summary of everything held."""
        cells = [summary for _, summary in self.children(COARSE, None)]
        return Summary(sum(c.count for c in cells), sum(c.total for c in cells) % _MODULUS)

    def children(self, level: int, bucket: int | None) -> list[tuple[int, Summary]]:
        """The non-empty buckets of `level` (inside the coarse `bucket` if given), ascending."""
        self._buckets.count_arrivals()
        low, high = (
            (0, 1 << 62) if bucket is None else (bucket << (COARSE - FINE), (bucket + 1) << (COARSE - FINE))
        )
        rows = self._db.execute(
            "SELECT bucket, count, total FROM buckets"
            " WHERE account = ? AND space = ? AND level = ? AND bucket >= ? AND bucket < ? ORDER BY bucket",
            (self._account, self._space, level, low, high),
        )
        return [(n, Summary(count, int.from_bytes(total, "big"))) for n, count, total in rows]

    def every(self) -> dict[tuple[int, int], Summary]:
        """All summaries, by (level, bucket)."""
        return {(level, n): cell for level in (COARSE, FINE) for n, cell in self.children(level, None)}

    def page(self, low: Position, high: Position, limit: int) -> list[Position]:
        """Positions held in [low, high), ascending, at most `limit`.

        Reads `limit` rows, and all that share the last one's millisecond.
        """
        found: list[Position] = []
        start = low[0]
        while len(found) < limit and start <= high[0]:
            held = self._milliseconds(start, high[0], limit)
            if not held:
                break
            found += [position for position in held if low <= position < high]
            start = held[-1][0] + 1
        return found[:limit]

    def _milliseconds(self, first: int, last: int, limit: int) -> list[Position]:
        """All positions of whole milliseconds from `first` on: those that fit into `limit`, or one."""
        changes = self._db.connection.total_changes()
        if self._crowd and (self._crowd[0][0], self._crowd_changes) == (first, changes):
            return self._crowd
        rows = self._rows(first, last, limit + 1)
        if len(rows) > limit:
            newest = rows[-1][0]
            rows = [row for row in rows if row[0] < newest]
            if not rows:
                return self._read_crowd(newest, changes)
        return _in_order(rows)

    def _read_crowd(self, ts: int, changes: int) -> list[Position]:
        """All positions of one millisecond. Kept, since a page begins where the one before it ended."""
        held = _in_order(self._rows(ts, ts, -1))
        # Not what a rollback could still undo, and not more than one write can bring.
        if len(held) <= MAX_BATCH and not self._db.connection.in_transaction:
            self._crowd, self._crowd_changes = held, changes
        return held

    def _rows(self, first: int, last: int, limit: int) -> list[tuple[int, str]]:
        rows = self._db.execute(
            "SELECT r.ts, b.event_id FROM received AS r CROSS JOIN blobs AS b ON b.n = r.event"
            " WHERE r.account = ? AND r.space = ? AND r.ts >= ? AND r.ts <= ? ORDER BY r.ts LIMIT ?",
            (self._account, self._space, min(first, 1 << 62), min(last, 1 << 62), limit),
        )
        return [(ts, event_id) for ts, event_id in rows]

    def blobs(self, ids: Sequence[bytes]) -> list[bytes]:
        """`key_id ‖ blob` of each event held, in the order asked; others are left out."""
        names = [to_text(raw) for raw in ids]
        rows = self._db.execute(
            "SELECT e.key_id, b.sealed FROM json_each(?) AS j"
            " CROSS JOIN blobs AS b ON substr(b.event_id, 1, 11) = substr(j.value, 1, 11) AND b.event_id = j.value"
            " CROSS JOIN received AS r ON r.account = ? AND r.space = ? AND r.ts = b.ts AND r.event = b.n"
            " CROSS JOIN epochs AS e ON e.n = b.epoch ORDER BY j.key",
            (orjson.dumps(names).decode(), self._account, self._space),
        )
        return [bytes(key_id) + bytes(sealed) for key_id, sealed in rows]


def _in_order(rows: Sequence[tuple[int, str]]) -> list[Position]:
    return sorted((ts, _raw(event_id)) for ts, event_id in rows)


def _raw(event_id: str) -> bytes:
    try:
        return from_text(event_id, 32)
    except (ValueError, AttributeError):
        raise Damaged(
            f"The id of a stored event is damaged: {event_id!r}. `quire verify` tells what else is."
        ) from None


def recount(db: Database, account: int, space: int) -> dict[tuple[int, int], Summary]:
    """The summaries by (level, bucket), worked out from everything that is held."""
    sums: dict[tuple[int, int], Summary] = {}
    for ts, event_id in db.execute(
        "SELECT r.ts, b.event_id FROM received AS r CROSS JOIN blobs AS b ON b.n = r.event"
        " WHERE r.account = ? AND r.space = ?",
        (account, space),
    ):
        number = int.from_bytes(from_text(event_id), "big")
        for level in (COARSE, FINE):
            old = sums.get((level, ts >> level), Summary(0, 0))
            sums[level, ts >> level] = Summary(old.count + 1, (old.total + number) % _MODULUS)
    return sums
