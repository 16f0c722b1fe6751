from quire.limits import MAX_CONTROL, MAX_DATAGRAM
from quire.net import wire
from quire.net.control import Control
from quire.net.standing import Refusal

SYNC, ADDRESSES, LETTER = wire.frame(wire.SYNC, b"m"), wire.addresses([(bytes(32), "h:1")]), wire.letter(b"l")


def test_letters_go_first_and_only_when_they_may() -> None:
    control = Control()
    control.say([SYNC])
    control.letters.add(b"l")
    assert control.fill(len(SYNC), letters=False, now=0) == [SYNC]
    control.say([SYNC])
    assert control.fill(MAX_DATAGRAM, letters=True, now=0) == [LETTER, SYNC]
    assert control.fill(MAX_DATAGRAM, letters=True, now=0) == []


def test_no_more_goes_than_there_is_room() -> None:
    control = Control()
    control.say([SYNC, ADDRESSES, SYNC])
    assert control.fill(len(SYNC) + 1, letters=True, now=0) == [SYNC]
    assert len(control) == 2


def test_lost_frames_are_said_again() -> None:
    control = Control()
    control.again([ADDRESSES, LETTER], restricted=False, told=b"")
    assert control.fill(MAX_DATAGRAM, letters=True, now=0) == [LETTER, ADDRESSES]


def test_what_no_longer_holds_is_not_said_again() -> None:
    control = Control()
    not_in, in_again = wire.refused(Refusal.NOT_ADMITTED), wire.refused(None)
    control.again([ADDRESSES, LETTER, not_in, in_again], restricted=True, told=in_again)
    assert control.fill(MAX_DATAGRAM, letters=True, now=0) == [LETTER, in_again]


def test_what_is_not_to_be_said_any_more_is_dropped() -> None:
    control = Control()
    control.say([SYNC, ADDRESSES, SYNC])
    control.drop(wire.ADDRESSES)
    assert control.fill(MAX_DATAGRAM, letters=True, now=0) == [SYNC, SYNC]


def test_the_queue_is_bounded() -> None:
    control = Control()
    control.say([SYNC] * (MAX_CONTROL - 1))
    control.say([ADDRESSES, SYNC])
    assert len(control) == MAX_CONTROL
