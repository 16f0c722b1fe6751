"""What only `sketch` promises: few differences among many for one datagram, and no harm from a peer that lies."""

from random import Random

import pytest

from quire.core import cells
from quire.core.cells import CELLS, PARTS
from quire.limits import (
    FAR_MS,
    FILTER_IDS,
    MAX_EAGER,
    SKETCH_ROUNDS,
    SKETCHES_PER_SECOND,
    SKETCHES_READ_PER_SECOND,
)
from quire.sync.messages import WHOLE, Filter, Root, Sketch, decode, encode_root, encode_sketch
from quire.sync.sketch import SketchStrategy
from quire.sync.strategy import Pace
from tests.sync.conformance import KEY, Network, ids, index_of, pair
from tests.sync.memory import SKETCH_KEY, MemoryIndex

SAME = ids(Random(1), 5_000)


def strategy() -> SketchStrategy:
    return SketchStrategy(KEY, Random(1).randbytes)


def other(count: int) -> bytes:
    return encode_root(Root(bytes(8), count, b"differs!", False))


def kinds(messages: list[bytes]) -> list[str]:
    return [type(decode(message)).__name__ for message in messages]


def garbage(part: int, seed: int = 1) -> bytes:
    random = Random(seed)
    return encode_sketch(Sketch(part, [random.getrandbits(96) for _ in range(CELLS)]))


@pytest.mark.parametrize("count", [1, 10, 20])
def test_few_differences_among_many_cost_two_datagrams_on_each_side(count: int) -> None:
    """A heartbeat and a sketch; nothing is pushed that was not lacked."""
    run = pair("sketch", index_of(SAME, ids(Random(2), count)), index_of(SAME, ids(Random(3), count)))
    assert run.converge(1) == 1
    assert run.messages == 4
    assert run.pushed == 2 * count


def test_a_thousand_differences_are_read_part_by_part() -> None:
    run = pair("sketch", index_of(SAME, ids(Random(2), 500)), index_of(SAME, ids(Random(3), 500)))
    assert run.converge(1) == 1
    assert run.messages == 2 * (2 + PARTS)
    assert run.pushed == 1_000


def test_a_thousand_differences_with_loss() -> None:
    network = Network(Random(4), loss=0.3)
    run = pair("sketch", index_of(SAME, ids(Random(2), 500)), index_of(SAME, ids(Random(3), 500)), network)
    assert run.converge(40) > 1
    assert run.messages < 30 * PARTS


def test_where_little_is_held_one_filter_does() -> None:
    index = index_of(ids(Random(2), FILTER_IDS))
    assert kinds(strategy().receive(other(1), index, 0)) == ["Filter"]


def test_where_much_differs_buckets_are_named() -> None:
    side = strategy()
    assert kinds(side.receive(other(len(SAME) + 2_000), index_of(SAME), 0)) == ["Buckets"]
    assert kinds(side.receive(other(len(SAME) + 1_000), index_of(SAME), 0)) == ["Sketch"]


def test_what_no_sketch_tells_is_found_by_filters() -> None:
    """Two halves of as many: counts say nothing of how far apart they are."""
    run = pair("sketch", index_of(ids(Random(2), 3_000)), index_of(ids(Random(3), 3_000)))
    run.converge(12)
    assert run.pushed < 8_000


def test_a_part_that_cannot_be_read_ends_it_for_a_while() -> None:
    side, index = strategy(), index_of(SAME)
    assert kinds(side.receive(garbage(WHOLE), index, 0)) == ["Sketch"] * PARTS
    assert side.receive(garbage(3), index, 0) == []
    assert kinds(side.receive(other(len(SAME)), index, FAR_MS - 1)) == ["Buckets"]
    assert kinds(side.receive(other(len(SAME)), index, FAR_MS + 1_000))[0] == "Sketch"


def test_stores_that_stay_apart_are_left_to_filters_for_a_while() -> None:
    side, index = strategy(), index_of(SAME)
    for beat in range(SKETCH_ROUNDS):
        assert kinds(side.receive(other(len(SAME)), index, beat)) == ["Sketch"]
    assert side.receive(other(len(SAME)), index, 20) == []
    assert kinds(side.receive(other(len(SAME)), index, 30)) == ["Buckets"]


def test_a_sketch_that_waits_is_one_round_however_often_the_stores_differ() -> None:
    side, index = strategy(), index_of(SAME)
    for now in range(2 * SKETCH_ROUNDS):
        assert side.receive(other(len(SAME)), index, now, Pace(0, 0)) == []
    assert kinds(side.questions(index, 50, 9)) == ["Sketch"]
    assert kinds(side.receive(other(len(SAME)), index, 60, Pace(9, 0))) == ["Sketch"], "not left to filters"


def test_so_many_sketches_go_as_may() -> None:
    side, index = strategy(), index_of(SAME)
    assert side.receive(garbage(WHOLE), index, 0, Pace(0, 0)) == []
    assert [len(side.questions(index, 0, most)) for most in (5, 0, 20, 20)] == [5, 0, 20, PARTS - 25]


def test_sketches_that_cannot_be_made_any_more_hold_nothing_up() -> None:
    side = strategy()
    side.receive(garbage(WHOLE), index_of(SAME), 0, Pace(0, 0))
    index = Unsketched()
    for ts, event_id in SAME:
        index.add(ts, event_id, event_id)
    assert kinds(side.receive(other(len(SAME)), index, 0)) == ["Buckets"]
    assert side.questions(index_of(SAME), 0, 9) == []


