"""Pages of a mailbox's log, and what is known of the mailbox from them: values and rules alone.

Owns: the bytes of pages, and what a page makes of the mailbox's state. Must not know: NATS, connections, time.

A page holds records that were kept together. What it does to the mailbox stands in its summary, which is small, so
that whoever follows a log need not read the records. Now and then a page carries a snapshot of the state before it:
the state is the last snapshot and the summaries since, and all of it is in the log itself.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from quire.limits import (
    MAX_MAILBOX_DEVICES,
    MAX_PAGE_MARKS,
    MAX_SPANS,
    RELAY_PAGE_BYTES,
    SINGLE_SPANS,
    SNAPSHOT_BYTES,
    SNAPSHOT_PAGES,
)
from quire.net.relay_wire import NO_CHAIN, SCOPES, Record, digest, link
from quire.relay.log_store import Appended, Kept, Tip

#: What a record takes in a page beside its data, at most.
RECORD_OVERHEAD = 80


class Device(NamedTuple):
    """A device's last local number, bytes kept, records ever kept, and those of them that were pruned."""

    local: int = 0
    size: int = 0
    records: int = 0
    gone: int = 0


class Span(NamedTuple):
    """Pages that follow each other: place and stream sequence of the first, earliest and latest `ts`, how many."""

    first: int
    seq: int
    low: int
    high: int
    pages: int


class Written(NamedTuple):
    """What a device has in a page: its last local number there, records, bytes."""

    device: bytes
    local: int
    records: int
    size: int


class Summary(msgspec.Struct, array_like=True, frozen=True):
    """What a page does: records from the place `first` on take the chain from `before` to `chain`.

    `snapshot` is the stream sequence of the last page with a snapshot; 0 when this one has it.
    """

    first: int
    count: int
    before: bytes
    chain: bytes
    low: int
    high: int
    written: list[Written]
    snapshot: int

    @property
    def end(self) -> int:
        """The place of the last record."""
        return self.first + self.count - 1

    @property
    def size(self) -> int:
        """Bytes of data."""
        return sum(one.size for one in self.written)


class Snapshot(msgspec.Struct, array_like=True, frozen=True):
    """A mailbox before the page that carries it. Places below `floor` were pruned; the chain before it is `below`."""

    floor: int
    below: bytes
    devices: list[tuple[bytes, Device]]
    spans: list[Span]


class Body(msgspec.Struct, array_like=True, frozen=True):
    """A page's records (device in `devices`, local, ts, scope in SCOPES, arrived, digest, data)."""

    devices: list[bytes]
    records: list[tuple[int, int, int, int, int, bytes, bytes]]
    snapshot: Snapshot | None


_summaries = msgspec.msgpack.Decoder(Summary)
_bodies = msgspec.msgpack.Decoder(Body)
encode = msgspec.msgpack.Encoder().encode
read_summary = _summaries.decode
read_body = _bodies.decode


class Page(NamedTuple):
    """A page as read: `arrived` says when (ms) each of `records` came."""

    seq: int
    summary: Summary
    records: list[Kept]
    arrived: list[int]


def page_of(seq: int, summary: Summary, body: Body) -> Page:
    """A page's records with their places."""
    kept = [
        Kept(place, body.devices[who], Record(local, ts, SCOPES[scope], data), mark)
        for place, (who, local, ts, scope, _, mark, data) in enumerate(body.records, summary.first)
    ]
    return Page(seq, summary, kept, [record[4] for record in body.records])


@dataclass
class State:
    """What is known of a mailbox up to the page with the stream sequence `seq` (0: nobody wrote to it)."""

    seq: int = 0
    length: int = 0
    chain: bytes = NO_CHAIN
    floor: int = 1
    below: bytes = NO_CHAIN
    size: int = 0
    devices: dict[bytes, Device] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    snapshot: int = 0
    pages_since: int = 0
    bytes_since: int = 0
    marks: dict[int, int] = field(default_factory=dict)

    @property
    def tip(self) -> Tip:
        """Length and chain."""
        return Tip(self.length, self.chain)

    def snapshot_due(self) -> bool:
        """Whether so many pages or bytes came after the last snapshot that the next page takes one along."""
        return self.pages_since >= SNAPSHOT_PAGES or self.bytes_since >= SNAPSHOT_BYTES

    def apply(self, seq: int, summary: Summary) -> bool:
        """Take in the page that follows; False, with nothing done, when it does not follow this state."""
        if summary.first != self.length + 1 or summary.before != self.chain or seq <= self.seq:
            return False
        self.seq, self.length, self.chain = seq, summary.end, summary.chain
        for one in summary.written:
            had = self.devices.get(one.device, Device())
            self.devices[one.device] = Device(
                one.local, had.size + one.size, had.records + one.records, had.gone
            )
        self.size += summary.size
        self._note(seq, summary)
        return True

    def _note(self, seq: int, summary: Summary) -> None:
        self.pages_since += 1
        self.bytes_since += summary.size
        if summary.snapshot == 0:
            self.snapshot, self.pages_since, self.bytes_since = seq, 0, 0
        if summary.count:
            self.spans.append(Span(summary.first, seq, summary.low, summary.high, 1))
            self.mark(summary.first, seq)
        if len(self.spans) > MAX_SPANS:
            _merge(self.spans)

    def mark(self, first: int, seq: int) -> None:
        """Remember where a page is; what was noted longest ago is forgotten first."""
        self.marks.pop(first, None)
        self.marks[first] = seq
        if len(self.marks) > MAX_PAGE_MARKS:
            del self.marks[next(iter(self.marks))]

    def near(self, place: int) -> tuple[Span, int]:
        """Where to look for a place: the span that it is in, and the stream sequence before which that ends."""
        at = max(bisect_right(self.spans, place, key=lambda span: span.first) - 1, 0)
        return self.spans[at], self.spans[at + 1].seq if at + 1 < len(self.spans) else self.seq + 1

    def prune(self, floor: int, below: bytes, gone: Iterable[Kept]) -> None:
        """Forget the records before a place; `gone` are those that were not pruned before."""
        for kept in gone:
            had, size = self.devices[kept.device], len(kept.record.data)
            self.devices[kept.device] = had._replace(size=had.size - size, gone=had.gone + 1)
            self.size -= size
        self.floor, self.below = floor, below
        keep = bisect_right(self.spans, floor, key=lambda span: span.first) - 1
        self.spans = self.spans[max(keep, 0) :] if floor <= self.length else []

    def to_snapshot(self) -> Snapshot:
        """What a later reader begins with."""
        return Snapshot(self.floor, self.below, list(self.devices.items()), self.spans)


