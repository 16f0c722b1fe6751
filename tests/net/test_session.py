"""One session against a hand-driven peer: what it does with each packet."""

from collections.abc import Callable
from typing import Any

import pytest

from quire.limits import (
    ACK_DELAY_MS,
    ACK_EVERY,
    ACTIVE_MS,
    ADDRESSES_PER_FRAME,
    FILTER_IDS,
    HEARTBEAT_MS,
    IDLE_HEARTBEAT_MS,
    LOOK_AGAIN_MS,
    MALFORMED_PER_MINUTE,
    MAX_ADDRESS_CHARS,
    MAX_CONTROL,
    MAX_UNCOLLECTED_BYTES,
    SEND_BATCH,
    SILENCE_MS,
)
from quire.net import wire
from quire.net.link import LINK_OVERHEAD
from quire.net.notices import (
    AddressesLearned,
    BlobsReceived,
    Connected,
    Disconnected,
    LetterReceived,
    Misbehaved,
    Moved,
    SyncChanged,
)
from quire.sync.filter import bits_of
from quire.sync.index import END, FINE, START
from quire.sync.messages import Buckets, Filter, Root, encode_buckets, encode_filter, encode_root
from quire.sync.strategy import fingerprint
from tests.net.driver import record
from tests.net.peer import CID, DOOR, ELSEWHERE, HERE, Peer, ask_for_all


def test_first_contact() -> None:
    peer = Peer()
    peer.say(wire.hello("bloom"))
    assert not peer.session.connected
    (answer,) = peer.heard()
    assert (answer.echo, answer.frames) == (CID, wire.hello("bloom"))
    peer.echo = answer.cid
    peer.say(wire.hello("bloom"))
    assert peer.session.connected
    assert peer.notices() == [Connected(HERE)]
    peer.session.handle_timer(peer.now)
    assert len(peer.frames(wire.SYNC)) == 1


def test_nothing_goes_to_a_peer_that_has_not_echoed() -> None:
    peer = Peer(held=50)
    for _ in range(5):
        peer.say(ask_for_all(), wire.hello("bloom"))
        peer.session.push([event_id for _, event_id in peer.index.positions()], peer.now)
        peer.wait(10_000)
    assert {packet.frames for packet, _ in peer.packets} == {wire.hello("bloom")}
    assert peer.notices() == []


@pytest.mark.parametrize("size", [0, 3, 50, 900])
def test_answers_to_the_unknown_are_no_larger_than_the_question(size: int) -> None:
    peer = Peer(held=50)
    asked = peer.say(wire.frame(wire.SYNC, bytes(size)), address=ELSEWHERE)
    answered = sum(len(datagram) for datagram, _ in peer.session.datagrams_to_send(0))
    assert answered <= len(asked) + LINK_OVERHEAD
    assert (answered > 0) == (size >= 50)


def test_a_flood_from_an_earlier_run_provokes_one_greeting() -> None:
    peer = Peer()
    for _ in range(1_000):
        peer.say(wire.frame(wire.SYNC, bytes(900)), echo=b"outdated")
    assert len(peer.heard()) == 1
    assert peer.rejected("ungreeted") == 999


def test_replayed_packets_change_nothing() -> None:
    peer = Peer().meet()
    payload = peer.say(wire.events([bytes(60)]))
    assert len([notice for notice in peer.notices() if isinstance(notice, BlobsReceived)]) == 1
    for _ in range(10):
        peer.replay(payload, ELSEWHERE)
    assert peer.notices() == []
    assert peer.rejected("replay") == 10
    assert peer.session.status().address == HERE


def test_records_of_one_turn_come_as_one_batch() -> None:
    peer = Peer().meet()
    peer.notices()
    peer.say(wire.events([b"a" * 60, b"b" * 60]))
    peer.say(wire.events([b"c" * 60]))
    assert peer.notices() == [BlobsReceived([b"a" * 60, b"b" * 60, b"c" * 60])]


