from quire.limits import MAX_REFUSALS_KEPT, REFUSALS_PER_SECOND, REFUSED_GAP_MS
from quire.net import wire
from quire.net.link import LINK_OVERHEAD
from quire.net.refusals import REFUSED_DATAGRAM, Refusals, refusal_to
from quire.net.standing import Refusal


def who(number: int, local: bytes = b"us") -> tuple[bytes, bytes, bytes]:
    return b"space", local, number.to_bytes(4, "big")


def test_one_answer_in_a_while_for_each() -> None:
    refusals = Refusals()
    told = [now for now in range(0, 3 * REFUSED_GAP_MS, 10) if refusals.due(who(1), now)]
    assert told == [0, REFUSED_GAP_MS, 2 * REFUSED_GAP_MS]
    assert refusals.due(who(2), 10)


def test_all_together_get_so_many_per_second() -> None:
    refusals = Refusals()
    assert sum(refusals.due(who(number), 0) for number in range(1_000)) == REFUSALS_PER_SECOND
    assert len(refusals) == REFUSALS_PER_SECOND


def test_so_many_are_remembered() -> None:
    refusals = Refusals()
    for number in range(MAX_REFUSALS_KEPT + 50):
        assert refusals.due(who(number), number * 1_000)
    assert len(refusals) == MAX_REFUSALS_KEPT


def test_a_local_device_that_left_leaves_nothing() -> None:
    refusals = Refusals()
    refusals.due(who(1), 0)
    refusals.due(who(1, b"other"), 0)
    refusals.forget(b"space", b"us")
    assert len(refusals) == 1


def test_the_answer_echoes_the_run_that_asked() -> None:
    asked = wire.packet(b"cid cid ", b"echoecho", 7, [wire.hello("bloom")])
    answer = refusal_to(asked)
    assert answer is not None
    assert wire.read_packet(answer) == (wire.NO_CID, b"cid cid ", 0, wire.refused(Refusal.REMOVED))
    assert len(answer) + LINK_OVERHEAD == REFUSED_DATAGRAM <= len(asked) + LINK_OVERHEAD


def test_nothing_answers_what_is_no_packet_or_an_answer_itself() -> None:
    assert refusal_to(b"short") is None
    assert refusal_to(wire.packet(wire.NO_CID, b"echoecho", 0, [wire.refused(Refusal.REMOVED)])) is None
