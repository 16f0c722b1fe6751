from collections.abc import Sequence
from itertools import pairwise
from random import Random

import pytest

from quire.limits import (
    FRAGMENT_BYTES,
    MAX_EAGER,
    MAX_FRAGMENTED,
    MAX_RECENT,
    MAX_RECENT_MS,
    MIN_RECENT_MS,
    PUSH_BATCH,
    RECENT_KEPT,
)
from quire.net import wire
from quire.net.outbox import WHOLE, Outbox, Ref
from quire.sync.index import EventIndex
from quire.sync.strategy import FREELY, Pace
from tests.sync.memory import MemoryIndex

ROOM = wire.FRAMES_ROOM


class Scripted:
    """A strategy that pushes a list."""

    in_sync: bool | None = None
    peer_count: int | None = None

    def __init__(self) -> None:
        self.pushes: list[bytes] = []
        self.asked: list[int] = []
        self.asked_at = 0
        self.said_at: int | None = None

    @property
    def pushing(self) -> bool:
        return bool(self.pushes)

    asking = False

    def heartbeat(self, index: EventIndex, now: int, pace: Pace = FREELY) -> list[bytes]:
        return []

    def receive(self, message: bytes, index: EventIndex, now: int, pace: Pace = FREELY) -> list[bytes]:
        return []

    def questions(self, index: EventIndex, now: int, most: int) -> list[bytes]:
        return []

    def forget(self) -> None:
        self.pushes.clear()

    def next_pushes(self, index: EventIndex, limit: int, now: int) -> list[bytes]:
        self.asked.append(limit)
        self.asked_at = now if self.said_at is None else self.said_at
        some, self.pushes = self.pushes[:limit], self.pushes[limit:]
        return some


class Box:
    """An outbox over random events of these sizes."""

    def __init__(self, *sizes: int) -> None:
        random = Random(1)
        self.index, self.strategy = MemoryIndex(), Scripted()
        self.ids = [random.randbytes(32) for _ in sizes]
        for event_id, size in zip(self.ids, sizes, strict=True):
            self.index.add(1, event_id, event_id.ljust(size, b"."))
        self.outbox = Outbox(self.index, self.strategy)

    def filled(self, now: int = 0) -> tuple[list[bytes], list[Ref]]:
        """What one datagram carries."""
        self.outbox.read(now, 10)
        return self.outbox.fill(ROOM)

    def sent(self, now: int = 0, most: int = 10_000) -> list[Ref]:
        """Everything that goes out until nothing does."""
        found: list[Ref] = []
        for _ in range(most):
            frames, refs = self.filled(now)
            assert sum(map(len, frames)) <= ROOM
            assert len(refs) == sum(
                1 if kind == wire.FRAGMENT else len(wire.read_events(body))
                for data in frames
                for kind, body in wire.read_frames(data)
            )
            found += refs
            if not refs:
                break
        return found


def names(ids: Sequence[bytes]) -> list[Ref]:
    return [Ref(event_id, WHOLE) for event_id in ids]


def test_records_share_datagrams() -> None:
    box = Box(*[430] * 5)
    box.outbox.push(box.ids)
    refs = [box.filled()[1] for _ in range(4)]
    assert refs == [names(box.ids[:2]), names(box.ids[2:4]), names(box.ids[4:]), []]


def test_lost_first_then_live_then_found() -> None:
    box = Box(*[100] * 6)
    box.strategy.pushes = box.ids[4:]
    box.outbox.push(box.ids[2:4])
    box.outbox.lost(names(box.ids[:2]))
    assert box.sent() == names(box.ids)


def test_not_sent_again_while_under_way_or_just_delivered_unless_lost() -> None:
    box = Box(100, 100, 100)
    box.outbox.peer_holds(box.ids[2:], 0)
    box.strategy.pushes = list(box.ids)
    assert box.sent() == names(box.ids[:2])
    box.strategy.pushes = box.ids[:2]
    assert box.sent(90_000) == []
    box.outbox.delivered(names(box.ids[:2]), 90_000)
    box.strategy.pushes = list(box.ids)
    assert box.sent(90_000 + MIN_RECENT_MS - 1) == names(box.ids[2:])
    box.outbox.lost(names(box.ids[2:]))
    assert box.sent(90_000 + MIN_RECENT_MS - 1) == names(box.ids[2:])
    box.strategy.pushes = list(box.ids)
    assert box.sent(90_000 + MIN_RECENT_MS) == names(box.ids[:2])


def test_what_the_peer_got_since_it_said_that_it_lacks_it_is_not_sent_again() -> None:
    """On a slow path what it said may be many round trips old by the time that its turn comes."""
    box = Box(100, 100)
    box.outbox.delivered(names(box.ids[:1]), 5_000)
    box.strategy.pushes, box.strategy.said_at = list(box.ids), 4_000
    assert box.sent(60_000) == names(box.ids[1:])
    box.strategy.pushes, box.strategy.said_at = box.ids[:1], 5_000 + MIN_RECENT_MS
    assert box.sent(60_000) == names(box.ids[:1])


def test_what_is_no_longer_held_is_left_out() -> None:
    box = Box(100, 100)
    gone = b"gone" * 8
    box.outbox.push([box.ids[0], gone, box.ids[1]])
    assert box.sent() == names(box.ids)
    box.index.add(1, gone, gone * 2)
    box.outbox.push([gone])
    assert box.sent() == names([gone])


