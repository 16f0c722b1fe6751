"""An endpoint among members, unknown devices and removed ones."""

from collections.abc import Callable
from random import Random

import pytest

from quire.core.keys import DeviceKey
from quire.limits import (
    MAX_UNKNOWN_SESSIONS,
    REFUSED_GAP_MS,
    STRANGERS_PER_SECOND,
    UNKNOWN_TERM_MS,
)
from quire.net import places, wire
from quire.net.endpoint import Endpoint, SessionId
from quire.net.link import Link
from quire.net.notices import LetterReceived
from quire.net.refusals import REFUSED_DATAGRAM
from quire.net.session import Session
from quire.net.standing import Refusal, Standing
from tests.net.driver import SPACE, SPACE_KEY, Conditions, World
from tests.net.test_endpoint import DOOR, US, device, hello_from, listening
from tests.sync.memory import MemoryIndex

UNKNOWN, MEMBER, REMOVED = Standing.UNKNOWN, Standing.MEMBER, Standing.REMOVED
#: A session's `connected`, whatever the session says.
ALWAYS = property(lambda _: True, lambda *_: None)


def graph(**standings: list[int]) -> Callable[[bytes], Standing]:
    """`MEMBER=[1], REMOVED=[2]` by number of device; all others are unknown."""
    known = {
        device(number).public: Standing[name] for name, numbers in standings.items() for number in numbers
    }
    return lambda peer: known.get(peer, UNKNOWN)


def with_id(number: int) -> SessionId:
    return SessionId(SPACE, US.public, device(number).public)


def peers(endpoint: Endpoint) -> set[bytes]:
    return {session_id.peer for session_id, _ in endpoint.sessions()}


def test_a_removed_device_has_no_session_and_is_told_now_and_then() -> None:
    endpoint = listening(graph(REMOVED=[1]))
    bytes_in, told = 0, []
    for now in range(0, 3 * REFUSED_GAP_MS, 50):
        hello = hello_from(device(1))
        bytes_in += len(hello)
        endpoint.receive_datagram(hello, ("a",), now)
        told += [(now, data, address) for data, address in endpoint.datagrams_to_send(now)]
    assert endpoint.sessions() == []
    assert endpoint.dropped == {"removed": 3 * REFUSED_GAP_MS // 50}
    assert [(now, address) for now, _, address in told] == [
        (turn * REFUSED_GAP_MS, ("a",)) for turn in range(3)
    ]
    payload = Link(DOOR, device(1), US.public).open(told[0][1])
    assert payload is not None
    asked_cid = device(1).seed[:8]
    assert wire.read_packet(payload) == (wire.NO_CID, asked_cid, 0, wire.refused(Refusal.REMOVED))
    assert all(len(data) == REFUSED_DATAGRAM <= len(hello_from(device(1))) for _, data, _ in told)
    with pytest.raises(ValueError, match="removed"):
        endpoint.dial(with_id(1), [("a",)], 0)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (hello_from(device(1))[:-1] + b"\0", "unopened"),
        (
            Link(DOOR, device(1), US.public).seal(bytes(24), wire.packet(b"cid cid ", bytes(8), 0, [])),
            "removed",
        ),
        (Link(DOOR, device(1), US.public).seal(bytes(24), b"no packet".ljust(60)), "removed"),
        (
            Link(DOOR, device(1), US.public).seal(
                bytes(24), wire.packet(bytes(8), b"echoecho", 0, [bytes(40)])
            ),
            "removed",
        ),
    ],
    ids=["forged", "small", "no packet", "an answer"],
)
def test_what_needs_no_answer_gets_none(data: bytes, reason: str) -> None:
    endpoint = listening(graph(REMOVED=[1]))
    endpoint.receive_datagram(data, ("a",), 0)
    assert endpoint.dropped == {reason: 1}
    assert endpoint.datagrams_to_send(0) == []


def test_a_header_that_claims_a_removed_key_which_is_no_point() -> None:
    endpoint = listening(lambda _: REMOVED)
    nonce = bytes(24)
    header = DOOR.mask(nonce, DOOR.tag(US.public) + bytes(32))
    endpoint.receive_datagram(nonce + header + bytes(60), ("a",), 0)
    assert endpoint.datagrams_to_send(0) == []


