"""Questions about one mailbox in JetStream, answered from its pages: read, range, news; and what is to be pruned.

What they cost in pages: read, those that hold what it gives; range, those of every span (see Span) that may hold a
key in question, which for the latest record is one page; news, none for a newcomer, those after the place near the
end, else those up to the snapshot before it. All of a mailbox is read by a range over all of its time alone.
"""

from quire.limits import SINGLE_SPANS
from quire.net.relay_wire import link, sort_key
from quire.relay.log_store import Kept, Part, Pruned, Retention
from quire.relay.nats_link import Stored
from quire.relay.nats_mailbox import Mailbox
from quire.relay.nats_pages import Page, Span, State, marker, read_body


async def read(box: Mailbox, after: int, most_records: int, most_bytes: int) -> Part:
    """Records after a place: at least one where there is one. A tip that is reached is the servers' at present."""
    state = await box.state(after)
    first = max(after + 1, state.floor)
    records: list[Kept] = []
    before, room, length = state.chain, most_bytes, -1
    while length != state.length:  # until none came while the last ones were read
        length = state.length
        async for page in box.pages(first + len(records)):
            if not records:
                before = _chain_before(page, first)
            for kept in page.records[first + len(records) - page.summary.first :]:
                room -= len(kept.record.data)
                if records and (room < 0 or len(records) >= most_records):
                    return Part(first, before, records, (await box.state()).tip)
                records.append(kept)
        state = await box.latest()
    return Part(
        first if records else state.length + 1, before if records else state.chain, records, state.tip
    )


def _chain_before(page: Page, place: int) -> bytes:
    earlier = page.records[: max(place - page.summary.first, 0)]
    return link(page.summary.before, (kept.digest for kept in earlier))


# --- by time


async def find(box: Mailbox, low: str, high: str, limit: int, newest: bool) -> list[Kept]:
    """Records whose sort key is in [low, high), the first ones or the last ones of them."""
    state = await box.latest()
    found: list[tuple[str, Kept]] = []
    for span, end in _by_time(state, newest):
        if f"{span.high:016d};" <= low or f"{span.low:016d}:" >= high:
            continue
        if len(found) >= limit and _beyond(span, found[-1][0], newest):
            break
        async for page in box.pages(max(span.first, state.floor)):
            if page.summary.first > end:
                break
            found += _in_range(page, state.floor, low, high)
            found = sorted(found, key=lambda one: one[0], reverse=newest)[:limit]
    return [kept for _, kept in found]


def _by_time(state: State, newest: bool) -> list[tuple[Span, int]]:
    """Spans with the place of their last record, those first that may hold what comes first."""
    ends = [span.first - 1 for span in state.spans[1:]] + [state.length]
    spans = list(zip(state.spans, ends, strict=True)) if state.spans else []
    return sorted(spans, key=lambda one: -one[0].high if newest else one[0].low)


def _beyond(span: Span, worst: str, newest: bool) -> bool:
    return f"{span.high:016d};" <= worst if newest else f"{span.low:016d}:" > worst


def _in_range(page: Page, floor: int, low: str, high: str) -> list[tuple[str, Kept]]:
    keyed = [
        (sort_key(kept.record.ts, kept.record.local, kept.device), kept)
        for kept in page.records
        if kept.seq >= floor
    ]
    return [one for one in keyed if low <= one[0] < high]


# --- who wrote how much


async def news(box: Mailbox, device: bytes, after: int) -> list[tuple[bytes, int]]:
    """How many records after a place each other device has."""
    state = await box.state(after)
    after = max(after, state.floor - 1)
    if after >= state.length:
        return []
    total = {name: known.records for name, known in state.devices.items()}
    if after < state.floor:
        counts = {name: total[name] - known.gone for name, known in state.devices.items()}
    elif after >= state.spans[-SINGLE_SPANS:][0].first:
        counts = await _counted(box, after + 1, state.length)
    else:
        earlier = await _written_before(box, state, after)
        counts = {name: count - earlier.get(name, 0) for name, count in total.items()}
    return [(name, count) for name, count in sorted(counts.items()) if name != device and count > 0]


async def _written_before(box: Mailbox, state: State, after: int) -> dict[bytes, int]:
    """How many records each device ever had up to a place: from the snapshot before it, and the pages from there."""
    base = {name: known.gone for name, known in state.devices.items()}
    start = state.floor
    async for page in box.pages(after):
        seq = page.summary.snapshot or page.seq
        stored = await box.stored(seq)
        if stored is not None and stored.seq == seq and (snapshot := read_body(stored.data).snapshot):
            base = {name: known.records for name, known in snapshot.devices}
            start = box.taken(stored).summary.first
        break
    for name, count in (await _counted(box, start, after)).items():
        base[name] = base.get(name, 0) + count
    return base


async def _counted(box: Mailbox, first: int, last: int) -> dict[bytes, int]:
    counts: dict[bytes, int] = {}
    if first > last:
        return counts
    async for page in box.pages(first):
        for kept in page.records:
            if first <= kept.seq <= last:
                counts[kept.device] = counts.get(kept.device, 0) + 1
        if page.summary.end >= last:
            break
    return counts


# --- retention


async def prune(box: Mailbox, keep: Retention, now: int) -> Pruned:
    """Remove records from the front on that are too old or too much.

    The new floor is in the log before anything is removed from it; what a crash left in between goes the next time.
    A page goes once all of its records may: those of one that is kept in part are not given any more.
    """
    async with box.writing:
        state = await box.latest()
        stored = await box.stored(1)
        if stored is None or not (keep.age or state.floor > 1 or (keep.size and state.size > keep.size)):
            return Pruned(0, 0)
        gone, last = await _too_much(box, state, keep, now)
        if gone:
            below = link(state.below, (kept.digest for kept in gone))
            state.prune(gone[-1].seq + 1, below, gone)
            try:
                await box.publish([marker(state)], state.seq)
            except BaseException:
                box.forget()
                raise
        await _purge(box, state, stored, last)
    return Pruned(len(gone), sum(len(kept.record.data) for kept in gone))


async def _too_much(box: Mailbox, state: State, keep: Retention, now: int) -> tuple[list[Kept], Page | None]:
    """The records to remove, and the page that the first one to stay is in."""
    gone: list[Kept] = []
    size = state.size
    async for page in box.pages(state.floor):
        for kept, arrived in zip(page.records, page.arrived, strict=True):
            if kept.seq < state.floor:
                continue
            if not keep.removes(kept.record.scope, arrived, size, now):
                return gone, page
            gone.append(kept)
            size -= len(kept.record.data)
    return gone, None


async def _purge(box: Mailbox, state: State, first: Stored, page: Page | None) -> None:
    """Purge below a page, but leave the last snapshot: without it the pages after it tell nothing."""
    below = min(page.seq if page else state.seq, state.snapshot)
    if first.seq < below:
        await box.link.purge(box.subject, below)
