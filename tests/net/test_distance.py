from dataclasses import dataclass
from random import Random

import pytest

from quire.limits import FAR_EVENTS, NUDGE_MS
from quire.net.distance import Distance
from quire.net.notices import FarApart
from quire.sync import STRATEGIES, Strategy
from quire.sync.messages import Root, encode_root
from tests.sync.conformance import ids, index_of
from tests.sync.memory import MemoryIndex

KEY = b"k" * 32


@dataclass
class Told:
    strategy: Strategy
    index: MemoryIndex


def told(theirs: int, ours: int = 5) -> Told:
    """A strategy that was told by its peer how many events that holds."""
    strategy, index = STRATEGIES["bloom"](KEY, Random(1).randbytes), index_of(ids(Random(2), ours))
    strategy.receive(encode_root(Root(bytes(8), theirs, bytes(8), False)), index, 0)
    return Told(strategy, index)


@pytest.mark.parametrize(
    ("more", "lacks"), [(FAR_EVENTS, True), (FAR_EVENTS - 1, None), (-FAR_EVENTS, False)]
)
def test_what_is_far_is_told(more: int, lacks: bool | None) -> None:
    ours = max(5, 5 - more)
    case, distance = told(ours + more, ours), Distance(True, False)
    assert distance.look(case.strategy, case.index, 0) == ([] if lacks is None else [FarApart(lacks)])
    assert not distance.leaves, "nobody said that a stream would see to it"
    distance.defers = True
    assert distance.leaves == (lacks is not None)


def test_it_is_looked_at_now_and_then() -> None:
    case, distance = told(10 * FAR_EVENTS), Distance(True, False)
    assert distance.look(case.strategy, case.index, 0)
    assert not distance.look(case.strategy, case.index, NUDGE_MS - 1)
    assert distance.look(case.strategy, case.index, NUDGE_MS)


def test_a_stream_does_everything() -> None:
    distance = Distance(True, False)
    distance.set_streams(True)
    assert distance.leaves
    distance.set_streams(False)
    assert not distance.leaves


def test_nothing_was_heard_yet() -> None:
    distance, strategy = Distance(True, False), STRATEGIES["bloom"](KEY, Random(1).randbytes)
    distance.defers = True
    assert distance.look(strategy, MemoryIndex(), 0) == []
    assert not distance.leaves


@pytest.mark.parametrize("goes_first", [True, False])
def test_at_first_any_difference_may_be_far(goes_first: bool) -> None:
    """Even where both hold as many: then one of the two is to call."""
    case, distance = told(5), Distance(goes_first, True)
    assert distance.leaves, "what may come over a stream is not asked for before it is known to differ"
    assert distance.look(case.strategy, case.index, 0) == [FarApart(goes_first)]
    assert distance.leaves
    distance.settle()
    assert not distance.leaves
    assert distance.look(case.strategy, case.index, NUDGE_MS) == []