def test_a_flood_of_unknown_devices_has_its_share_and_no_more() -> None:
    endpoint = listening(graph(MEMBER=[0]))
    endpoint.dial(with_id(0), [("d",)], 0)
    for number in range(1, MAX_UNKNOWN_SESSIONS + 200):
        endpoint.receive_datagram(hello_from(device(number)), ("a",), number * 100)
        assert len(endpoint.sessions()) <= 1 + MAX_UNKNOWN_SESSIONS
    assert device(0).public in peers(endpoint)
    assert device(MAX_UNKNOWN_SESSIONS + 199).public in peers(endpoint)
    member = endpoint.session(with_id(0))
    assert [session for _, session in endpoint.sessions() if not session.restricted] == [member]


def test_unknown_devices_that_stay_keep_out_others_only_for_a_term(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = listening(graph())
    monkeypatch.setattr(Session, "connected", ALWAYS, raising=False)
    for number in range(MAX_UNKNOWN_SESSIONS + 3):
        endpoint.receive_datagram(hello_from(device(number)), ("a",), number * 10)
    assert endpoint.dropped == {"sessions": 3}
    endpoint.receive_datagram(hello_from(device(99)), ("a",), UNKNOWN_TERM_MS)
    assert peers(endpoint) == {device(number).public for number in [*range(1, MAX_UNKNOWN_SESSIONS), 99]}
    with pytest.raises(ValueError, match="too many"):
        endpoint.dial(with_id(98), [("d",)], UNKNOWN_TERM_MS)


def test_unknown_devices_use_up_their_own_first_contacts_only() -> None:
    endpoint = listening(graph(MEMBER=[9_999]))
    for number in range(STRANGERS_PER_SECOND + 5):
        endpoint.receive_datagram(hello_from(device(number)), ("a",), 999)
    assert endpoint.dropped == {"strangers": 5}
    endpoint.receive_datagram(hello_from(device(9_999)), ("a",), 999)
    assert device(9_999).public in peers(endpoint)


def test_members_take_the_places_of_unknown_ones_and_never_the_other_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(places, "MAX_SESSIONS", 4)
    endpoint = listening(graph(MEMBER=[1, 2, 3, 4, 5]))
    monkeypatch.setattr(Session, "connected", ALWAYS, raising=False)
    for number in (11, 12, 13, 14, 15):
        endpoint.receive_datagram(hello_from(device(number)), ("a",), 0)
    assert len(peers(endpoint)) == 4
    for number in (1, 2, 3):
        endpoint.receive_datagram(hello_from(device(number)), ("a",), 1)
    endpoint.dial(with_id(4), [("d",)], 2)
    assert peers(endpoint) == {device(number).public for number in (1, 2, 3, 4)}
    endpoint.receive_datagram(hello_from(device(16)), ("a",), UNKNOWN_TERM_MS)
    assert peers(endpoint) == {device(number).public for number in (1, 2, 3, 4)}


def test_a_member_gets_in_and_in_sync_beside_unknown_ones_that_talk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "MAX_SESSIONS", 3)
    world = World(1, Conditions(loss=0.1))
    host, member = world.node("host", others=UNKNOWN), world.node("member")
    host.sees(member, MEMBER, world.now)
    host.hold(world.random, 50)
    for number in range(5):
        world.connect(world.node(f"stranger {number}"), host)
    world.run(5_000)
    assert len(host.endpoint.sessions()) == 3
    world.connect(member, host)
    world.until_equal(10_000, host, member)
    world.run(30_000)
    assert host.session_with(member).connected
    assert all(len(node.index) == 0 for node in world.nodes.values() if node.name.startswith("stranger"))


def test_standing_is_asked_again_for_the_sessions_of_that_space_only() -> None:
    asked: list[tuple[str, bytes]] = []

    def asking(name: str) -> Callable[[bytes], Standing]:
        return lambda peer: asked.append((name, peer)) or MEMBER

    endpoint = Endpoint(Random(1).randbytes)
    second = DeviceKey(b"s" * 32)
    endpoint.add(SPACE, SPACE_KEY, US, lambda _: MemoryIndex(), asking("us"))
    endpoint.add(SPACE, SPACE_KEY, second, lambda _: MemoryIndex(), asking("second"))
    endpoint.add(b"o" * 32, b"k" * 32, US, lambda _: MemoryIndex(), asking("elsewhere"))
    for space, local in ((SPACE, US), (SPACE, second), (b"o" * 32, US)):
        endpoint.dial(SessionId(space, local.public, device(1).public), [("d",)], 0)
    asked.clear()
    endpoint.standing_changed(SPACE, 0)
    assert asked == [("us", device(1).public), ("second", device(1).public)]


