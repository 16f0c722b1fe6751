from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.keys import DeviceKey
from quire.net.link import GREETING_BYTES, Door, Link
from quire.net.stream_link import BadStream, StreamLink

ALICE, BOB, EVE = (DeviceKey(bytes((n,)) * 32) for n in (1, 2, 3))
SPACE, LINK_KEY = b"s" * 32, b"l" * 32


def link(mine: DeviceKey, other: DeviceKey, space: bytes = SPACE, key: bytes = LINK_KEY) -> Link:
    return Link(Door(space, key), mine, other.public)


def pair(seed: int = 1) -> tuple[StreamLink, StreamLink, bytes]:
    """Who calls, who is called, and what the caller says first."""
    random = Random(seed)
    caller = StreamLink(link(ALICE, BOB), random.randbytes)
    said = caller.take_out()
    called = StreamLink(link(BOB, ALICE), random.randbytes, said[:GREETING_BYTES])
    return caller, called, said[GREETING_BYTES:]


def shaken() -> tuple[StreamLink, StreamLink]:
    caller, called, said = pair()
    called.receive(said)
    caller.receive(called.take_out())
    return caller, called


def feed(link: StreamLink, data: bytes, cuts: list[int]) -> bytes:
    at, found = 0, b""
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        found += link.receive(data[at:cut])
        at = cut
    return found


@given(
    st.lists(st.binary(min_size=1, max_size=300), max_size=5),
    st.integers(0, 200_000),
    st.lists(st.integers(0, 10**6), max_size=8),
)
def test_what_is_said_arrives_however_the_stream_is_cut(
    said: list[bytes], more: int, cuts: list[int]
) -> None:
    caller, called = shaken()
    for one, other in ((caller, called), (called, caller)):
        for data in (*said, bytes(more)):
            one.seal(data)
        out = one.take_out()
        assert feed(other, out, cuts) == b"".join(said) + bytes(more)
        assert one.take_out() == b""


def test_the_called_one_is_not_ready_before_it_heard_from_a_living_caller() -> None:
    caller, called, said = pair()
    called.receive(said)
    answer = called.take_out()
    assert not called.ready  # a replay of what somebody said before looks the same
    caller.receive(answer)
    assert caller.ready
    caller.seal(b"here I am")
    assert called.receive(caller.take_out()) == b"here I am"
    assert called.ready


def test_the_greeting_tells_who_calls_whom_to_those_who_have_the_link_key_alone() -> None:
    greeting = StreamLink(link(ALICE, BOB), Random(1).randbytes).take_out()[:GREETING_BYTES]
    door = Door(SPACE, LINK_KEY)
    assert door.header(greeting) == (door.tag(BOB.public), ALICE.public)
    assert Door(SPACE, b"?" * 32).header(greeting)[1] != ALICE.public
    assert ALICE.public not in greeting


@pytest.mark.parametrize(
    "called_by",
    [
        link(EVE, ALICE),  # somebody else than who was called
        link(BOB, EVE),  # who takes the caller for somebody else
        link(BOB, ALICE, space=b"?" * 32),
        link(BOB, ALICE, key=b"?" * 32),
    ],
)
def test_others_cannot_answer(called_by: Link) -> None:
    said = StreamLink(link(ALICE, BOB), Random(1).randbytes).take_out()
    called = StreamLink(called_by, Random(2).randbytes, said[:GREETING_BYTES])
    with pytest.raises(BadStream, match="unopened"):
        called.receive(said[GREETING_BYTES:])


@given(st.integers(0, 10**6), st.integers(1, 255), st.booleans())
def test_altered_bytes_end_the_stream(place: int, change: int, later: bool) -> None:
    caller, called, said = pair()
    if later:
        called.receive(said)
        caller.receive(called.take_out())
        caller.seal(b"something")
        said = caller.take_out()
    altered = bytearray(said)
    altered[place % len(said)] ^= change
    try:
        told = called.receive(bytes(altered))
    except BadStream:
        return
    assert told == b""  # a length that promises more than came: nothing is told, and what comes will not open
    with pytest.raises(BadStream):
        called.receive(bytes(70_000))


def test_a_record_cannot_come_twice_or_out_of_order() -> None:
    caller, called = shaken()
    caller.seal(b"one")
    caller.take_out()
    caller.seal(b"two")
    second = caller.take_out()
    with pytest.raises(BadStream):
        called.receive(second)
    caller, called = shaken()
    caller.seal(b"one")
    once = caller.take_out()
    called.receive(once)
    with pytest.raises(BadStream):
        called.receive(once)


def test_the_same_entropy_gives_the_same_bytes() -> None:
    assert pair(7)[2] == pair(7)[2] != pair(8)[2]