def test_acknowledges_after_a_delay_or_after_many() -> None:
    peer = Peer().meet()
    peer.session.handle_timer(peer.now)
    peer.heard()
    peer.say(wire.events([bytes(60)]))
    assert peer.heard() == []
    peer.now = peer.session.next_timer()
    assert peer.now == ACK_DELAY_MS
    assert wire.read_ack(peer.frames(wire.ACK)[0])[0] == peer.counter - 1
    for _ in range(3 * ACK_EVERY):
        peer.say(wire.events([bytes(60)]))
    assert len(peer.frames(wire.ACK)) == 3


def test_uncollected_records_are_bounded_and_not_acknowledged() -> None:
    peer = Peer().meet()
    one = wire.events([bytes(1_000)])
    for _ in range(MAX_UNCOLLECTED_BYTES // 1_000 + 100):
        peer.say(one)
    assert 90 <= peer.rejected("uncollected") <= 100
    batch = next(notice for notice in peer.notices() if isinstance(notice, BlobsReceived))
    assert sum(map(len, batch.records)) <= MAX_UNCOLLECTED_BYTES + 2_000
    peer.say(one)
    assert len(peer.notices()) == 1


def test_a_call_sends_a_bounded_batch_and_never_more_than_the_window() -> None:
    peer = Peer(held=2_000, size=1_000).meet()
    peer.say(ask_for_all())
    for _ in range(6):
        window = peer.session.status().window
        sent = peer.heard()
        assert 0 < len(sent) <= min(SEND_BATCH, window + 1)
        peer.wait(LOOK_AGAIN_MS)
        assert peer.heard() == []
        last = peer.packets[-1][0].counter
        peer.say(wire.ack(last, 2**200 - 1))
    assert peer.session.status().window > SEND_BATCH


def test_byte_budget_holds() -> None:
    peer = Peer(held=3_000, size=1_000, rate=100_000).meet()
    peer.say(ask_for_all())
    for _ in range(2_000):
        before = len(peer.packets)
        peer.wait(1)
        if len(peer.packets) > before:
            peer.say(wire.ack(peer.packets[-1][0].counter, 2**200 - 1))
    assert 150_000 <= peer.session.status().bytes_out <= 210_000


def test_a_new_address_gets_no_events_until_it_acknowledges() -> None:
    peer = Peer(held=200, size=1_000).meet()
    peer.session.handle_timer(peer.now)
    peer.heard()
    start = len(peer.packets)
    peer.say(ask_for_all(), address=ELSEWHERE)
    peer.wait(400)
    moved = peer.packets[start:]
    assert {address for _, address in moved} == {ELSEWHERE}
    peer.notices()
    kinds = {kind for packet, _ in moved for kind, _ in wire.read_frames(packet.frames)}
    assert wire.PING in kinds
    assert wire.EVENTS not in kinds
    peer.say(wire.ack(moved[-1][0].counter, 0), address=ELSEWHERE)
    assert peer.frames(wire.EVENTS)
    assert peer.notices() == [Moved(ELSEWHERE)]
    peer.say(wire.ack(moved[-1][0].counter, 0), address=ELSEWHERE)
    assert peer.notices() == []  # told once


def test_an_old_packet_from_elsewhere_does_not_move_the_address() -> None:
    peer = Peer().meet()
    late = wire.packet(CID, peer.echo, peer.counter, [wire.hello("bloom")])
    peer.counter += 1
    peer.say(wire.hello("bloom"))
    peer.replay(late, ELSEWHERE)
    assert peer.session.status().address == HERE
    assert not any(isinstance(notice, Moved) for notice in peer.notices())


def test_malformed_frames_are_counted_and_then_the_peer_is_ignored() -> None:
    peer = Peer().meet()
    peer.notices()
    for _ in range(MALFORMED_PER_MINUTE):
        peer.say(wire.frame(wire.SYNC, b"nonsense"))
    assert peer.notices() == []
    peer.say(b"\xff\0\0")
    assert peer.notices() == [Misbehaved("kind")]
    peer.say(wire.events([bytes(60)]))
    assert peer.notices() == []
    assert peer.rejected("ignored") == 1
    peer.now += 60_000
    peer.say(wire.events([bytes(60)]))
    assert peer.notices() == [BlobsReceived([bytes(60)])]


def test_malformed_packets_played_by_others_are_not_blamed_on_the_peer() -> None:
    peer = Peer().meet()
    peer.notices()
    payload = peer.say(b"\xff\0\0")
    for _ in range(10 * MALFORMED_PER_MINUTE):
        peer.replay(payload, ELSEWHERE)
        peer.replay(b"\x02" + payload[1:], ELSEWHERE)
        peer.replay(b"short", ELSEWHERE)
    assert peer.notices() == []


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (wire.frame(wire.ACK, b"x"), "ack"),
        (wire.ack(2**60, 0), "ack"),
        (wire.frame(wire.EVENTS, b"x"), "events"),
        (wire.frame(wire.FRAGMENT, b"x"), "fragment"),
        (wire.frame(wire.ADDRESSES, b"x"), "addresses"),
        (wire.frame(wire.HELLO, b"x"), "hello"),
        (wire.frame(wire.SYNC, b"x"), "kind"),
        (wire.hello("full"), "other-strategy"),
    ],
)
def test_rejections_are_counted_by_reason(frame: bytes, reason: str) -> None:
    peer = Peer().meet()
    peer.say(frame)
    assert peer.rejected(reason) == 1