def test_two_local_devices_see_the_same_peer_each_in_its_own_way() -> None:
    endpoint = listening(graph(MEMBER=[1]))
    second = DeviceKey(b"s" * 32)
    endpoint.add(SPACE, SPACE_KEY, second, lambda _: MemoryIndex(), graph(REMOVED=[1]))
    endpoint.receive_datagram(hello_from(device(1)), ("a",), 0)
    hello = wire.packet(b"cid cid ", wire.NO_CID, 0, [wire.hello("bloom")])
    to_second = Link(DOOR, device(1), second.public).seal(bytes(24), hello)
    endpoint.receive_datagram(to_second, ("a",), 0)
    assert [session_id.local for session_id, _ in endpoint.sessions()] == [US.public]
    assert endpoint.dropped == {"removed": 1}
    assert len(endpoint.datagrams_to_send(0)) == 2


def test_members_that_become_unknown_share_the_places_of_the_unknown() -> None:
    standings = {"now": MEMBER}
    endpoint = listening(lambda _: standings["now"])
    for number in range(MAX_UNKNOWN_SESSIONS + 20):
        endpoint.dial(with_id(number), [("d",)], number)
    standings["now"] = UNKNOWN
    endpoint.standing_changed(SPACE, 100)
    assert peers(endpoint) == {device(number).public for number in range(20, MAX_UNKNOWN_SESSIONS + 20)}


def leftovers(endpoint: Endpoint) -> dict[str, object]:
    """Whatever an endpoint remembers, by name; counts and rates are no memory of anybody."""
    sized = {name: value for name, value in vars(endpoint).items() if hasattr(value, "__len__")}
    of_itself = ("_strategy", "_first_contacts", "dropped")
    return {name: value for name, value in sized.items() if len(value) and name not in of_itself}


def test_a_door_that_holds_nothing_carries_letters_and_leaves_nothing_behind() -> None:
    world = World(2, Conditions(loss=0.3))
    old, new = world.node("old"), world.node("new")
    pairing, key = b"P" * 32, b"Q" * 32
    for node in (old, new):
        node.endpoint.add(pairing, key, node.key, lambda _: MemoryIndex(), lambda _: UNKNOWN)
    ids = [
        SessionId(pairing, old.key.public, new.key.public),
        SessionId(pairing, new.key.public, old.key.public),
    ]
    new.endpoint.dial(ids[1], [old.address], world.now)
    new.endpoint.send_letter(ids[1], b"pair with me")
    world.run(5_000)
    old.endpoint.send_letter(ids[0], b"welcome")
    world.run(5_000)
    assert LetterReceived(b"pair with me") in old.notices
    assert LetterReceived(b"welcome") in new.notices
    for node in (old, new):
        assert leftovers(node.endpoint).keys() >= {"_doors", "_locals", "_sessions"}
        node.endpoint.remove(pairing, node.key.public)
        assert [session_id.space_id for session_id, _ in node.endpoint.sessions()] == []
        node.endpoint.remove(SPACE, node.key.public)
        node.endpoint.datagrams_to_send(world.now)
        assert leftovers(node.endpoint) == {}
        assert node.endpoint.next_timer() is None
        assert node.endpoint.next_event() is None


def test_a_removed_device_that_was_answered_is_forgotten_with_the_door() -> None:
    endpoint = listening(graph(REMOVED=[1]))
    endpoint.receive_datagram(hello_from(device(1)), ("a",), 0)
    assert leftovers(endpoint).keys() >= {"_refusals", "_out"}
    endpoint.datagrams_to_send(0)
    endpoint.remove(SPACE, US.public)
    assert leftovers(endpoint) == {}


def forged(number: int) -> bytes:
    """What names a device that has not sent it."""
    data = hello_from(device(number))
    return data[:-1] + bytes((data[-1] ^ 1,))


def test_names_that_are_forged_keep_no_member_from_being_met() -> None:
    real = 3 * STRANGERS_PER_SECOND
    endpoint = listening(graph(MEMBER=list(range(real + 1))))
    for second in range(3):
        for number in range(2 * STRANGERS_PER_SECOND):
            endpoint.receive_datagram(forged(number), ("a",), 1_000 * second)
    endpoint.receive_datagram(hello_from(device(real)), ("a",), 2_000)
    assert peers(endpoint) == {device(real).public}


def test_a_name_that_is_forged_keeps_no_removed_device_from_its_answer() -> None:
    endpoint = listening(graph(REMOVED=list(range(STRANGERS_PER_SECOND))))
    for number in range(STRANGERS_PER_SECOND):
        endpoint.receive_datagram(forged(number), ("a",), 0)
    endpoint.receive_datagram(hello_from(device(1)), ("b",), 1)
    assert [address for _, address in endpoint.datagrams_to_send(1)] == [("b",)]
