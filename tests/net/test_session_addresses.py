"""A peer that speaks in the name of an address where it is not, to have datagrams poured over whoever is there."""

from collections.abc import Callable

import pytest

from quire.limits import ACK_EVERY_OF_HOLES, GREETING_GAP_MS, MALFORMED_PER_MINUTE, SILENCE_MS
from quire.net import wire
from quire.net.link import LINK_OVERHEAD
from quire.net.notices import Address, Connected, FarApart, Moved
from quire.net.standing import Standing
from quire.sync.messages import Root, encode_root
from tests.net.peer import CID, ELSEWHERE, HERE, Peer, ask_for_all

VICTIM: Address = ("victim",)


def size(packet: wire.Packet) -> int:
    return LINK_OVERHEAD + wire.PACKET_BYTES + len(packet.frames)


class Pouring:
    """Counts what a peer sends in the name of VICTIM, and what VICTIM is sent."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.start = len(peer.packets)
        self.paid = 0

    def say(self, *frames: bytes) -> None:
        self.paid += LINK_OVERHEAD + len(self.peer.say(*frames, address=VICTIM))

    def fails(self) -> bool:
        """Whether VICTIM got no event, and no more bytes than were sent in its name, but for greetings."""
        sent = [packet for packet, address in self.peer.packets[self.start :] if address == VICTIM]
        got = [packet for packet in sent if packet.frames != wire.hello("bloom")]
        kinds = {kind for packet in got for kind, _ in wire.read_frames(packet.frames)}
        return wire.EVENTS not in kinds and sum(map(size, got)) <= self.paid


def within_a_run() -> Pouring:
    peer = Peer(held=2_000, size=1_000).meet()
    peer.wait(1_000)
    return Pouring(peer)


def from_a_greeting(standing: Standing = Standing.MEMBER) -> Pouring:
    """The cid on offer is learned HERE, and echoed in the name of VICTIM."""
    peer = Peer(held=2_000, size=1_000, standing=standing)
    peer.say(wire.hello("bloom"))
    (answer,) = peer.heard()
    pouring = Pouring(peer)
    peer.now += GREETING_GAP_MS
    pouring.say(wire.hello("bloom"))
    peer.heard()
    peer.echo = answer.cid
    pouring.say(wire.hello("bloom"))
    return pouring


def from_being_dialled() -> Pouring:
    """Some member told us that the peer is at VICTIM, too."""
    peer = Peer(held=2_000, size=1_000)
    peer.session.dial([HERE, VICTIM], peer.now)
    peer.wait(100)
    pouring = Pouring(peer)
    peer.echo = peer.packets[-1][0].cid
    pouring.say(wire.hello("bloom"))
    return pouring


@pytest.mark.parametrize("begin", [within_a_run, from_a_greeting, from_being_dialled])
def test_who_gets_nothing_at_an_address_cannot_prove_it(begin: Callable[[], Pouring]) -> None:
    pouring = begin()
    peer, last = pouring.peer, pouring.peer.packets[-1][0].counter
    pouring.say(ask_for_all())
    peer.wait(2)
    for step in range(200):
        # Just below what would have it ignored: 20 guesses in a minute.
        guess = last + 1 + step // 8
        pouring.say(wire.ack(guess, 2**256 - 1), ask_for_all(), wire.frame(wire.PING))
        peer.wait(60_000 // MALFORMED_PER_MINUTE)
    assert pouring.fails()
    assert not any(isinstance(notice, Moved) for notice in peer.notices())


@pytest.mark.parametrize("begin", [within_a_run, from_a_greeting, from_being_dialled])
def test_a_greeting_does_not_tell_the_counters_of_what_went_elsewhere(begin: Callable[[], Pouring]) -> None:
    pouring = begin()
    peer = pouring.peer
    for _ in range(20):
        pouring.say(ask_for_all(), wire.frame(wire.PING))
        peer.wait(GREETING_GAP_MS)
        cid, peer.cid = peer.cid, b"next run"
        peer.say(wire.hello("bloom"), address=HERE, echo=wire.NO_CID, counter=0)
        peer.cid = cid
        (told,) = [packet.counter for packet in peer.heard() if packet.echo == b"next run"]
        for guess in (told - 1, told, told + 1):
            pouring.say(wire.ack(guess, 0))
        peer.wait(60_000 // MALFORMED_PER_MINUTE * 4)
    assert pouring.fails()
    assert peer.session.status().rejected["ack"] > 20


def test_guesses_are_held_against_the_peer() -> None:
    pouring = within_a_run()
    last = pouring.peer.packets[-1][0].counter
    pouring.say(ask_for_all(), wire.frame(wire.PING))
    pouring.peer.wait(100)
    for _ in range(MALFORMED_PER_MINUTE + 2):
        pouring.say(wire.ack(last + 1, 0))
    assert pouring.peer.rejected("ignored") == 1


def test_a_stranger_has_no_questions_poured_over_anybody() -> None:
    pouring = from_a_greeting(Standing.UNKNOWN)
    for count in range(20):
        pouring.say(wire.frame(wire.SYNC, encode_root(Root(bytes(8), 10**6 + count, bytes(8), False))))
        pouring.peer.wait(1_000)
    assert pouring.fails()


def test_an_acknowledgement_goes_where_the_peer_is_not_where_a_late_packet_came_from() -> None:
    peer = Peer().meet()
    peer.wait(100)
    late, peer.counter = peer.counter, peer.counter + 2
    start = len(peer.packets)
    for _ in range(ACK_EVERY_OF_HOLES - 1):
        peer.say(wire.frame(wire.PING))
    peer.say(wire.frame(wire.PING), counter=late, address=VICTIM)
    peer.wait(100)
    assert {address for _, address in peer.packets[start:]} == {HERE}


def test_where_it_spoke_from_is_told_once_it_has_answered() -> None:
    peer = Peer()
    peer.session.dial([HERE, ELSEWHERE], peer.now)
    peer.wait(100)
    peer.echo = peer.packets[-1][0].cid
    peer.say(wire.hello("bloom"))
    assert peer.notices() == [Connected(None)]
    peer.wait(10)
    peer.ack()
    assert peer.notices() == [Moved(HERE)]


def test_no_stream_is_opened_to_where_nobody_has_answered() -> None:
    peer = Peer().meet()
    far = Root(bytes(8), 10**6, bytes(8), False)
    peer.say(wire.frame(wire.SYNC, encode_root(far)), address=ELSEWHERE)
    assert not any(isinstance(notice, FarApart) for notice in peer.notices())
    peer.wait(10)
    peer.say(
        wire.ack(peer.packets[-1][0].counter, 0), wire.frame(wire.SYNC, encode_root(far)), address=ELSEWHERE
    )
    assert FarApart(True) in peer.notices()


def test_who_was_dialled_at_two_addresses_is_greeted_again_while_its_answer_proves_nothing() -> None:
    peer = Peer(held=3)
    peer.session.dial([HERE, ELSEWHERE], peer.now)
    peer.wait(100)
    peer.echo = peer.packets[-1][0].cid
    peer.say(wire.hello("bloom"))
    peer.heard()  # the PING is lost, and no credit is left for another
    start = len(peer.packets)
    peer.wait(SILENCE_MS // 2)
    again = [packet for packet, address in peer.packets[start:] if address == HERE]
    assert [packet.frames for packet in again] == [wire.hello("bloom")] * len(again)
    assert 3 <= len(again) <= 5
    assert {packet.echo for packet in again} == {CID}, "so that the peer adopts us"
    peer.say(wire.hello("bloom"))
    peer.wait(10)
    peer.ack()
    peer.say(ask_for_all())
    assert peer.frames(wire.EVENTS)
