from hypothesis import given
from hypothesis import strategies as st

from quire.limits import INGEST_BATCH
from quire.sync.index import Position
from quire.sync.lacking import lacking
from tests.sync.memory import MemoryIndex

_positions = st.tuples(st.integers(0, 2**34), st.binary(min_size=32, max_size=32))
_sets = st.lists(_positions, max_size=40, unique_by=lambda at: at[1])


class _Watched(MemoryIndex):
    """Counts what is read of it."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    def page(self, low: Position, high: Position, limit: int) -> list[Position]:
        found = super().page(low, high, limit)
        self.read += len(found)
        return found


def _index(positions: list[Position]) -> _Watched:
    index = _Watched()
    for ts, event_id in positions:
        index.add(ts, event_id)
    return index


def _told(held: MemoryIndex, theirs: MemoryIndex) -> list[bytes]:
    return [event_id for part in lacking(held, theirs) for event_id in part]


@given(_sets, _sets)
def test_all_that_one_lacks_is_told_and_nothing_else(ours: list[Position], both: list[Position]) -> None:
    theirs = [at for at in both if at not in ours]
    held, lacks = _index([*ours, *theirs[::2]]), _index(theirs)
    assert _told(held, lacks) == [event_id for _, event_id in held.positions() if not lacks.blobs([event_id])]
    assert _told(held, held) == []
    assert _told(held, _index([])) == [event_id for _, event_id in held.positions()]


def test_what_is_alike_is_not_read() -> None:
    day = 86_400_000
    common = [(n * day // 40, n.to_bytes(32)) for n in range(4_000)]
    held, theirs = _index([*common, (50 * day, b"n" * 32)]), _index(common)
    assert _told(held, theirs) == [b"n" * 32]
    assert held.read + theirs.read < 20


def test_much_of_one_moment_is_read_in_pages() -> None:
    held = _index([(n // 7, n.to_bytes(32)) for n in range(3 * INGEST_BATCH)])
    assert len(_told(held, _index([]))) == 3 * INGEST_BATCH
