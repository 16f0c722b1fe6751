from quire.limits import ADDRESSES_PER_FRAME, MAX_ADDRESSES_KEPT, MAX_CONTROL, MAX_DATAGRAM
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
    control.unshare()
    assert control.fill(MAX_DATAGRAM, letters=True, now=0) == [SYNC, SYNC]


def test_the_queue_is_bounded() -> None:
    control = Control()
    control.say([SYNC] * (MAX_CONTROL - 1))
    control.say([ADDRESSES, SYNC])
    assert len(control) == MAX_CONTROL


def test_refusals_find_room_in_a_full_queue() -> None:
    control, no, yes = Control(), wire.refused(Refusal.NOT_ADMITTED), wire.refused(None)
    control.say([SYNC] * MAX_CONTROL)
    for frame in (yes, no, yes, no, yes, yes):
        control.refuse(frame)
    assert len(control) == MAX_CONTROL + 2
    assert control.fill(2 * len(no), letters=True, now=0) == [no, yes], "who was refused is to hear it"
    control.refuse(yes)
    control.refuse(no)
    control.again([yes, no], restricted=True, told=no)
    assert control.fill(MAX_DATAGRAM, letters=True, now=0)[:2] == [no, SYNC]


def told(control: Control) -> list[tuple[bytes, str]]:
    """The addresses that are said next, all of them."""
    found: list[tuple[bytes, str]] = []
    while frames := control.fill(MAX_DATAGRAM, letters=True, now=0):
        for frame in frames:
            found += wire.read_addresses(frame[wire.FRAME_BYTES :])
    return found


def addresses(first: int, count: int) -> list[tuple[bytes, str]]:
    return [(number.to_bytes(32, "big"), f"10.0.0.1:{number}") for number in range(first, first + count)]


def test_an_address_is_told_once() -> None:
    control = Control()
    control.share(addresses(1, 30))
    control.share(addresses(21, 20))
    assert told(control) == addresses(1, 40)
    control.share(addresses(1, 40))
    assert told(control) == []
    control.share([(addresses(1, 1)[0][0], "10.0.0.2:1")])  # it moved
    assert len(told(control)) == 1


def test_what_the_peer_told_it_knows() -> None:
    control = Control()
    control.knows(addresses(1, 5))
    control.share(addresses(1, 7))
    assert told(control) == addresses(6, 2)


def test_another_run_of_the_peer_is_told_all_again_and_so_is_who_could_not_be_told() -> None:
    control = Control()
    control.share(addresses(1, 3))
    assert told(control) == addresses(1, 3)
    control.begin()
    control.share(addresses(1, 3))
    control.unshare()
    assert told(control) == []
    control.share(addresses(1, 3))
    assert told(control) == addresses(1, 3)


def test_what_does_not_fit_the_queue_is_told_later() -> None:
    control = Control()
    control.say([SYNC] * (MAX_CONTROL - 1))
    many = addresses(1, 3 * ADDRESSES_PER_FRAME)
    control.share(many)
    while control.fill(MAX_DATAGRAM, letters=True, now=0):
        pass
    control.share(many)
    assert told(control) == many[ADDRESSES_PER_FRAME:]


def test_what_a_peer_knows_is_kept_in_mind_up_to_a_bound() -> None:
    control = Control()
    control.knows(addresses(1, MAX_ADDRESSES_KEPT + 5))
    control.share(addresses(1, MAX_ADDRESSES_KEPT + 5))
    assert told(control) == addresses(1, 5)
