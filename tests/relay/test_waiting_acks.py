from quire.relay.log_store import Position
from quire.relay.waiting_acks import WaitingAcks
from tests.relay.conformance import BOX, ONE, OTHER_BOX, TWO


def test_places_only_go_forward_and_are_shown_over_what_is_written() -> None:
    acks = WaitingAcks()
    for seq in (3, 7, 5):
        acks.put(BOX, ONE, seq)
    acks.put(BOX, TWO, 2)
    assert len(acks) == 2
    assert acks.of(BOX) == {ONE: 7, TWO: 2}
    assert acks.of(OTHER_BOX) == {}
    assert acks.over(BOX, {ONE: Position(9, 4, 100)}) == {ONE: Position(9, 7, 100), TWO: Position(synced=2)}
    assert acks.over(BOX, {ONE: Position(9, 8, 100), TWO: Position(1, 2, 3)})[ONE] == Position(9, 8, 100)
    assert acks.over(OTHER_BOX, {}) == {}


def test_what_comes_while_others_are_written_waits_on() -> None:
    acks = WaitingAcks()
    acks.put(BOX, ONE, 3)
    acks.put(BOX, TWO, 4)
    acks.put(OTHER_BOX, ONE, 5)
    writing = acks.all()
    assert writing == [(BOX, ONE, 3), (BOX, TWO, 4), (OTHER_BOX, ONE, 5)]
    acks.put(BOX, TWO, 6)
    acks.written(writing)
    assert acks.all() == [(BOX, TWO, 6)]
    assert len(acks) == 1
    acks.written(acks.all())
    assert not acks
    assert acks.all() == []
