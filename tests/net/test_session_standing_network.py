"""Nodes that do not know each other as members, or not any more, over a network that loses datagrams."""

import pytest

from quire.limits import MAX_CONTROL, REFUSED_GAP_MS, UNREACHABLE_HEARTBEAT_MS
from quire.net import standing, wire
from quire.net.endpoint import SessionId
from quire.net.link import Door, Link
from quire.net.notices import LetterReceived, Refused
from quire.net.standing import Refusal, Standing
from quire.sync import STRATEGIES
from tests.net.driver import SPACE, SPACE_KEY, Conditions, Node, World, learned

BAD = Conditions(loss=0.3, twice=0.1, altered=0.05, delay=20, jitter=40)
WELL_OR_BADLY = pytest.mark.parametrize("conditions", [Conditions(), BAD], ids=["good", "bad"])
UNKNOWN, MEMBER, REMOVED = Standing.UNKNOWN, Standing.MEMBER, Standing.REMOVED
KNOWN = [(b"d" * 32, "203.0.113.9:4000")]


def inviter_and_newcomer(world: World, strategy: str = "bloom") -> tuple[Node, Node]:
    """The newcomer trusts the device that its invite names; that one knows nobody."""
    inviter = world.node("inviter", strategy, others=UNKNOWN)
    newcomer = world.node("newcomer", strategy, others=UNKNOWN)
    newcomer.sees(inviter, MEMBER, world.now)
    return inviter, newcomer


def kinds(world: World, sender: Node, receiver: Node, since: int = 0) -> set[int]:
    """Of all frames that one sent to the other."""
    link = Link(Door(SPACE, SPACE_KEY), receiver.key, sender.key.public)
    payloads = [link.open(data) for _, source, _, data in world.log[since:] if source == sender.address]
    packets = [wire.read_packet(payload) for payload in payloads if payload is not None]
    return {kind for packet in packets for kind, _ in wire.read_frames(packet.frames)}


def use(world: World, node: Node, other: Node) -> None:
    """Push and share as the node above does."""
    node.endpoint.push(
        SPACE, node.key.public, [event_id for _, event_id in node.index.positions()], world.now
    )
    session = node.endpoint.session(SessionId(SPACE, node.key.public, other.key.public))
    if session is not None:
        session.share(KNOWN)


@WELL_OR_BADLY
@pytest.mark.parametrize("strategy", list(STRATEGIES))
@pytest.mark.parametrize("count", [40, 900])
def test_what_a_stranger_brings_arrives_and_it_gets_nothing(
    conditions: Conditions, strategy: str, count: int
) -> None:
    world = World(1, conditions)
    inviter, newcomer = inviter_and_newcomer(world, strategy)
    inviter.hold(world.random, count, 400)
    newcomer.hold(world.random, count)
    world.connect(newcomer, inviter)
    for _ in range(120):
        use(world, inviter, newcomer)
        world.run(500)
        if len(inviter.index) == 2 * count:
            break
    assert len(inviter.index) == 2 * count
    assert len(newcomer.index) == count
    assert learned(newcomer) == []
    assert not kinds(world, inviter, newcomer) & {wire.EVENTS, wire.FRAGMENT, wire.ADDRESSES}


@WELL_OR_BADLY
@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_a_stranger_that_becomes_a_member_is_reconciled_with_live(
    conditions: Conditions, strategy: str
) -> None:
    world = World(2, conditions)
    inviter, newcomer = inviter_and_newcomer(world, strategy)
    inviter.hold(world.random, 300, 400)
    newcomer.hold(world.random, 20)
    world.connect(newcomer, inviter)
    world.run(10_000)
    assert len(newcomer.index) == 20
    assert newcomer.session_with(inviter).status().refused is Refusal.NOT_ADMITTED
    assert inviter.session_with(newcomer).status().restricted
    inviter.sees(newcomer, MEMBER, world.now)
    took = world.until_equal(30_000, inviter, newcomer)
    assert conditions is BAD or took <= 1_000
    world.run(10_000)
    assert len(newcomer.index) == 320
    assert newcomer.session_with(inviter).status().refused is None
    assert not inviter.session_with(newcomer).status().restricted


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_what_was_too_much_of_a_stranger_is_found_once_it_is_a_member(
    strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "MAX_UNKNOWN_BYTES", 10_000)
    world = World(7)
    inviter, newcomer = inviter_and_newcomer(world, strategy)
    newcomer.hold(world.random, 500)
    world.connect(newcomer, inviter)
    world.run(60_000)
    assert 50 <= len(inviter.index) <= 110
    assert inviter.session_with(newcomer).connected
    assert newcomer.session_with(inviter).connected
    inviter.sees(newcomer, MEMBER, world.now)
    world.until_equal(5_000, inviter, newcomer)


