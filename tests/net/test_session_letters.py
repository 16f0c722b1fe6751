"""Letters of one session, by hand and over a network that loses a third of them."""

import pytest

from quire.limits import FRAGMENT_BYTES, LETTERS_PER_MINUTE, MALFORMED_PER_MINUTE, MAX_LETTERS_WAITING
from quire.net import wire
from quire.net.endpoint import SessionId
from quire.net.fragments import cut
from quire.net.notices import LetterReceived, Misbehaved
from tests.net.driver import SPACE, Conditions, Node, World
from tests.net.peer import Peer


def letters(node: Node) -> list[bytes]:
    return [notice.data for notice in node.notices if isinstance(notice, LetterReceived)]


def test_a_letter_goes_out_at_once_and_again_until_it_is_acknowledged() -> None:
    peer = Peer().meet()
    peer.session.send_letter(b"let me in")
    assert peer.frames(wire.LETTER) == [b"let me in"]
    peer.wait(10_000)
    assert sum(wire.letter(b"let me in") in packet.frames for packet, _ in peer.packets) > 2
    peer.ack()
    before = len(peer.packets)
    peer.wait(10_000)
    assert not any(wire.letter(b"let me in") in packet.frames for packet, _ in peer.packets[before:])


def test_letters_wait_for_the_connection_and_the_oldest_are_dropped() -> None:
    peer = Peer()
    for number in range(MAX_LETTERS_WAITING + 1):
        peer.session.send_letter(bytes((number,)) * FRAGMENT_BYTES)
    assert peer.frames(wire.LETTER) == []
    said = peer.meet().frames(wire.LETTER)
    while len(said) < MAX_LETTERS_WAITING:
        peer.ack()
        more = peer.frames(wire.LETTER)
        assert more
        said += more
    assert [letter[0] for letter in said] == list(range(1, MAX_LETTERS_WAITING + 1))


def test_letters_do_not_overtake_the_window() -> None:
    peer = Peer().meet()
    for _ in range(3):
        for _ in range(MAX_LETTERS_WAITING):
            peer.session.send_letter(bytes(FRAGMENT_BYTES))
        peer.heard()
    assert len(peer.packets) <= peer.session.status().window + 2


def test_letters_of_a_peer_are_told_and_a_flood_of_them_is_blamed() -> None:
    peer = Peer().meet()
    peer.notices()
    for number in range(LETTERS_PER_MINUTE + MALFORMED_PER_MINUTE + 50):
        peer.say(wire.letter(bytes((number % 256,))))
    told = peer.notices()
    assert told[:2] == [LetterReceived(b"\0"), LetterReceived(b"\1")]
    assert len(told) == LETTERS_PER_MINUTE + 1
    assert told[-1] == Misbehaved("letters")
    assert peer.rejected("ignored") == 49


@pytest.mark.parametrize("seed", range(5))
def test_letters_arrive_at_least_once_both_ways_over_a_bad_network(seed: int) -> None:
    world = World(seed, Conditions(loss=0.3, twice=0.1, delay=20, jitter=40))
    one, two = world.node("one"), world.node("two")
    world.connect(one, two)
    world.run(5_000)
    sent = [bytes((number,)) * (1 + 97 * number) for number in range(10)]
    for data in sent:
        one.endpoint.send_letter(SessionId(SPACE, one.key.public, two.key.public), data)
        two.endpoint.send_letter(SessionId(SPACE, two.key.public, one.key.public), data)
        world.run(300)
    world.run(30_000)
    assert set(letters(one)) == set(letters(two)) == set(sent)


def test_letters_survive_a_silence() -> None:
    world = World(3)
    one, two = world.node("one"), world.node("two")
    world.connect(one, two)
    world.run(2_000)
    world.conditions.loss = 1.0
    one.session_with(two).send_letter(b"later")
    world.run(60_000)
    assert not one.session_with(two).connected
    world.conditions.loss = 0.0
    world.run(40_000)
    assert letters(two) == [b"later"]


def test_a_letter_to_nobody() -> None:
    one = World(1).node("one")
    with pytest.raises(KeyError):
        one.endpoint.send_letter(SessionId(SPACE, one.key.public, bytes(32)), b"letter")


def test_a_long_letter_goes_in_parts_and_again_until_all_are_acknowledged() -> None:
    peer, long = Peer().meet(), bytes(range(256)) * 8
    peer.session.send_letter(long)
    parts = peer.frames(wire.PART)
    assert parts == [wire.letter_part(part)[wire.FRAME_BYTES :] for part in cut(long)]
    before = len(peer.packets)
    peer.wait(10_000)
    assert sum(wire.letter_part(cut(long)[1]) in packet.frames for packet, _ in peer.packets[before:]) > 1
    peer.ack()
    before = len(peer.packets)
    peer.wait(10_000)
    assert not any(wire.letter_part(cut(long)[1]) in packet.frames for packet, _ in peer.packets[before:])


def test_a_long_letter_of_a_peer_is_told_once_all_of_it_is_there() -> None:
    peer, long = Peer().meet(), bytes(range(256)) * 8
    peer.notices()
    first, second = map(wire.letter_part, cut(long))
    peer.say(second)
    assert peer.notices() == []
    peer.say(first)
    assert peer.notices() == [LetterReceived(long)]
