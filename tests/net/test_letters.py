import pytest

from quire.limits import (
    FRAGMENT_BYTES,
    LETTERS_PER_MINUTE,
    MAX_DATAGRAM,
    MAX_LETTER_BYTES,
    MAX_LETTERS_IN_PARTS,
    MAX_LETTERS_WAITING,
    REASSEMBLY_IDLE_MS,
)
from quire.net import wire
from quire.net.fragments import cut
from quire.net.letters import Letters


def numbered(count: int) -> Letters:
    letters = Letters()
    for number in range(count):
        letters.add(bytes((number,)))
    return letters


def test_letters_leave_in_order_as_far_as_there_is_room() -> None:
    letters = numbered(3)
    size = len(wire.letter(b"0"))
    assert letters.next(2 * size + 1, 0) == [wire.letter(b"\0"), wire.letter(b"\1")]
    assert letters.next(size - 1, 0) == []
    assert letters.next(MAX_DATAGRAM, 0) == [wire.letter(b"\2")]
    assert letters.next(MAX_DATAGRAM, 0) == []


def test_lost_ones_go_first() -> None:
    letters = numbered(3)
    lost = letters.next(2 * len(wire.letter(b"0")), 0)
    letters.again(lost)
    assert letters.next(MAX_DATAGRAM, 0) == [wire.letter(bytes((number,))) for number in range(3)]


def test_the_oldest_are_dropped_when_too_many_wait() -> None:
    letters = numbered(MAX_LETTERS_WAITING + 2)
    letters.again([wire.letter(b"older still")])
    assert len(letters) == MAX_LETTERS_WAITING
    assert letters.next(MAX_DATAGRAM, 0)[0] == wire.letter(b"\2")


@pytest.mark.parametrize("size", [0, MAX_LETTER_BYTES + 1])
def test_other_sizes_are_not_taken(size: int) -> None:
    letters = Letters()
    with pytest.raises(ValueError, match="a letter has"):
        letters.add(bytes(size))
    assert len(letters) == 0


def test_what_is_sent_in_a_minute_is_within_what_is_taken_in_any_minute() -> None:
    letters, sent = Letters(), []
    for now in range(0, 180_000, 100):
        letters.add(b"again")
        sent += [now for _ in letters.next(MAX_DATAGRAM, now)]
    assert len(sent) == 3 * LETTERS_PER_MINUTE // 2
    assert max(sum(begin <= at < begin + 60_000 for at in sent) for begin in sent) <= LETTERS_PER_MINUTE


def test_more_than_a_minute_takes_are_refused_until_the_next() -> None:
    letters = Letters()
    assert [letters.take(wire.LETTER, b"x", 5) for _ in range(LETTERS_PER_MINUTE)] == [
        [b"x"]
    ] * LETTERS_PER_MINUTE
    with pytest.raises(wire.BadFrame, match="letters"):
        letters.take(wire.LETTER, b"x", 5)
    assert letters.take(wire.LETTER, b"x", 60_005) == [b"x"]


def test_a_letter_of_no_size_is_malformed() -> None:
    with pytest.raises(wire.BadFrame, match="letter"):
        Letters().take(wire.LETTER, b"", 0)


def _sent(data: bytes) -> list[tuple[int, bytes]]:
    """The frames that a letter goes in."""
    letters = Letters()
    letters.add(data)
    return [frame for packet in iter(lambda: letters.next(MAX_DATAGRAM, 0), []) for frame in _read(packet)]


def _read(frames: list[bytes]) -> list[tuple[int, bytes]]:
    return wire.read_frames(b"".join(frames))


@pytest.mark.parametrize("size", [1, FRAGMENT_BYTES, FRAGMENT_BYTES + 1, MAX_LETTER_BYTES])
def test_every_letter_arrives_whole_whatever_the_order_of_its_parts(size: int) -> None:
    data = bytes(n % 251 for n in range(size))
    frames = _sent(data)
    assert {kind for kind, _ in frames} == {wire.LETTER if size <= FRAGMENT_BYTES else wire.PART}
    taking = Letters()
    came = [taking.take(kind, body, 0) for kind, body in (*reversed(frames), *frames[1:])]
    assert [one for one in came if one] == [[data]]


def test_parts_count_as_letters_do() -> None:
    letters = Letters()
    kind, body = _sent(bytes(MAX_LETTER_BYTES))[0]
    for _ in range(LETTERS_PER_MINUTE):
        letters.take(kind, body, 5)
    with pytest.raises(wire.BadFrame, match="letters"):
        letters.take(kind, body, 5)


def test_letters_that_never_come_whole_take_little_room_and_not_for_long() -> None:
    letters = Letters()
    begun = [_sent(bytes((n,)) * MAX_LETTER_BYTES) for n in range(3 * MAX_LETTERS_IN_PARTS)]
    for frames in begun:
        letters.take(*frames[0], 0)
    assert len(letters._parts) == MAX_LETTERS_IN_PARTS
    assert letters.take(wire.LETTER, b"x", REASSEMBLY_IDLE_MS) == [b"x"]
    assert len(letters._parts) == 0


def test_parts_of_more_than_a_letter_are_malformed() -> None:
    letters = Letters()
    *most, last = [wire.letter_part(part)[wire.FRAME_BYTES :] for part in cut(bytes(MAX_LETTER_BYTES + 1))]
    for body in most:
        letters.take(wire.PART, body, 0)
    with pytest.raises(wire.BadFrame, match="letter"):
        letters.take(wire.PART, last, 0)
