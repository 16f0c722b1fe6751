from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from quire.core.keys import DeviceKey
from quire.limits import MAX_SESSIONS, SESSION_IDLE_MS, SESSION_REST_MS, STRANGERS_PER_SECOND
from quire.net import places as places_module
from quire.net import wire
from quire.net.endpoint import Endpoint, SessionId
from quire.net.link import Door, Link
from quire.net.notices import Connected
from quire.net.standing import Standing, StandingOf
from quire.sync.index import Summary
from tests.net.driver import SPACE, SPACE_KEY, Conditions, Node, World
from tests.sync.memory import MemoryIndex

US = DeviceKey(b"u" * 32)
DOOR = Door(SPACE, SPACE_KEY)


def members(device: bytes) -> Standing:
    return Standing.MEMBER


def listening(standing: StandingOf = members) -> Endpoint:
    endpoint = Endpoint(Random(1).randbytes)
    endpoint.add(SPACE, SPACE_KEY, US, lambda _: MemoryIndex(), standing)
    return endpoint


def hello_from(key: DeviceKey, door: Door = DOOR) -> bytes:
    payload = wire.packet(key.seed[:8], wire.NO_CID, 0, [wire.hello("bloom")])
    return Link(door, key, US.public).seal(key.seed[:24], payload)


def device(number: int) -> DeviceKey:
    return DeviceKey(number.to_bytes(4, "big") * 8)


def test_unknown_member_gets_a_session_by_proving_its_key() -> None:
    endpoint = listening()
    endpoint.receive_datagram(hello_from(device(1)), ("a",), 0)
    ((session_id, session),) = endpoint.sessions()
    assert session_id == SessionId(SPACE, US.public, device(1).public)
    assert not session.connected
    assert [address for _, address in endpoint.datagrams_to_send(0)] == [("a",)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "unknown"),
        (bytes(300), "unknown"),
        (bytes(5_000), "unknown"),
        (hello_from(device(1), Door(SPACE, b"x" * 32)), "unknown"),
        (hello_from(device(1))[:-1] + b"\0", "unopened"),
    ],
    ids=["empty", "zeros", "huge", "other space key", "altered"],
)
def test_strangers_get_nothing(data: bytes, reason: str) -> None:
    endpoint = listening()
    endpoint.receive_datagram(data, ("a",), 0)
    assert endpoint.dropped == {reason: 1}
    assert endpoint.sessions() == []
    assert endpoint.datagrams_to_send(0) == []
    assert endpoint.next_timer() is None


def test_a_header_that_claims_a_key_which_is_no_point_is_dropped() -> None:
    endpoint = listening()
    nonce = bytes(24)
    endpoint.receive_datagram(
        nonce + DOOR.mask(nonce, DOOR.tag(US.public) + bytes(32)) + bytes(60), ("a",), 0
    )
    assert endpoint.dropped == {"unopened": 1}


def test_first_contacts_per_second_are_bounded() -> None:
    endpoint = listening()
    for number in range(STRANGERS_PER_SECOND + 5):
        endpoint.receive_datagram(hello_from(device(number)), ("a",), 999)
    assert len(endpoint.sessions()) == STRANGERS_PER_SECOND
    assert endpoint.dropped == {"strangers": 5}


def test_sessions_are_bounded_and_the_longest_unheard_makes_room() -> None:
    endpoint = listening()
    endpoint.dial(SessionId(SPACE, US.public, device(0).public), [("d",)], 0)
    for number in range(1, MAX_SESSIONS + 10):
        endpoint.receive_datagram(hello_from(device(number)), ("a",), number * 1_000)
    kept = [session_id.peer for session_id, _ in endpoint.sessions()]
    assert len(kept) == MAX_SESSIONS
    assert device(0).public in kept
    assert device(1).public not in kept
    assert device(MAX_SESSIONS + 9).public in kept


def test_no_room_beside_sessions_that_are_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places_module, "MAX_SESSIONS", 3)
    endpoint = listening()
    for number in range(3):
        endpoint.dial(SessionId(SPACE, US.public, device(number).public), [("d",)], 0)
    with pytest.raises(ValueError, match="too many"):
        endpoint.dial(SessionId(SPACE, US.public, device(9).public), [("d",)], 0)
    endpoint.receive_datagram(hello_from(device(9)), ("a",), 0)
    peers = [session_id.peer for session_id, _ in endpoint.sessions()]
    assert peers == [device(1).public, device(2).public, device(9).public], (
        "who is there goes before who is not"
    )
    for _, session in endpoint.sessions():
        session.connected = True
    endpoint.receive_datagram(hello_from(device(8)), ("a",), 0)
    assert endpoint.dropped == {"sessions": 1}