@pytest.mark.parametrize("dialling", ["inviter", "newcomer"])
def test_two_that_both_restrict_still_bring_letters_and_get_out_of_it(dialling: str) -> None:
    world = World(3, BAD)
    inviter, newcomer = inviter_and_newcomer(world)
    newcomer.sees(inviter, UNKNOWN, world.now)
    inviter.hold(world.random, 30)
    newcomer.hold(world.random, 30)
    ends = (inviter, newcomer) if dialling == "inviter" else (newcomer, inviter)
    world.connect(*ends)
    world.run(15_000)
    for node, other in (ends, ends[::-1]):
        node.endpoint.send_letter(SessionId(SPACE, node.key.public, other.key.public), node.name.encode())
    world.run(15_000)
    for node, other in (ends, ends[::-1]):
        assert {n.data for n in node.notices if isinstance(n, LetterReceived)} == {other.name.encode()}
        assert len(node.index) == 30
        assert node.session_with(other).status().restricted
        assert node.session_with(other).status().refused is Refusal.NOT_ADMITTED
    newcomer.sees(inviter, MEMBER, world.now)
    world.run(15_000)
    assert (len(inviter.index), len(newcomer.index)) == (60, 30)
    inviter.sees(newcomer, MEMBER, world.now)
    world.until_equal(20_000, inviter, newcomer)


@WELL_OR_BADLY
def test_a_removed_device_is_told_and_cut_off_in_the_middle_of_a_transfer(conditions: Conditions) -> None:
    world = World(4, conditions)
    one, two = world.node("one"), world.node("two")
    one.hold(world.random, 20_000, 1_000)
    world.connect(two, one)
    while len(two.index) < 500:
        world.run(50)
    assert len(two.index) < 15_000
    one.sees(two, REMOVED, world.now)
    start, begun = len(world.log), world.now
    assert one.endpoint.session(SessionId(SPACE, one.key.public, two.key.public)) is None
    world.run(200)
    had = len(two.index)
    for _ in range(6 * UNREACHABLE_HEARTBEAT_MS // 500):
        use(world, one, two)
        world.run(500)
    assert len(two.index) == had
    assert kinds(world, one, two, start) == {wire.REFUSED}
    assert Refused(Refusal.REMOVED) in two.notices
    assert two.session_with(one).status().refused is Refusal.REMOVED
    said = [(at, data) for at, source, _, data in world.log[start:] if source == one.address]
    assert len(said) <= 2 + (world.now - begun) // REFUSED_GAP_MS
    heard = [data for *_, target, data in world.log[start:] if target == one.address]
    assert sum(len(data) for _, data in said) <= sum(map(len, heard))


@WELL_OR_BADLY
def test_a_removed_device_that_is_taken_back_finds_its_way(conditions: Conditions) -> None:
    world = World(5, conditions)
    one, two = world.node("one"), world.node("two")
    one.hold(world.random, 10)
    world.connect(two, one)
    world.until_equal(10_000, one, two)
    one.sees(two, REMOVED, world.now)
    world.run(60_000)
    assert not two.session_with(one).connected
    one.hold(world.random, 10)
    one.sees(two, MEMBER, world.now)
    world.until_equal(8 * UNREACHABLE_HEARTBEAT_MS, one, two)
    assert two.session_with(one).status().refused is None


def test_a_removed_device_learns_it_though_it_was_away() -> None:
    world = World(6)
    one, two = world.node("one"), world.node("two")
    one.sees(two, REMOVED, world.now)
    world.connect(two, one)
    world.run(1_000)
    assert two.notices == [Refused(Refusal.REMOVED)]
    assert one.endpoint.dropped["removed"] >= 1
    assert one.endpoint.sessions() == []


@pytest.mark.parametrize("standing", [Standing.UNKNOWN, Standing.MEMBER])
def test_how_a_peer_stands_is_told_though_the_queue_is_full(standing: Standing) -> None:
    world = World(3)
    one, two = world.node("one", others=standing), world.node("two")
    world.connect(two, one)
    world.run(3_000)
    session = one.session_with(two)
    session._control.say([wire.frame(wire.SYNC, b"?")] * 2 * MAX_CONTROL)
    one.sees(two, MEMBER if standing is UNKNOWN else UNKNOWN, world.now)
    world.run(10_000)
    told = None if standing is UNKNOWN else Refusal.NOT_ADMITTED
    assert two.session_with(one).refused is told