def test_another_strategy_is_told_of_the_peers_last_greeting_alone() -> None:
    peer = Peer().meet()
    for _ in range(2):
        peer.say(wire.hello("full"))
        assert peer.rejected("other-strategy") == 1
    peer.say(wire.hello(peer.session._strategy_name))
    assert "other-strategy" not in peer.session.status().rejected


def test_control_queue_is_bounded() -> None:
    peer = Peer().meet()
    for number in range(MAX_CONTROL * 2):
        peer.session.share([(bytes(32), f"host:{number}")])
    assert len(peer.session._control) == MAX_CONTROL


def test_addresses_are_shared_and_learned() -> None:
    peer = Peer().meet()
    peer.notices()
    peer.say(wire.addresses([(bytes(32), "203.0.113.1:9")]))
    assert peer.notices() == [AddressesLearned([(bytes(32), "203.0.113.1:9")])]
    peer.session.share([(bytes(32), "203.0.113.2:9")])
    assert wire.read_addresses(peer.frames(wire.ADDRESSES)[0]) == [(bytes(32), "203.0.113.2:9")]


def test_addresses_of_any_number_and_length_fit() -> None:
    peer = Peer().meet()
    longest = "x" * MAX_ADDRESS_CHARS
    peer.session.share([(bytes(32), longest)] * (2 * ADDRESSES_PER_FRAME + 1) + [(bytes(32), longest + "x")])
    bodies = peer.frames(wire.ADDRESSES)
    assert [len(wire.read_addresses(body)) for body in bodies] == [ADDRESSES_PER_FRAME] * 2 + [1]


def test_sync_changes_are_told_once() -> None:
    peer = Peer(held=3).meet()
    peer.notices()
    whole, salt = peer.index.whole(), b"saltsalt"
    equal = Root(salt, whole.count, fingerprint(DOOR.sync_key(), salt, whole), False)
    for root in (Root(salt, 9, bytes(8), False), Root(salt, 8, bytes(8), False), equal, equal):
        peer.say(wire.frame(wire.SYNC, encode_root(root)))
    assert peer.notices() == [SyncChanged(False), SyncChanged(True)]
    assert peer.session.status().pending == 0


