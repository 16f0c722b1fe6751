"""Summaries of what an identity holds in a space, kept as events arrive, and read by reconciliation.

Owns: `buckets`. Each event counts in one coarse and one fine bucket of time; a summary is the number of
events and the sum of their ids modulo 2^256, so that adding needs no reading of what is already there.
`StoreIndex` is what `quire.sync` sees of the store. Must not know: protocols, who can open what.

Where not every member can open the same content, each epoch of it is counted apart, so that what is compared
with a peer can leave out what it cannot open. Everything else is counted under epoch 0.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce

import orjson

from quire.core.cells import NAME_BYTES, Sketch, name_of
from quire.core.encoding import from_text, from_texts, to_text
from quire.core.summary import COARSE, FINE, Position, Summary
from quire.errors import Damaged, HomeError
from quire.limits import INGEST_BATCH, MAX_BATCH
from quire.store.blobs import Blobs
from quire.store.crowds import Crowds
from quire.store.database import Database
from quire.store.ids import Ids
from quire.store.names import Names
from quire.store.sketches import Sketches

_MODULUS = 1 << 256
#: Bits of an id below its short name.
_BELOW_NAME = 256 - 8 * NAME_BYTES
#: Characters of an id that `ids` finds it by; the last one says some bits more than a short name does.
_FOUND_BY = 11
_NOTHING = Summary(0, 0)
#: Pages remembered of each space; together they hold no more than one write can bring.
_MOST_PAGES = 16

#: By (account, space): the epochs whose content is counted apart.
ApartEpochs = Callable[[int, int], frozenset[int]]
#: Epochs whose content is left out, asked again for each look.
ClosedEpochs = Callable[[], frozenset[int]]
#: Summaries by (level, bucket, epoch).
Cells = dict[tuple[int, int, int], Summary]
#: Positions of whole milliseconds by (first, last, limit): see `StoreIndex._milliseconds`.
Pages = dict[tuple[int, int, int], list[Position]]


def nothing_closed() -> frozenset[int]:
    """Leaves nothing out."""
    return frozenset()


class Buckets:
    """Keeps the summaries: what was valid at once is counted in bulk before they are next read."""

    def __init__(self, db: Database, apart: ApartEpochs, sketches: Sketches) -> None:
        self._db = db
        self.apart = apart
        self.sketches = sketches
        #: By (account, space): what was read of the order of events, by what was asked, and the changes it was read
        #: after. Many sessions ask for the same, and a page begins in the millisecond that the one before it ended in.
        self.pages: dict[tuple[int, int], tuple[int, Pages]] = {}
        self.crowds = Crowds()
        #: Whether spaces are to be counted anew; None: not looked yet.
        self._recounts: bool | None = None
        #: The changes after which nothing was left to count.
        self._counted_after = -1
        #: By (account, space): the summary of everything that was counted, by epoch.
        self._wholes: dict[tuple[int, int], dict[int, Summary]] = {}
        db.on_rollback(self._forget)

    def _forget(self) -> None:
        self._recounts = None
        self._counted_after = -1
        self._wholes.clear()
        self.pages.clear()
        self.crowds.clear()

    def add(self, account: int, space: int, events: Sequence[tuple[int, str, int]]) -> None:
        """Count held events, given as (ts in ms, event id, epoch), in their buckets."""
        apart = self.apart(account, space)
        raws = _raws([event_id for _, event_id, _ in events])
        numbers = [int.from_bytes(raw, "big") for raw in raws]
        fine: dict[tuple[int, int], list[int]] = defaultdict(list)
        for (ts, _, epoch), number in zip(events, numbers, strict=True):
            fine[ts >> FINE, epoch if epoch in apart else 0].append(number)
        sums: Cells = {}
        for (bucket, label), held in fine.items():
            more = Summary(len(held), sum(held))
            sums[FINE, bucket, label] = more
            coarse = (COARSE, bucket >> (COARSE - FINE), label)
            sums[coarse] = _together(sums.get(coarse, _NOTHING), more)
        for cell_id, summary in sums.items():
            self._add_cell(account, space, cell_id, summary)
        self.crowds.add(
            account, space, [(ts, raw, epoch) for (ts, _, epoch), raw in zip(events, raws, strict=True)]
        )
        if numbers and not apart:
            self.sketches.add(account, space, [number >> _BELOW_NAME for number in numbers])

    def _add_cell(self, account: int, space: int, cell_id: tuple[int, int, int], more: Summary) -> None:
        count, total = more
        old = self._db.one(
            "SELECT count, total FROM buckets"
            " WHERE account = ? AND space = ? AND level = ? AND bucket = ? AND epoch = ?",
            (account, space, *cell_id),
        )
        if old is not None:
            count, total = count + old[0], total + int.from_bytes(old[1], "big")
        self._db.execute(
            "INSERT OR REPLACE INTO buckets VALUES (?, ?, ?, ?, ?, ?, ?)",
            (account, space, *cell_id, count, (total % _MODULUS).to_bytes(32, "big")),
        )
        level, _, epoch = cell_id
        whole = self._wholes.get((account, space))
        if whole is not None and level == COARSE:
            whole[epoch] = _together(whole.get(epoch, _NOTHING), more)

    def whole(self, account: int, space: int) -> Mapping[int, Summary]:
        """The summary of everything that was counted, by epoch.

        It is kept as events are counted: every session asks for it at each heartbeat, and a member who dates events
        far apart makes as many buckets.
        """
        whole = self._wholes.get((account, space))
        if whole is None:
            whole = {}
            for epoch, count, total in self._db.execute(
                "SELECT epoch, count, total FROM buckets WHERE account = ? AND space = ? AND level = ?",
                (account, space, COARSE),
            ):
                more = Summary(count, int.from_bytes(total, "big"))
                whole[epoch] = _together(whole.get(epoch, _NOTHING), more)
            self._wholes[account, space] = whole
        return whole

    def recount_all(self) -> None:
        """Work every summary out anew from what is held."""
        for account, space in self._db.all("SELECT DISTINCT account, space FROM received"):
            self._recount(account, space)
        self._db.execute("DELETE FROM recounts")
        self._db.execute("UPDATE bucket_cursor SET cursor = (SELECT coalesce(max(cursor), 0) FROM arrivals)")

    def _recount(self, account: int, space: int) -> None:
        self._db.execute("DELETE FROM buckets WHERE account = ? AND space = ?", (account, space))
        self._wholes.pop((account, space), None)
        self.crowds.clear()
        for cell_id, summary in recount(self._db, account, space, self.apart(account, space)).items():
            self._add_cell(account, space, cell_id, summary)
        if not self.apart(account, space):
            self.sketches.recount(account, space, held_names(self._db, account, space))

    def recount_later(self, account: int, space: int) -> None:
        """What is counted apart has changed: count a space anew before it is next looked at."""
        self._db.execute("INSERT OR IGNORE INTO recounts VALUES (?, ?)", (account, space))
        self._recounts = True
        self._counted_after = -1

    def count_arrivals(self) -> None:
        """Count all that has arrived since the last time."""
        if self._db.connection.total_changes() == self._counted_after:
            return
        while self.step():
            pass
        if self._recounts is not False:
            with self._db.transaction():
                for account, space in self._db.all("DELETE FROM recounts RETURNING account, space"):
                    self._recount(account, space)
            self._recounts = False
        self._counted_after = self._db.connection.total_changes()

    def far_behind(self) -> bool:
        """Whether to count all that has arrived takes more than one step."""
        row = self._db.one(
            "SELECT max(cursor) > (SELECT cursor FROM bucket_cursor) + ? FROM arrivals", (INGEST_BATCH,)
        )
        return row is not None and bool(row[0])

    def step(self) -> bool:
        """Count up to INGEST_BATCH arrivals in one transaction; whether there were any."""
        rows = self._db.all(
            # A join with bucket_cursor would have all that waits sorted for each step.
            "SELECT a.cursor, a.account, b.space, b.ts, b.event_id, b.epoch, a.counted FROM arrivals AS a"
            " CROSS JOIN blobs AS b ON b.n = a.event WHERE a.cursor > (SELECT cursor FROM bucket_cursor)"
            " ORDER BY a.cursor LIMIT ?",
            (INGEST_BATCH,),
        )
        if not rows:
            return False
        by_owner: dict[tuple[int, int], list[tuple[int, str, int]]] = {}
        for _, account, space, ts, event_id, epoch, counted in rows:
            if not counted:
                by_owner.setdefault((account, space), []).append((ts, event_id, epoch))
        with self._db.transaction():
            for (account, space), events in by_owner.items():
                self.add(account, space, events)
            self._db.execute("UPDATE bucket_cursor SET cursor = ?", (rows[-1][0],))
        return True


class StoreIndex:
    """What one identity holds in one space, as `quire.sync` asks for it (its `EventIndex`).

    Content of `closed` epochs (some of those counted apart) is left out: for this index it is not there.
    """

    def __init__(
        self,
        db: Database,
        blobs: Blobs,
        ids: Ids,
        names: Names,
        buckets: Buckets,
        account: int,
        space: int,
        closed: ClosedEpochs = nothing_closed,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._ids = ids
        self._names = names
        self._buckets = buckets
        self._account = account
        self._space = space
        self._closed = closed

    def whole(self) -> Summary:
        """The summary of everything held."""
        self._buckets.count_arrivals()
        return self._counted()

    def count(self) -> int:
        """How many events are held; also where the disk is too full for the summary of what came last."""
        try:
            return self.whole().count
        except HomeError:
            return self._counted().count + self._uncounted()

    def _counted(self) -> Summary:
        closed = self._closed()
        cells = self._buckets.whole(self._account, self._space)
        return reduce(_together, (cell for epoch, cell in cells.items() if epoch not in closed), _NOTHING)

    def _uncounted(self) -> int:
        rows = self._db.all(
            "SELECT b.epoch, count(*) FROM arrivals AS a CROSS JOIN blobs AS b ON b.n = a.event"
            " WHERE a.cursor > (SELECT cursor FROM bucket_cursor) AND a.account = ? AND b.space = ? AND NOT a.counted"
            " GROUP BY b.epoch",
            (self._account, self._space),
        )
        closed = self._closed()
        return sum(count for epoch, count in rows if epoch not in closed)

    def buckets(self, level: int, first: int, last: int, limit: int) -> list[tuple[int, Summary]]:
        """The non-empty buckets `first` <= n < `last` of `level`, ascending, at most `limit`."""
        self._buckets.count_arrivals()
        closed = self._closed()
        found: dict[int, Summary] = {}
        for n, epoch, cell in self._cells(level, first, last):
            if epoch in closed:
                continue
            if len(found) == limit and n not in found:
                break
            found[n] = _together(found[n], cell) if n in found else cell
        return list(found.items())

    def _cells(self, level: int, low: int, high: int) -> Iterator[tuple[int, int, Summary]]:
        """(bucket, epoch, summary) of the buckets of a level in [low, high), ascending."""
        rows = self._db.execute(
            "SELECT bucket, epoch, count, total FROM buckets"
            " WHERE account = ? AND space = ? AND level = ? AND bucket >= ? AND bucket < ? ORDER BY bucket",
            (self._account, self._space, level, low, high),
        )
        return ((n, epoch, Summary(count, int.from_bytes(total, "big"))) for n, epoch, count, total in rows)

    def every(self) -> Cells:
        """All summaries, what is left out among them."""
        self._buckets.count_arrivals()
        return {
            (level, n, epoch): cell
            for level in (COARSE, FINE)
            for n, epoch, cell in self._cells(level, 0, 1 << 62)
        }

    def page(self, low: Position, high: Position, limit: int) -> list[Position]:
        """Positions held in [low, high), ascending, at most `limit`.

        Reads `limit` rows; but all of a millisecond that holds more, if it is not remembered.
        """
        found: list[Position] = []
        start = low[0]
        while len(found) < limit and start <= high[0]:
            held = self._milliseconds(start, high[0], limit)
            if not held:
                break
            ts = held[-1][0]
            if len(held) > limit:
                held = self._crowd(ts, low[1] if low[0] == ts else b"", limit)
            found += [position for position in held if low <= position < high]
            start = ts + 1
        return found[:limit]

    def _milliseconds(self, first: int, last: int, limit: int) -> list[Position]:
        """All positions of whole milliseconds from `first` on that fit into `limit`, or `limit` + 1 of one."""
        if self._closed():
            return self._read_milliseconds(first, last, limit)
        pages, asked = self._pages(), (first, last, limit)
        held = pages.get(asked)
        if held is None:
            held = self._read_milliseconds(first, last, limit)
            if len(pages) >= _MOST_PAGES or len(held) + sum(map(len, pages.values())) > MAX_BATCH:
                pages.clear()
            if len(held) <= MAX_BATCH:
                pages[asked] = held
        return held

    def _pages(self) -> Pages:
        """The pages that are remembered, of what is held now."""
        changes = self._db.connection.total_changes()
        then, pages = self._buckets.pages.get((self._account, self._space), (-1, {}))
        if then != changes:
            pages = {}
            self._buckets.pages[self._account, self._space] = changes, pages
        return pages

    def _read_milliseconds(self, first: int, last: int, limit: int) -> list[Position]:
        rows = self._rows(first, last, limit + 1)
        if len(rows) > limit:
            newest = rows[-1][0]
            rows = [row for row in rows if row[0] < newest] or rows
        return _in_order(rows)

    def _crowd(self, ts: int, low: bytes, limit: int) -> list[Position]:
        """Positions of a millisecond that holds many, from the bound `low` on, at most `limit`."""
        crowds, place, closed = self._buckets.crowds, (self._account, self._space, ts), self._closed()
        counted = self._all_counted()
        if counted and crowds.knows(place, closed):
            return [(ts, event_id) for event_id in crowds.page(place, closed, low, limit)]
        held = _in_order(self._rows(ts, ts, -1))
        if counted:
            crowds.keep(place, closed, [event_id for _, event_id in held])
        first = bisect_left(held, (ts, low))
        return held[first : first + limit]

    def _all_counted(self) -> bool:
        """Whether everything that has arrived is counted by now: it cannot be where the disk is full."""
        try:
            self._buckets.count_arrivals()
        except HomeError:
            return False
        return True

    def _rows(self, first: int, last: int, limit: int) -> list[tuple[int, str]]:
        closed = self._closed()
        if closed:
            return self._open_rows(first, last, limit, closed)
        rows = self._db.execute(
            "SELECT r.ts, b.event_id FROM received AS r CROSS JOIN blobs AS b ON b.n = r.event"
            " WHERE r.account = ? AND r.space = ? AND r.ts >= ? AND r.ts <= ? ORDER BY r.ts LIMIT ?",
            (self._account, self._space, min(first, 1 << 62), min(last, 1 << 62), limit),
        )
        return [(ts, event_id) for ts, event_id in rows]

    def _open_rows(self, first: int, last: int, limit: int, closed: frozenset[int]) -> list[tuple[int, str]]:
        """The same where content is left out, hour by hour, or one would read all that was ever left out."""
        self._buckets.count_arrivals()
        hidden = orjson.dumps(sorted(closed)).decode()
        hours = self._db.execute(
            "SELECT DISTINCT bucket FROM buckets WHERE account = ? AND space = ? AND level = ? AND bucket >= ?"
            " AND bucket <= ? AND epoch NOT IN (SELECT value FROM json_each(?)) ORDER BY bucket",
            (self._account, self._space, FINE, first >> FINE, min(last, 1 << 62) >> FINE, hidden),
        )
        found: list[tuple[int, str]] = []
        for (hour,) in hours:
            if len(found) == limit:
                break
            found += self._db.execute(
                "SELECT r.ts, b.event_id FROM received AS r CROSS JOIN blobs AS b ON b.n = r.event"
                " WHERE r.account = ? AND r.space = ? AND r.ts >= ? AND r.ts <= ?"
                " AND b.epoch NOT IN (SELECT value FROM json_each(?)) ORDER BY r.ts LIMIT ?",
                (
                    self._account,
                    self._space,
                    max(first, hour << FINE),
                    min(last, (hour + 1 << FINE) - 1),
                    hidden,
                    limit - len(found) if limit > 0 else limit,
                ),
            )
        return found

    def sketch(self) -> Sketch | None:
        """The sketches of everything held; None where what is left out differs from peer to peer."""
        self._buckets.count_arrivals()
        if self._buckets.apart(self._account, self._space):
            return None
        sketches = self._buckets.sketches
        return Sketch(sketches.key(self._account, self._space), sketches.of(self._account, self._space))

    def called(self, names: Sequence[int]) -> list[Position]:
        """Positions held whose ids have these short names, ascending."""
        self._ids.catch_up()
        rows = self._db.execute(
            "SELECT r.ts, b.event_id FROM json_each(?) AS j"
            " CROSS JOIN ids AS i ON i.short = j.value CROSS JOIN blobs AS b ON b.n = i.event AND b.space = ?"
            " CROSS JOIN received AS r ON r.account = ? AND r.space = b.space AND r.ts = b.ts AND r.event = b.n",
            (
                orjson.dumps([first for name in names for first in _beginnings(name)]).decode(),
                self._space,
                self._account,
            ),
        )
        return _in_order(list(rows))

    def blobs(self, ids: Sequence[bytes]) -> list[bytes]:
        """`key_id ‖ blob` of each event held, in the order asked; others are left out."""
        names = [to_text(raw) for raw in ids]
        closed = self._closed()
        lone = self._blobs.at_hand(self._account, self._space, names[0]) if len(names) == 1 else None
        if lone is not None:
            return [] if lone.epoch in closed else [self._names.key_id(lone.epoch) + lone.sealed]
        self._ids.catch_up()
        rows = self._db.execute(
            "SELECT e.key_id, b.sealed, b.epoch FROM json_each(?) AS j"
            " CROSS JOIN ids AS i ON i.short = substr(j.value, 1, 11)"
            " CROSS JOIN blobs AS b ON b.n = i.event AND b.event_id = j.value"
            " CROSS JOIN received AS r ON r.account = ? AND r.space = ? AND r.ts = b.ts AND r.event = b.n"
            " CROSS JOIN epochs AS e ON e.n = b.epoch ORDER BY j.key",
            (orjson.dumps(names).decode(), self._account, self._space),
        )
        return [bytes(key_id) + bytes(sealed) for key_id, sealed, epoch in rows if epoch not in closed]


def _together(one: Summary, other: Summary) -> Summary:
    return Summary(one.count + other.count, (one.total + other.total) % _MODULUS)


def _beginnings(name: int) -> list[str]:
    """What the texts of ids with a short name begin with, as far as `ids` knows them: two bits more."""
    raw = name.to_bytes(NAME_BYTES, "big")
    return [to_text(raw + bytes((more << 6,)))[:_FOUND_BY] for more in range(4)]


def _in_order(rows: Sequence[tuple[int, str]]) -> list[Position]:
    raws = _raws([event_id for _, event_id in rows])
    return sorted([(ts, raw) for (ts, _), raw in zip(rows, raws, strict=True)])


def _raws(event_ids: Sequence[str]) -> list[bytes]:
    try:
        return from_texts(event_ids)
    except (ValueError, TypeError, AttributeError):
        return [_raw(event_id) for event_id in event_ids]  # says which one is damaged


def _raw(event_id: str) -> bytes:
    try:
        return from_text(event_id, 32)
    except (ValueError, AttributeError):
        raise Damaged(
            f"The id of a stored event is damaged: {event_id!r}. `quire verify` tells what else is."
        ) from None


def held_names(db: Database, account: int, space: int) -> Iterator[int]:
    """The short names of everything that is held."""
    rows = db.execute(
        "SELECT b.event_id FROM received AS r CROSS JOIN blobs AS b ON b.n = r.event"
        " WHERE r.account = ? AND r.space = ?",
        (account, space),
    )
    return (name_of(_raw(event_id)) for (event_id,) in rows)


def recount(db: Database, account: int, space: int, apart: frozenset[int] = frozenset()) -> Cells:
    """The summaries, worked out from everything that is held; the epochs in `apart` are counted apart."""
    sums: Cells = {}
    for ts, event_id, epoch in db.execute(
        "SELECT r.ts, b.event_id, b.epoch FROM received AS r CROSS JOIN blobs AS b ON b.n = r.event"
        " WHERE r.account = ? AND r.space = ?",
        (account, space),
    ):
        number = int.from_bytes(from_text(event_id), "big")
        for level in (COARSE, FINE):
            cell_id = (level, ts >> level, epoch if epoch in apart else 0)
            old = sums.get(cell_id, _NOTHING)
            sums[cell_id] = Summary(old.count + 1, (old.total + number) % _MODULUS)
    return sums