def test_sessions_of_silent_strangers_are_closed_dialled_ones_are_not() -> None:
    endpoint = listening()
    endpoint.dial(SessionId(SPACE, US.public, device(0).public), [("d",)], 0)
    endpoint.receive_datagram(hello_from(device(1)), ("a",), 0)
    now = 0
    while now < SESSION_IDLE_MS + 40_000:
        now = endpoint.next_timer() or 0
        endpoint.handle_timer(now)
        endpoint.datagrams_to_send(now)
        if now < SESSION_IDLE_MS:
            assert len(endpoint.sessions()) == 2
    assert [session_id.peer for session_id, _ in endpoint.sessions()] == [device(0).public]


def test_dialling_from_a_device_that_is_not_here() -> None:
    with pytest.raises(KeyError):
        listening().dial(SessionId(SPACE, device(7).public, device(8).public), [], 0)


def test_two_identities_on_one_node_keep_apart_and_may_meet() -> None:
    world = World(1, Conditions())
    one, two = world.node("one"), world.node("two")
    second = replace(two, name="second", key=DeviceKey(b"s" * 32), index=MemoryIndex())
    one.endpoint.add(SPACE, SPACE_KEY, second.key, lambda _: second.index, members)
    one.endpoint.dial(SessionId(SPACE, second.key.public, two.key.public), [two.address], world.now)
    one.endpoint.dial(SessionId(SPACE, second.key.public, one.key.public), [one.address], world.now)
    world.run(3_000)
    assert one.notices.count(Connected(("two",))) == 1
    assert one.notices.count(Connected(("one",))) == 2
    assert two.endpoint.session(SessionId(SPACE, two.key.public, one.key.public)) is None
    one.endpoint.remove(SPACE, second.key.public)
    assert [session_id.local for session_id, _ in one.endpoint.sessions()] == [one.key.public]


def test_removing_the_last_device_closes_the_door() -> None:
    endpoint = listening()
    endpoint.remove(SPACE, US.public)
    endpoint.remove(SPACE, US.public)
    endpoint.receive_datagram(hello_from(device(1)), ("a",), 0)
    assert endpoint.dropped == {"unknown": 1}


def test_the_right_space_is_found_among_many() -> None:
    endpoint = Endpoint(Random(1).randbytes)
    for number in range(20):
        endpoint.add(bytes((number,)) * 32, bytes((number + 50,)) * 32, US, lambda _: MemoryIndex(), members)
    door = Door(b"\7" * 32, bytes((57,)) * 32)
    endpoint.receive_datagram(hello_from(device(1), door), ("a",), 0)
    assert [session_id.space_id for session_id, _ in endpoint.sessions()] == [b"\7" * 32]


class Unreadable(MemoryIndex):
    """A store in which nothing can be summed up."""

    def whole(self, *_: object) -> Summary:
        raise OSError("no disk")


def test_a_session_that_fails_keeps_no_other_from_its_turn_and_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[int] = []

    def contain(part: Callable[[int], None], now: int) -> bool:
        try:
            part(now)
        except OSError:
            failed.append(now)
            return False
        return True

    bad, good = device(1).public, device(2).public
    endpoint = Endpoint(Random(1).randbytes, contain=contain)
    endpoint.add(SPACE, SPACE_KEY, US, lambda peer: Unreadable() if peer == bad else MemoryIndex(), members)
    world = World(1, Conditions())
    us = Node("us", endpoint, US, address=("us",))
    world.nodes[us.address] = us
    for peer in (device(1), device(2)):
        other = replace(world.node(str(peer.public[:1])), key=peer)
        other.endpoint.add(SPACE, SPACE_KEY, peer, lambda _: MemoryIndex(), members)
        endpoint.dial(SessionId(SPACE, US.public, peer.public), [other.address], world.now)
    world.run(20_000)
    assert failed
    sessions = dict(endpoint.sessions())
    assert sessions[SessionId(SPACE, US.public, good)].status().in_sync
    monkeypatch.setattr(sessions[SessionId(SPACE, US.public, bad)], "handle_timer", Unreadable().whole)
    world.nodes = {us.address: us}
    world.run(60_000)
    failed.clear()
    world.run(10 * SESSION_REST_MS)
    assert [later - one for one, later in pairwise(failed)] == [SESSION_REST_MS] * 9
