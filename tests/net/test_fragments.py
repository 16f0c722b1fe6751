from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.limits import FRAGMENT_BYTES, MAX_REASSEMBLIES, MAX_REASSEMBLY_BYTES, REASSEMBLY_IDLE_MS
from quire.net.fragments import Reassembly, cut
from quire.net.wire import MAX_RECORD, BadFrame, Fragment

RANDOM = Random(1)
RECORD = RANDOM.randbytes(5 * FRAGMENT_BYTES + 3)


@given(st.permutations(range(6)), st.lists(st.integers(0, 5), max_size=4))
def test_any_order_with_doubles_gives_the_record(order: list[int], twice: list[int]) -> None:
    buffers, parts = Reassembly(), cut(RECORD)
    got = [buffers.add(parts[place], 0) for place in [*twice, *order]]
    assert next(record for record in got if record is not None) == RECORD


def test_the_largest_record() -> None:
    record = RANDOM.randbytes(MAX_RECORD)
    buffers = Reassembly()
    assert [buffers.add(part, 0) for part in cut(record)][-1] == record
    assert (len(buffers), buffers.size) == (0, 0)


def test_pieces_accumulate_until_they_are_idle_too_long() -> None:
    buffers, parts = Reassembly(), cut(RECORD)
    now = 0
    for part in parts[:-1]:
        now += REASSEMBLY_IDLE_MS - 1
        buffers.expire(now)
        assert buffers.add(part, now) is None
    buffers.expire(now + REASSEMBLY_IDLE_MS - 1)
    assert len(buffers) == 1
    buffers.expire(now + REASSEMBLY_IDLE_MS)
    assert (len(buffers), buffers.size) == (0, 0)


def test_buffers_are_bounded_in_number_and_the_idlest_go_first() -> None:
    buffers = Reassembly()
    kept = cut(RECORD)
    buffers.add(kept[0], 0)
    for number in range(MAX_REASSEMBLIES + 20):
        buffers.add(cut(RANDOM.randbytes(3_000))[0], number)
        buffers.add(kept[number % 5], number)
    assert len(buffers) == MAX_REASSEMBLIES
    assert buffers.add(kept[5], 99) == RECORD


def test_buffers_are_bounded_in_bytes() -> None:
    buffers = Reassembly()
    for _ in range(MAX_REASSEMBLY_BYTES // MAX_RECORD + 3):
        for part in cut(RANDOM.randbytes(MAX_RECORD))[:-1]:
            buffers.add(part, 0)
            assert buffers.size <= MAX_REASSEMBLY_BYTES


def test_pieces_that_do_not_belong_together() -> None:
    buffers, parts = Reassembly(), cut(RECORD)
    for part in parts[:-1]:
        buffers.add(part, 0)
    with pytest.raises(BadFrame):
        buffers.add(Fragment(parts[5].tag, 5, 6, b"xyz"), 0)
    buffers.add(parts[0], 0)
    with pytest.raises(BadFrame):
        buffers.add(Fragment(parts[0].tag, 0, 7, parts[0].piece), 0)
    assert (len(buffers), buffers.size) == (0, 0)