@pytest.mark.parametrize("size", [100, 3 * FRAGMENT_BYTES])
@pytest.mark.parametrize("way", ["live", "found", "lost"])
def test_what_could_not_be_read_is_read_later(way: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box(*[size] * 3)

    def ask() -> None:
        if way == "found":  # reconciliation finds what is missing until it is there
            box.strategy.pushes = list(box.ids)

    if way == "live":
        box.outbox.push(box.ids)
    elif way == "lost":
        box.outbox.lost(names(box.ids))
    ask()
    with monkeypatch.context() as patch:
        patch.setattr(box.index, "blobs", failing)
        with pytest.raises(OSError, match="no disk"):
            box.filled()
    ask()
    assert {ref.event_id for ref in box.sent()} == set(box.ids)


def failing(_: Sequence[bytes]) -> list[bytes]:
    raise OSError("no disk")


def test_live_queue_is_bounded() -> None:
    box = Box()
    for _ in range(3):
        box.outbox.push([bytes(32)] * (MAX_EAGER // 2))
    assert box.outbox.queued == MAX_EAGER


def test_memory_of_sent_ids_is_bounded() -> None:
    box = Box()
    box.outbox.peer_holds([number.to_bytes(32, "big") for number in range(MAX_RECENT + 9)], 0)
    assert len(box.outbox._recent) == MAX_RECENT


def test_memory_of_sent_ids_empties_as_time_passes() -> None:
    box = Box(*[100] * 40)
    box.outbox.push(box.ids[:20])
    box.outbox.delivered(box.sent(), 0)
    assert len(box.outbox._recent) == 20
    box.outbox.push(box.ids[20:])
    later = RECENT_KEPT * MIN_RECENT_MS
    box.outbox.delivered(box.sent(later), later)
    assert len(box.outbox._recent) == 20
    assert not box.outbox._busy


def test_what_is_pushed_in_vain_rests_longer_each_time() -> None:
    """A peer that lacks the key asks for the same events in every round."""
    box = Box(100)
    sent: list[int] = []
    for now in range(0, 10 * MAX_RECENT_MS, MIN_RECENT_MS // 2):
        box.strategy.pushes = list(box.ids)
        if box.sent(now):
            sent.append(now)
            box.outbox.delivered(names(box.ids), now)
    waits = [after - before for before, after in pairwise(sent)]
    assert waits[:7] == [MIN_RECENT_MS << times for times in range(7)]
    assert waits[7:] == [MAX_RECENT_MS] * len(waits[7:]) != []
    box.strategy.pushes = []
    forgotten = sent[-1] + RECENT_KEPT * MAX_RECENT_MS
    box.outbox.push([b"other" * 6])
    box.sent(forgotten)
    assert names(box.ids)[0].event_id not in box.outbox._recent


def test_asks_for_a_batch_at_a_time() -> None:
    box = Box(*[100] * (PUSH_BATCH * 2))
    box.strategy.pushes = list(box.ids)
    assert len(box.sent()) == PUSH_BATCH * 2
    assert set(box.strategy.asked) == {PUSH_BATCH}


@pytest.mark.parametrize(
    ("size", "pieces"), [(wire.MAX_INLINE, 1), (wire.MAX_INLINE + 1, 2), (wire.MAX_RECORD, 64)]
)
def test_records_too_large_for_a_datagram_are_cut(size: int, pieces: int) -> None:
    box = Box(size)
    box.outbox.push(box.ids)
    assert len(box.sent()) == pieces
    assert -(-wire.MAX_RECORD // FRAGMENT_BYTES) == 64


def test_only_so_many_large_records_are_under_way() -> None:
    box = Box(*[3_000] * (MAX_FRAGMENTED + 3))
    box.outbox.push(box.ids)
    first = box.sent()
    assert len(first) == 3 * MAX_FRAGMENTED
    assert not box.outbox.waiting
    box.outbox.delivered(first[:3], 0)
    assert len(box.sent()) == 3
    box.outbox.delivered(first[3:], 0)
    assert len(box.sent()) == 6
    assert box.outbox.queued == 0


def test_one_lost_fragment_is_sent_again_alone() -> None:
    box = Box(3_000)
    box.outbox.push(box.ids)
    refs = box.sent()
    box.outbox.delivered(refs[:2], 0)
    box.outbox.lost(refs[2:])
    assert box.sent() == refs[2:]


def test_fragments_that_were_acknowledged_are_not_sent_again() -> None:
    box = Box(4 * FRAGMENT_BYTES)
    box.outbox.push(box.ids)
    refs = box.sent()
    box.outbox.delivered(refs[:2], 1)
    box.outbox.lost(refs[:3])
    assert box.sent() == refs[2:3]
    box.outbox.delivered(refs[2:], 2)
    box.outbox.lost(refs)
    assert box.sent() == []


def test_large_records_do_not_pile_up_unread() -> None:
    box = Box(*[3_000] * (PUSH_BATCH * 4))
    box.strategy.pushes = list(box.ids)
    box.sent()
    assert len(box.strategy.pushes) >= PUSH_BATCH * 2


def test_clear_gives_up_everything() -> None:
    box = Box(3_000, 100)
    box.outbox.push(box.ids)
    refs = box.filled()[1]
    box.outbox.clear()
    box.outbox.lost([ref for ref in refs if ref.place != WHOLE])
    box.outbox.delivered(refs, 0)
    assert box.sent() == []
    assert not box.outbox.waiting


def test_late_acknowledgements_of_an_earlier_round_do_not_end_a_later_one_in_pieces() -> None:
    box = Box(3_000)
    box.outbox.push(box.ids)
    first = box.sent()
    box.outbox.clear()
    box.outbox.push(box.ids)
    second = box.sent()
    assert first == second
    box.outbox.delivered(first[:1] * 2, 0)
    box.outbox.lost(second[1:2])
    assert box.sent() == second[1:2]  # one piece acknowledged twice is still one piece
    box.outbox.lost(second[2:])
    box.outbox.delivered(first, 0)
    assert box.sent() == []
