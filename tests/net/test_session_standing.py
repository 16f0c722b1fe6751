"""One session whose peer is unknown, becomes a member, or says that we are not one."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.limits import (
    IDLE_HEARTBEAT_MS,
    MAX_CONTROL,
    MAX_UNKNOWN_BYTES,
    MIND_CHANGES_PER_MINUTE,
    SILENCE_MS,
    UNKNOWN_BYTES_PER_SECOND,
    UNKNOWN_SYNC_PER_SECOND,
    UNREACHABLE_HEARTBEAT_MS,
)
from quire.net import wire
from quire.net.fragments import cut
from quire.net.notices import (
    BlobsReceived,
    Connected,
    Disconnected,
    LetterReceived,
    Refused,
)
from quire.net.standing import Refusal, Standing
from quire.sync.index import COARSE, END, FINE, START
from quire.sync.messages import Buckets, Filter, Root, encode_buckets, encode_filter, encode_root
from tests.net.peer import ELSEWHERE, HERE, Peer, ask_for_all

GIVEN_TO_MEMBERS = {wire.EVENTS, wire.FRAGMENT, wire.ADDRESSES}
KNOWN = [(bytes(32), "203.0.113.2:9")]


def stranger(held: int = 0, size: int = 100) -> Peer:
    return Peer(held, size, standing=Standing.UNKNOWN).meet()


def kinds(peer: Peer) -> set[int]:
    """All that the session has ever sent."""
    return {kind for packet, _ in peer.packets for kind, _ in wire.read_frames(packet.frames)}


def root(print_: bytes = bytes(8), count: int = 9) -> bytes:
    return wire.frame(wire.SYNC, encode_root(Root(b"saltsalt", count, print_, False)))


def use(peer: Peer) -> None:
    """Everything that the node does with a session that would give something to a member."""
    peer.session.push([event_id for _, event_id in peer.index.positions()], peer.now)
    peer.session.share(KNOWN)
    peer.session.nudge(peer.now)


eight = st.binary(min_size=8, max_size=8)
spans = st.tuples(st.integers(0, 2**23), st.integers(1, 40), eight)
messages = st.one_of(
    st.builds(Root, eight, st.integers(0, 10**6), eight, st.booleans()).map(encode_root),
    st.just(encode_filter(Filter(bytes(8), START, END, 0, 8, b""))),
    st.binary(min_size=1, max_size=900).map(lambda bits: encode_filter(Filter(bytes(8), START, END, 9, 8, bits))),
    spans.map(lambda at: encode_buckets(Buckets(bytes(8), COARSE, at[0], at[0] + at[1], [(at[0], 7, at[2])]))[0]),
    st.just(encode_buckets(Buckets(bytes(8), FINE, 0, 256, [(0, 7, bytes(8))]))[0]),
)  # fmt: skip
frames = st.one_of(
    messages.map(lambda message: wire.frame(wire.SYNC, message)),
    st.tuples(st.integers(0, 9), st.integers(0, 2**256 - 1)).map(lambda ack: wire.ack(*ack)),
    st.lists(st.binary(min_size=48, max_size=200), max_size=3).map(wire.events),
    st.binary(min_size=1_200, max_size=3_000).map(lambda record: wire.fragment(cut(record)[0])),
    st.just(wire.addresses(KNOWN)),
    st.just(wire.frame(wire.PING)),
    st.just(wire.hello("bloom")),
    st.binary(min_size=1, max_size=100).map(wire.letter),
    st.sampled_from([None, Refusal.NOT_ADMITTED]).map(wire.refused),
    st.tuples(st.integers(0, 12), st.binary(max_size=300)).map(lambda part: wire.frame(*part)),
    st.binary(max_size=100),
)


@settings(max_examples=150, deadline=None)
@given(
    said=st.lists(
        st.tuples(st.lists(frames, min_size=1, max_size=3), st.integers(0, 3_000), st.booleans()), max_size=12
    ),
    held=st.sampled_from([3, 600]),
)
def test_a_stranger_gets_no_event_and_no_address_whatever_it_sends(
    said: list[tuple[list[bytes], int, bool]], held: int
) -> None:
    peer = stranger(held)
    for some, ms, elsewhere in said:
        use(peer)
        peer.say(*some, address=ELSEWHERE if elsewhere else HERE)
        if peer.packets:
            peer.ack()
        peer.wait(ms)
    peer.say(ask_for_all())
    peer.wait(5_000)
    assert not kinds(peer) & GIVEN_TO_MEMBERS


def test_a_member_would_have_got_them() -> None:
    peer = Peer(held=3).meet()
    use(peer)
    peer.say(ask_for_all())
    peer.wait(1_000)
    assert kinds(peer) >= {wire.EVENTS, wire.ADDRESSES}


def test_what_a_stranger_brings_is_taken_and_its_addresses_are_not() -> None:
    peer = stranger()
    peer.notices()
    large = bytes(range(256)) * 8
    peer.say(wire.events([b"a" * 60]), wire.addresses(KNOWN), wire.letter(b"let me in"))
    for part in cut(large):
        peer.say(wire.fragment(part))
    assert peer.notices() == [LetterReceived(b"let me in"), BlobsReceived([b"a" * 60, large])]
    status = peer.session.status()
    assert status.rejected == {}, "an honest member does so too, of whom our graph has not heard yet"
    peer.wait(10)
    assert wire.ACK in kinds(peer)


def test_a_stranger_is_asked_for_what_it_has() -> None:
    peer = stranger(held=5)
    peer.say(root())
    peer.wait(100)
    assert kinds(peer) == {wire.HELLO, wire.SYNC, wire.REFUSED}
    bodies = [
        body
        for packet, _ in peer.packets
        for kind, body in wire.read_frames(packet.frames)
        if kind == wire.SYNC
    ]
    assert {body[0] for body in bodies} == {0x11, 0x13}, "how much is held, and a filter that asks"


def test_what_is_beyond_the_bound_is_counted_and_nothing_more_is_asked_for() -> None:
    peer = stranger(held=5)
    for _ in range(MAX_UNKNOWN_BYTES // 1_002 + 1):
        peer.say(wire.events([bytes(1_000)]))
    brought = sum(len(n.records) for n in peer.notices() if isinstance(n, BlobsReceived))
    assert brought == MAX_UNKNOWN_BYTES // 1_002 + 1
    peer.wait(2_000)
    peer.ack()
    peer.say(wire.events([bytes(1_000)]), wire.letter(b"but"), root())
    assert peer.notices() == [LetterReceived(b"but")]
    assert peer.rejected("unknown-bytes") == 1
    assert peer.rejected("unknown-sync") == 1
    before = len(peer.packets)
    for _ in range(10):
        peer.wait(SILENCE_MS // 4)
        peer.say(wire.frame(wire.PING))
    late = {kind for packet, _ in peer.packets[before:] for kind, _ in wire.read_frames(packet.frames)}
    assert late == {wire.PING, wire.ACK}, "it hears that we are there, and is asked for nothing"


def test_a_stranger_that_asks_too_much_is_answered_slowly() -> None:
    peer = stranger(held=2_000)
    for turn in range(5_000):
        peer.say(root(turn.to_bytes(8, "big"), 10**6))
        peer.wait(1)
    assert peer.rejected("unknown-sync") >= 5_000 - 6 * UNKNOWN_SYNC_PER_SECOND
    assert peer.session.status().bytes_out <= 6 * UNKNOWN_BYTES_PER_SECOND
    assert len(peer.session._control) <= MAX_CONTROL


def test_heartbeats_to_a_stranger_become_seldom_though_it_differs() -> None:
    peer = stranger(held=5)
    peer.say(root())
    peer.wait(10_000)
    peer.ack()
    before = len(peer.packets)
    for _ in range(10):
        peer.say(root())
        peer.wait(IDLE_HEARTBEAT_MS)
    assert len(peer.packets) - before <= 22, "a heartbeat, and a question for each of the peer's"


def test_a_stranger_does_not_keep_the_node_awake() -> None:
    peer = stranger(held=50)
    peer.say(ask_for_all())
    turns = 0
    while peer.now < 5_000:
        peer.now = max(peer.now, peer.session.next_timer())
        peer.session.handle_timer(peer.now)
        peer.heard()
        turns += 1
    assert turns < 40


def test_a_stranger_is_told_that_it_is_not_admitted_and_then_that_it_is() -> None:
    peer = stranger(held=5)
    assert peer.frames(wire.REFUSED) == [b"\2"]
    peer.ack()
    peer.notices()
    peer.session.set_standing(Standing.MEMBER, peer.now)
    assert peer.notices() == [Connected(HERE)], "so that addresses are shared now"
    assert peer.frames(wire.REFUSED) == [b"\0"]
    peer.session.set_standing(Standing.MEMBER, peer.now)
    assert peer.notices() == []


def test_promotion_gives_at_once_what_was_asked_for() -> None:
    peer = stranger(held=5)
    peer.say(ask_for_all())
    peer.wait(1_000)
    peer.session.set_standing(Standing.MEMBER, peer.now)
    use(peer)
    peer.wait(1)
    assert kinds(peer) >= {wire.EVENTS, wire.ADDRESSES}
    assert not peer.session.status().restricted


def test_a_member_that_becomes_unknown_gets_nothing_more_not_even_what_was_lost() -> None:
    peer = Peer(held=200, size=1_000).meet()
    peer.say(ask_for_all())
    use(peer)
    peer.heard()
    assert kinds(peer) & GIVEN_TO_MEMBERS
    peer.session.share(KNOWN)
    peer.session.set_standing(Standing.UNKNOWN, peer.now)
    before = len(peer.packets)
    use(peer)
    peer.wait(SILENCE_MS + 2_000)
    peer.meet()
    peer.wait(1_000)
    late = {kind for packet, _ in peer.packets[before:] for kind, _ in wire.read_frames(packet.frames)}
    assert wire.REFUSED in late
    assert not late & GIVEN_TO_MEMBERS


def test_letters_go_to_a_stranger() -> None:
    peer = stranger()
    peer.session.send_letter(b"welcome")
    assert peer.frames(wire.LETTER) == [b"welcome"]


# --- The other way round: the peer refuses us.


def test_not_admitted_is_told_and_the_conversation_goes_on() -> None:
    peer = Peer(held=3).meet()
    peer.notices()
    peer.say(wire.refused(Refusal.NOT_ADMITTED))
    peer.say(wire.refused(Refusal.NOT_ADMITTED))
    assert peer.notices() == [Refused(Refusal.NOT_ADMITTED)]
    assert peer.session.status().refused is Refusal.NOT_ADMITTED
    assert peer.session.connected
    use(peer)
    peer.wait(10)
    assert wire.EVENTS in kinds(peer), "what we hold is how it may learn to know us"
    peer.say(wire.refused(None))
    assert peer.notices() == [Connected(HERE)], "so that addresses are shared again"
    assert peer.session.status().refused is None
    peer.frames(wire.ADDRESSES)
    peer.session.share(KNOWN)
    assert peer.frames(wire.ADDRESSES), "it did not take them before"


def test_a_peer_that_keeps_changing_its_mind_causes_little() -> None:
    peer = Peer().meet()
    peer.notices()
    for _ in range(MIND_CHANGES_PER_MINUTE):
        peer.say(*[wire.refused(Refusal.NOT_ADMITTED), wire.refused(None)] * 100)
    assert len(peer.notices()) == MIND_CHANGES_PER_MINUTE
    assert peer.session.connected


def in_session(peer: Peer) -> None:
    peer.say(wire.refused(Refusal.REMOVED))


def answer_to_an_adopted_run(peer: Peer) -> None:
    peer.replay(wire.packet(wire.NO_CID, peer.echo, 0, [wire.refused(Refusal.REMOVED)]))


@pytest.mark.parametrize("say_so", [in_session, answer_to_an_adopted_run])
def test_removed_is_told_and_greetings_become_seldom(say_so: Callable[[Peer], None]) -> None:
    peer = Peer(held=3).meet()
    peer.notices()
    say_so(peer)
    assert peer.notices() == [Refused(Refusal.REMOVED), Disconnected()]
    status = peer.session.status()
    assert (status.connected, status.refused) == (False, Refusal.REMOVED)
    peer.say(wire.events([bytes(60)]))
    say_so(peer)
    assert peer.notices() == [BlobsReceived([bytes(60)])], "what was under way is no connection"
    peer.heard()
    before = len(peer.packets)
    for _ in range(10):
        use(peer)
        peer.session.dial([ELSEWHERE], peer.now)
        peer.wait(UNREACHABLE_HEARTBEAT_MS)
    late = peer.packets[before:]
    assert {packet.frames for packet, _ in late} == {wire.hello("bloom")}
    assert 8 <= len({packet.counter for packet, address in late if address == HERE}) <= 11


def test_a_new_run_of_the_peer_that_takes_us_in_ends_it() -> None:
    peer = Peer().meet()
    in_session(peer)
    peer.notices()
    peer.cid, peer.echo, peer.counter, peer.now = b"next run", wire.NO_CID, 0, 60
    peer.meet()
    assert peer.notices() == [Connected(HERE)]
    assert peer.session.status().refused is None


def test_an_answer_before_any_meeting_counts_too() -> None:
    peer = Peer()
    peer.session.dial([HERE], peer.now)
    peer.session.handle_timer(peer.now)
    (greeting,) = peer.heard()
    peer.replay(wire.packet(wire.NO_CID, greeting.cid, 0, [wire.refused(Refusal.REMOVED)]))
    assert peer.notices() == [Refused(Refusal.REMOVED)]


@pytest.mark.parametrize(
    "frames",
    [[wire.events([bytes(60)])], [wire.letter(b"x")], [wire.refused(Refusal.NOT_ADMITTED)], [b"\xff"], []],
)
def test_without_a_session_there_is_nothing_else_to_say(frames: list[bytes]) -> None:
    peer = Peer().meet()
    peer.notices()
    peer.replay(wire.packet(wire.NO_CID, peer.echo, 0, frames))
    assert peer.notices() == []
    assert peer.rejected("sessionless") == 1
    assert peer.session.connected


def test_a_refusal_of_an_earlier_run_is_worth_nothing() -> None:
    peer = Peer().meet()
    old = wire.packet(wire.NO_CID, peer.echo, 0, [wire.refused(Refusal.REMOVED)])
    peer.cid, peer.echo, peer.counter, peer.now = b"next run", wire.NO_CID, 0, 60
    peer.meet()
    peer.notices()
    peer.replay(old, ELSEWHERE)
    assert peer.notices() == []
    assert peer.session.connected