def test_silence_means_disconnected_and_dialling_begins() -> None:
    peer = Peer().meet()
    peer.notices()
    peer.wait(SILENCE_MS - 10)
    assert peer.session.connected
    peer.wait(IDLE_HEARTBEAT_MS + 1_000)
    assert peer.notices() == [Disconnected()]
    start = len(peer.packets)
    peer.wait(60_000)
    assert {packet.frames for packet, _ in peer.packets[start:]} == {wire.hello("bloom")}
    peer.say(wire.hello("bloom"))
    assert peer.notices() == [Connected(HERE)]


def test_restart_of_the_peer_sends_what_was_under_way_again() -> None:
    peer = Peer(held=4).meet()
    peer.say(ask_for_all())
    assert len(peer.frames(wire.EVENTS)) == 1
    peer.cid, peer.echo, peer.counter, peer.now = b"next run", wire.NO_CID, 0, 60
    peer.meet()
    assert sum(len(wire.read_events(body)) for body in peer.frames(wire.EVENTS)) == 4


def test_live_events_go_before_reconciliation() -> None:
    peer = Peer(held=300, size=1_000).meet()
    peer.session.handle_timer(peer.now)
    peer.heard()
    peer.say(ask_for_all())
    last = peer.index.positions()[-1][1]
    peer.session.push([last], peer.now)
    assert wire.read_events(peer.frames(wire.EVENTS)[0])[0][:32] == last


def test_what_the_peer_sent_is_not_sent_back() -> None:
    peer = Peer(held=3).meet()
    ids = [event_id for _, event_id in peer.index.positions()]
    peer.session.peer_holds(ids[:2], peer.now)
    peer.say(ask_for_all())
    assert [body[2:34] for body in peer.frames(wire.EVENTS)] == ids[2:]


def test_filter_of_the_peer_decides_what_is_pushed() -> None:
    peer = Peer(held=40).meet()
    ids = [event_id for _, event_id in peer.index.positions()]
    bits = bits_of(DOOR.sync_key(), bytes(8), ids[:39], 39)
    peer.say(wire.frame(wire.SYNC, encode_filter(Filter(bytes(8), START, END, 39, 8, bits))))
    assert [body[2:34] for body in peer.frames(wire.EVENTS)] == ids[39:]


def test_only_a_heartbeat_tells_that_nothing_is_left_to_push() -> None:
    peer = Peer(held=3).meet()
    whole, salt = peer.index.whole(), b"saltsalt"
    equal = Root(salt, whole.count, fingerprint(DOOR.sync_key(), salt, whole), False)
    peer.say(wire.frame(wire.SYNC, encode_root(equal)))
    peer.heard()
    peer.index.add(9, b"n" * 32, record(b"n" * 32, 9))
    peer.session.push([b"n" * 32], peer.now)
    nothing = Filter(bytes(8), (0, b""), (1, b""), 0, 8, b"")
    peer.say(wire.frame(wire.SYNC, encode_filter(nothing)))
    assert [body[2:34] for body in peer.frames(wire.EVENTS)] == [b"n" * 32]


def test_heartbeats_stay_frequent_for_a_while_after_activity() -> None:
    peer = Peer(held=3).meet()
    whole, salt = peer.index.whole(), b"saltsalt"
    equal = Root(salt, whole.count, fingerprint(DOOR.sync_key(), salt, whole), False)
    peer.say(wire.frame(wire.SYNC, encode_root(equal)), wire.events([bytes(60)]))
    peer.wait(ACTIVE_MS - HEARTBEAT_MS)
    busy = len(peer.packets)
    peer.wait(4 * IDLE_HEARTBEAT_MS)
    calm = len(peer.packets) - busy
    assert busy >= (ACTIVE_MS - HEARTBEAT_MS) // HEARTBEAT_MS
    assert calm <= 6