def restore(seq: int, summary: Summary, snapshot: Snapshot) -> State:
    """The state after a page that carries a snapshot."""
    devices = dict(snapshot.devices)
    size = sum(device.size for device in devices.values())
    state = State(
        0, summary.first - 1, summary.before, snapshot.floor, snapshot.below, size, devices, snapshot.spans[:]
    )
    state.apply(seq, summary)
    return state


def _merge(spans: list[Span]) -> None:
    """Make one of the two neighbours that have the fewest pages together; the latest pages stay apart."""
    at = min(range(len(spans) - SINGLE_SPANS - 1), key=lambda at: spans[at].pages + spans[at + 1].pages)
    one, other = spans[at], spans[at + 1]
    low, high = min(one.low, other.low), max(one.high, other.high)
    spans[at : at + 2] = [Span(one.first, one.seq, low, high, one.pages + other.pages)]


# --- composing pages


class Wanted(NamedTuple):
    """Records that a device wants kept, and when they came (ms)."""

    device: bytes
    records: Sequence[Record]
    now: int


class Composed(NamedTuple):
    """Pages to write, and what each append comes to once they are; None for one with a device too many."""

    pages: list[tuple[Summary, bytes]]
    answers: list[Appended | None]


def compose(state: State, wanted: Sequence[Wanted], with_snapshot: bool) -> Composed:
    """Number what is new in these appends, and make pages of it: one, or as many as a large append takes."""
    devices: dict[bytes, Device] = {}
    answers: list[Appended | None] = []
    fresh: list[tuple[Kept, int]] = []
    length, chain, size = state.length, state.chain, state.size
    known = len(state.devices)
    for device, records, now in wanted:
        had = devices.get(device) or state.devices.get(device)
        if had is None:
            if known >= MAX_MAILBOX_DEVICES:
                answers.append(None)
                continue
            had, known = Device(), known + 1
        last = had.local
        for record in records:
            if record.local > last:
                last, length = record.local, length + 1
                mark = digest(device, record)
                chain, size = link(chain, [mark]), size + len(record.data)
                fresh.append((Kept(length, device, record, mark), now))
        devices[device] = Device(last)
        answers.append(Appended(had.local, last, Tip(length, chain), size))
    return Composed(_pages(state, fresh, with_snapshot), answers)


def _pages(
    state: State, fresh: Sequence[tuple[Kept, int]], with_snapshot: bool
) -> list[tuple[Summary, bytes]]:
    pages: list[tuple[Summary, bytes]] = []
    chain = state.chain
    for part in _split(fresh):
        snapshot = state.to_snapshot() if with_snapshot and not pages else None
        page = _page(chain, part, snapshot, state.snapshot)
        chain = page[0].chain
        pages.append(page)
    return pages


def _split(fresh: Sequence[tuple[Kept, int]]) -> list[list[tuple[Kept, int]]]:
    parts: list[list[tuple[Kept, int]]] = []
    room = 0
    for one in fresh:
        size = len(one[0].record.data) + RECORD_OVERHEAD
        if size > room:
            parts.append([])
            room = RELAY_PAGE_BYTES
        parts[-1].append(one)
        room -= size
    return parts


def _page(
    before: bytes, part: Sequence[tuple[Kept, int]], snapshot: Snapshot | None, last_snapshot: int
) -> tuple[Summary, bytes]:
    written: dict[bytes, Written] = {}
    numbers: dict[bytes, int] = {}
    records = []
    for (_, device, (local, ts, scope, data), mark), now in part:
        had = written.get(device, Written(device, 0, 0, 0))
        written[device] = Written(device, local, had.records + 1, had.size + len(data))
        number = numbers.setdefault(device, len(numbers))
        records.append((number, local, ts, SCOPES.index(scope), now, mark, data))
    times = [kept.record.ts for kept, _ in part]
    summary = Summary(
        part[0][0].seq,
        len(part),
        before,
        link(before, (kept.digest for kept, _ in part)),
        min(times),
        max(times),
        list(written.values()),
        0 if snapshot else last_snapshot,
    )
    return summary, encode(Body(list(numbers), records, snapshot))


def marker(state: State) -> tuple[Summary, bytes]:
    """A page without records that carries a snapshot."""
    summary = Summary(state.length + 1, 0, state.chain, state.chain, 0, 0, [], 0)
    return summary, encode(Body([], [], state.to_snapshot()))


def batch_of(waiting: Sequence[Wanted], most: int) -> int:
    """How many of the appends that wait go into one page: at least one."""
    room = RELAY_PAGE_BYTES
    for count, one in enumerate(waiting[:most]):
        room -= sum(len(record.data) + RECORD_OVERHEAD for record in one.records)
        if room < 0:
            return max(count, 1)
    return min(len(waiting), most)