def test_lies_cost_so_many_sketches_a_second() -> None:
    side, index = strategy(), index_of(SAME)
    sent = sum(len(side.receive(garbage(WHOLE, seed), index, 5)) for seed in range(100))
    assert sent == SKETCHES_PER_SECOND
    assert len(side.receive(garbage(WHOLE), index, 1_005)) <= SKETCHES_PER_SECOND


def test_so_many_sketches_of_one_peer_are_read_in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs half a millisecond, also those that tell something."""
    reads: list[int] = []
    difference = cells.difference
    monkeypatch.setattr(cells, "difference", lambda *asked: reads.append(1) or difference(*asked))
    own = ids(Random(9), 4)
    side, index = strategy(), index_of(SAME, own)
    theirs = encode_sketch(Sketch(WHOLE, cells.whole(index_of(SAME).sketch().parts)))
    for _ in range(5 * SKETCHES_READ_PER_SECOND):
        side.receive(theirs, index, 0)
    assert len(reads) == SKETCHES_READ_PER_SECOND
    assert len(side.next_pushes(index, 64, 0)) == len(own)
    assert kinds(side.receive(other(len(SAME)), index, 0)) == ["Sketch"], "what else it says is heard"
    side.receive(theirs, index, 1_000)
    assert len(reads) == SKETCHES_READ_PER_SECOND + 1
    assert side.next_pushes(index, 64, 1_000), "what was left out comes again"


def test_all_sketches_that_an_honest_peer_may_send_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many at the end of one of its seconds, and as many again when the next one begins."""
    reads: list[int] = []
    difference = cells.difference
    monkeypatch.setattr(cells, "difference", lambda *asked: reads.append(1) or difference(*asked))
    sender, receiver, index = strategy(), strategy(), index_of(SAME)
    sender.heartbeat(index, 0)
    sent = [
        message
        for now in (0, 990, 990, 990, 1_000, 1_000, 1_000)
        for message in sender.receive(garbage(WHOLE, now + 1), index, now)
    ]
    assert len(sent) == 2 * SKETCHES_PER_SECOND
    for message in sent:
        receiver.receive(message, index, 0)
    assert len(reads) == 7 + len(sent)


def test_ids_that_were_mined_to_spoil_a_sketch_hide_nothing() -> None:
    """Twins of one short name cancel out in every sketch, and others that share all their cells: filters find them."""
    random = Random(5)
    twins = [(10**12, bytes(8) + random.randbytes(24)) for _ in range(2)]
    alike = _sharing_cells(6)
    run = pair("sketch", index_of(SAME, ids(Random(6), 5), twins, alike), index_of(SAME))
    assert run.converge(SKETCH_ROUNDS + 4) > SKETCH_ROUNDS
    assert run.messages < 100


def _sharing_cells(count: int) -> list[tuple[int, bytes]]:
    """Ids of which every two neighbours lie in the same cells: a member who knows the key looks for such."""
    found: dict[tuple[int, ...], list[int]] = {}
    random = Random(7)
    while True:
        name = random.getrandbits(59)  # all in the first part
        parts = cells.parts_of(SKETCH_KEY, [name])
        places = tuple(at for at, cell in enumerate(parts[0]) if cell)
        group = found.setdefault(places[:2], [])
        group.append(name)
        if len(group) == count:
            return [(10**12 + n, name.to_bytes(8, "big") + bytes(24)) for n, name in enumerate(group)]


def test_what_is_found_to_be_lacked_is_bounded_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quire.sync.sketch.MAX_EAGER", 3)
    assert MAX_EAGER > 3
    own = sorted(ids(Random(8), 10))
    side, index = strategy(), index_of(SAME, own)
    theirs = encode_sketch(Sketch(WHOLE, cells.whole(index_of(SAME).sketch().parts)))
    for _ in range(2):  # said twice, it is pushed once
        side.receive(theirs, index, 0)
    assert side.pushing
    assert side.next_pushes(index, 2, 0) == [event_id for _, event_id in own[:2]]
    assert side.next_pushes(index, 2, 0) == [own[2][1]]
    assert not side.pushing


def test_in_sync_again_nothing_is_due() -> None:
    side, index = strategy(), index_of(SAME, ids(Random(9), 4))
    side.receive(encode_sketch(Sketch(WHOLE, cells.whole(index_of(SAME).sketch().parts))), index, 0)
    assert side.pushing
    equal = strategy().heartbeat(index, 0)
    assert kinds(equal) == ["Root"]
    assert side.receive(equal[0], index, 0) == []
    assert side.in_sync
    assert not side.pushing
    assert side.peer_count == len(SAME) + 4


class Unsketched(MemoryIndex):
    """As a store is where not everybody can open the same."""

    def sketch(self) -> None:  # type: ignore[override]
        return None


def test_without_sketches_the_rest_works() -> None:
    index = Unsketched()
    for ts, event_id in SAME:
        index.add(ts, event_id, event_id)
    side = strategy()
    assert side.receive(garbage(WHOLE), index, 0) == []
    assert kinds(side.receive(other(len(SAME)), index, 0)) == ["Buckets"]


def test_a_sketch_is_no_word_of_bloom() -> None:
    run = pair("bloom", index_of(SAME), index_of(SAME))
    run.sides[0].inbox.append(garbage(WHOLE))
    run.tick()
    assert run.sides[0].bad == 1
    assert isinstance(decode(encode_sketch(Sketch(0, cells.empty()))), Sketch)
    assert not isinstance(decode(garbage(0)), Filter)