def no_credit(peer: Peer) -> None:
    for _ in range(ACK_EVERY):
        peer.say(wire.events([bytes(60)]), address=ELSEWHERE)
    peer.session._route.sent(0, 10**6)


def ignored(peer: Peer) -> None:
    peer.say(wire.events([bytes(60)]))
    for _ in range(MALFORMED_PER_MINUTE + 1):
        peer.say(b"\xff\0\0")


def no_budget(peer: Peer) -> None:
    peer.say(wire.events([bytes(60)]))
    peer.session._dispatch.budget.spend(10**8)


def silent(peer: Peer) -> None:
    peer.say(wire.events([bytes(60)]))
    peer.session.connected = False


@pytest.mark.parametrize("state", [no_credit, ignored, no_budget, silent])
def test_an_acknowledgement_that_cannot_go_does_not_keep_the_node_awake(
    state: Callable[[Peer], None],
) -> None:
    peer = Peer(held=5).meet()
    peer.say(ask_for_all())
    state(peer)
    turns = 0
    while peer.now < 2_000:
        peer.now = max(peer.now, peer.session.next_timer())
        peer.session.handle_timer(peer.now)
        peer.heard()
        turns += 1
    assert turns < 40


def failing(*_: object) -> Any:
    raise OSError("no disk")


def test_what_came_beside_a_question_is_taken_though_the_store_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is acknowledged, and never comes again."""
    peer = Peer(held=5).meet()
    peer.notices()
    monkeypatch.setattr(peer.session._strategy, "receive", failing)
    with pytest.raises(OSError, match="no disk"):
        peer.say(ask_for_all(), wire.events([b"a" * 60]), wire.letter(b"let me in"))
    assert peer.notices() == [LetterReceived(b"let me in"), BlobsReceived([b"a" * 60])]


def test_what_waits_to_be_said_is_said_though_the_store_cannot_be_read_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peer = Peer(held=5).meet()
    peer.heard()
    peer.session.send_letter(b"let me in")
    peer.session.share([(bytes(32), "203.0.113.2:9")])
    peer.session.push([event_id for _, event_id in peer.index.positions()], peer.now)
    with monkeypatch.context() as patch:
        patch.setattr(peer.index, "blobs", failing)
        with pytest.raises(OSError, match="no disk"):
            peer.heard()
    said = [frame for packet in peer.heard() for frame in wire.read_frames(packet.frames)]
    assert {kind for kind, _ in said} >= {wire.LETTER, wire.ADDRESSES, wire.EVENTS}


def test_what_a_stream_brings_is_not_pushed_as_well() -> None:
    peer = Peer(held=500).meet()
    peer.say(ask_for_all())
    peer.session.set_streams(True, peer.now)
    peer.session.set_streams(False, peer.now)
    assert peer.frames(wire.EVENTS) == []
    peer.say(ask_for_all())
    assert peer.frames(wire.EVENTS)


def test_questions_are_acknowledged_and_heartbeats_are_not() -> None:
    peer = Peer(held=3).meet()
    peer.wait(1_000)
    peer.say(wire.frame(wire.SYNC, encode_root(Root(bytes(8), 3, b"differs!", False))))
    peer.heard()
    peer.wait(ACK_DELAY_MS)
    assert not peer.frames(wire.ACK)
    peer.say(ask_for_all())
    assert peer.frames(wire.ACK)


def test_questions_fill_the_window_as_events_do() -> None:
    """One millisecond that takes more filters than may be under way."""
    peer = Peer(held=20 * FILTER_IDS).meet()
    peer.wait(1_000)
    peer.ack()
    differs = encode_buckets(Buckets(bytes(8), FINE, 0, 1, [(0, 9, bytes(8))]))[0]
    for window in (peer.session.status().window, 0):
        peer.say(wire.frame(wire.SYNC, differs))
        assert len(peer.frames(wire.SYNC)) == window < 20
    peer.ack()
    assert peer.frames(wire.SYNC)
