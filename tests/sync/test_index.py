from hypothesis import given
from hypothesis import strategies as st

from quire.sync.index import COARSE, END, FINE, START, Summary, after, separator
from tests.sync.memory import MemoryIndex

positions = st.tuples(st.integers(0, 3), st.binary(min_size=32, max_size=32))


@given(st.lists(positions, min_size=2, max_size=2, unique=True).map(sorted))
def test_separator_is_a_short_bound_between(pair: list[tuple[int, bytes]]) -> None:
    below, above = pair
    bound = separator(below, above)
    assert below < bound <= above
    assert not bound[1] or (above[0], bound[1][:-1]) <= below


@given(positions, positions)
def test_after_is_the_least_bound_above(position: tuple[int, bytes], other: tuple[int, bytes]) -> None:
    assert position < after(position)
    assert (other > position) == (other >= after(position))


def test_summaries_of_children_add_up() -> None:
    index = MemoryIndex()
    for number in range(300):
        assert index.add(number * 10**8, bytes((number % 256, number // 256)) * 16)
    assert not index.add(0, bytes(32))
    coarse = index.buckets(COARSE, 0, END[0], 300)
    fine = [
        index.buckets(FINE, bucket << COARSE - FINE, bucket + 1 << COARSE - FINE, 300) for bucket, _ in coarse
    ]
    for part in (coarse, [child for children in fine for child in children]):
        assert sum(held.count for _, held in part) == index.whole().count == 300
        assert Summary(300, sum(held.total for _, held in part) % 2**256) == index.whole()
    for (at, _), children in zip(coarse, fine, strict=True):
        assert all(child >> COARSE - FINE == at for child, _ in children)


def test_page_is_half_open_and_bounded() -> None:
    index = MemoryIndex()
    for ts in range(10):
        index.add(ts, bytes((ts,)) * 32)
    assert [ts for ts, _ in index.page((2, b""), (5, b""), 99)] == [2, 3, 4]
    assert [ts for ts, _ in index.page(after((2, b"\2" * 32)), (5, b"\5"), 99)] == [3, 4]
    assert len(index.page(START, END, 4)) == 4
