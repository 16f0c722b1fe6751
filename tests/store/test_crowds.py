"""Milliseconds that hold many events, against plain sorted lists."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.limits import MAX_CROWD_IDS
from quire.store import crowds
from quire.store.crowds import Crowds

NOTHING = frozenset[int]()
PLACE = (1, 2, 3_000)

ids = st.binary(min_size=32, max_size=32)
bounds = ids | st.binary(max_size=33)


@given(st.sets(ids), st.dictionaries(ids, st.integers(0, 2)), bounds, st.integers(1, 9))
def test_pages_against_a_sorted_list(
    first: set[bytes], later: dict[bytes, int], low: bytes, limit: int
) -> None:
    kept = Crowds()
    some = frozenset({1})
    for closed in (NOTHING, some):
        kept.keep(PLACE, closed, sorted(first))
    later = {event_id: epoch for event_id, epoch in later.items() if event_id not in first}
    kept.add(1, 2, [(3_000, event_id, epoch) for event_id, epoch in later.items()])
    kept.add(1, 2, [(3_001, event_id, 0) for event_id in later])
    kept.add(9, 2, [(3_000, event_id, 0) for event_id in later])
    for closed in (NOTHING, some):
        held = sorted(first | {event_id for event_id, epoch in later.items() if epoch not in closed})
        assert list(kept.page(PLACE, closed, low, limit)) == [one for one in held if one >= low][:limit]
    kept.clear()
    assert not kept.knows(PLACE, NOTHING)


def test_so_many_ids_are_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_CROWD_IDS > 100_000
    monkeypatch.setattr(crowds, "MAX_CROWD_IDS", 10)
    kept, run = Crowds(), [bytes((number,)) * 32 for number in range(11)]
    kept.keep(PLACE, NOTHING, run)
    assert not kept.knows(PLACE, NOTHING), "more than all that may be kept"
    places = [(1, 2, ts) for ts in range(3)]
    for place in places:
        kept.keep(place, NOTHING, run[:5])
    assert [kept.knows(place, NOTHING) for place in places] == [False, True, True]
    kept.add(1, 2, [(2, run[9], 0)])
    assert [kept.knows(place, NOTHING) for place in places] == [False, False, True]
    assert list(kept.page(places[2], NOTHING, run[4], 9)) == [run[4], run[9]]
    kept.keep(places[2], frozenset({1}), run[:6])
    assert not kept.knows(places[2], NOTHING)
    assert kept._size == 0
