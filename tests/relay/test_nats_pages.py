"""Pages and what they make of a mailbox's state, without any server."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.limits import (
    APPENDS_PER_PAGE,
    MAX_MAILBOX_DEVICES,
    MAX_PAGE_MARKS,
    MAX_SPANS,
    RECORDS_PER_MESSAGE,
    RELAY_PAGE_BYTES,
    SINGLE_SPANS,
    SNAPSHOT_BYTES,
    SNAPSHOT_PAGES,
)
from quire.net.relay_wire import Record
from quire.relay.log_store import Kept
from quire.relay.nats_client import PAYLOAD_BYTES
from quire.relay.nats_pages import (
    Device,
    State,
    Wanted,
    batch_of,
    compose,
    encode,
    marker,
    page_of,
    read_body,
    read_summary,
    restore,
)
from tests.relay.log_model import T0, Model, name, records

BOX, ONE = name("box"), name("one")


def written(state: State, *wanted: Wanted, with_snapshot: bool = False) -> None:
    """Compose pages and take them in, each at the next stream sequence."""
    for summary, _ in compose(state, wanted, with_snapshot).pages:
        assert state.apply(state.seq + 1, read_summary(encode(summary)))


def taken_up_again(state: State) -> State:
    """The same from its snapshot alone; a place that a process noted beside it is no part of what it comes to."""
    summary, data = marker(state)
    snapshot = read_body(data).snapshot
    assert snapshot
    found = restore(state.seq + 1, read_summary(encode(summary)), snapshot)
    assert found.snapshot == state.seq + 1
    return replace(
        found,
        seq=state.seq,
        snapshot=state.snapshot,
        pages_since=state.pages_since,
        bytes_since=state.bytes_since,
        marks=dict(state.marks),
    )


_WANTED = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 30), st.integers(0, 9), st.sampled_from((1, 40, 70_000))), max_size=8
)  # fmt: skip


@given(st.lists(st.tuples(_WANTED, st.booleans()), max_size=5))
def test_pages_come_to_what_the_model_says(
    rounds: list[tuple[list[tuple[int, int, int, int]], bool]],
) -> None:
    state, model, kept = State(), Model(), list[Kept]()
    for appends, with_snapshot in rounds:
        wanted = [
            Wanted(name(device), records(first, count, size), T0) for device, first, count, size in appends
        ]
        if with_snapshot:
            state.apply(state.seq + 1, marker(state)[0])
        restored = taken_up_again(state)
        composed = compose(state, wanted, False)
        assert composed.answers == [model.append(BOX, *one) for one in wanted]
        for summary, data in composed.pages:
            seq = state.seq + 1
            assert state.apply(seq, summary)
            assert not state.apply(seq + 1, summary)  # it follows once
            page = page_of(seq, read_summary(encode(summary)), read_body(data))
            kept += page.records
            assert page.arrived == [T0] * summary.count
            assert restored.apply(seq, page.summary)
        assert restored == state
    assert kept == model.read(BOX, 0, 1 << 30, 1 << 30).records


@pytest.mark.parametrize("size", [1, 500, 128 * 1024])
def test_the_largest_page_with_the_largest_snapshot_fits_a_message(size: int) -> None:
    state = State()
    devices = [name(number) for number in range(MAX_MAILBOX_DEVICES)]
    for device in devices:
        state.devices[device] = Device(1 << 53, 1 << 53, 1 << 53, 1 << 53)
    for n in range(MAX_SPANS):
        written(state, Wanted(ONE if n < 0 else devices[n], records((1 << 53) + 1, 1, ts=1 << 52), T0))
    record = Record((1 << 53) + 10, T0, "space", bytes(size))
    count = min(RECORDS_PER_MESSAGE, RELAY_PAGE_BYTES // size)
    wanted = [
        Wanted(device, [record._replace(local=(1 << 53) + 10 + n) for n in range(count // APPENDS_PER_PAGE + 1)], T0)
        for device in devices[:APPENDS_PER_PAGE]
    ]  # fmt: skip
    together = batch_of(wanted, APPENDS_PER_PAGE)
    pages = compose(state, wanted[:together], True).pages
    assert len(pages) == 1
    assert all(len(encode(summary)) * 4 / 3 + len(data) + 512 < PAYLOAD_BYTES for summary, data in pages)


def test_so_many_appends_share_a_page() -> None:
    small = [Wanted(ONE, records(1, 1), T0)] * (APPENDS_PER_PAGE + 1)
    assert batch_of(small, APPENDS_PER_PAGE) == APPENDS_PER_PAGE
    half = [Wanted(ONE, records(1, 1, size=RELAY_PAGE_BYTES // 2), T0)] * 3
    assert batch_of(half, APPENDS_PER_PAGE) == 1
    assert batch_of([Wanted(ONE, records(1, 3, size=RELAY_PAGE_BYTES), T0)], APPENDS_PER_PAGE) == 1


def test_a_mailbox_remembers_so_many_devices() -> None:
    state = State()
    for number in range(MAX_MAILBOX_DEVICES - 1):
        state.devices[name(number)] = Device(1)
    composed = compose(
        state, [Wanted(name("a"), records(1, 2), T0), Wanted(name("b"), records(1, 2), T0)], False
    )
    assert [answer is not None for answer in composed.answers] == [True, False]
    assert composed.pages[0][0].count == 2
    again = compose(state, [Wanted(name(0), records(2, 1), T0)], False)
    assert again.answers[0] is not None  # those that it knows go on


def test_a_snapshot_is_due_after_so_many_pages_or_bytes() -> None:
    state = State()
    for n in range(1, SNAPSHOT_PAGES + 1):
        assert not state.snapshot_due()
        state.snapshot = 1
        written(state, Wanted(ONE, records(n, 1), T0))
    assert state.snapshot_due()
    written(state, Wanted(ONE, records(n + 1, 1), T0), with_snapshot=True)
    assert not state.snapshot_due()
    large = 100_000
    for n in range(1_000, 1_000 + SNAPSHOT_BYTES // large + 1):
        assert not state.snapshot_due()
        written(state, Wanted(ONE, records(n, 1, size=large), T0))
    assert state.snapshot_due()
    summary, data = marker(state)
    assert state.apply(state.seq + 1, summary)
    assert not state.snapshot_due()
    assert read_body(data).records == []


def test_spans_and_marks_are_bounded_and_lead_to_every_place() -> None:
    state = State()
    random = Random(3)
    times: list[int] = []
    for n in range(1, MAX_PAGE_MARKS + 200):
        times.append(random.randrange(1_000))
        written(state, Wanted(ONE, [Record(n, times[-1], "space", b"x")], T0))
    assert len(state.spans) == MAX_SPANS
    assert len(state.marks) == MAX_PAGE_MARKS
    assert sum(span.pages for span in state.spans) == state.length
    assert [span.pages for span in state.spans[-SINGLE_SPANS:]] == [1] * SINGLE_SPANS
    assert max(span.pages for span in state.spans) <= 4 * state.length / MAX_SPANS
    for place in range(1, state.length + 1):  # one record to a page: places are sequences
        span, end = state.near(place)
        assert span.seq <= place < end
        assert span.low <= times[place - 1] <= span.high
