"""Sessions between nodes over a network that loses, doubles, delays, reorders and damages datagrams."""

from random import Random

import pytest

from quire.core.sealing import NONCE_BYTES
from quire.limits import IDLE_HEARTBEAT_MS, MAX_DATAGRAM, MAX_FRAGMENTED, MAX_REASSEMBLY_BYTES, MIN_WINDOW
from quire.net import wire
from quire.net.endpoint import SessionId
from quire.net.link import Door, Link
from quire.net.notices import Address, Connected, SyncChanged
from quire.net.wire import MAX_RECORD
from quire.sync import STRATEGIES
from tests.net.driver import SPACE, SPACE_KEY, Conditions, Node, World, learned

BAD = Conditions(loss=0.3, twice=0.1, altered=0.05, delay=20, jitter=40)


def two(world: World, strategy: str = "bloom") -> tuple[Node, Node]:
    return world.node("one", strategy), world.node("two", strategy)


def in_sync(node: Node) -> list[bool]:
    return [notice.in_sync for notice in node.notices if isinstance(notice, SyncChanged)]


def said(world: World, source: Node, target: Node) -> tuple[int, int]:
    """Bytes of questions, and of events, that one sent the other."""
    link = Link(Door(SPACE, SPACE_KEY), target.key, source.key.public)
    questions = events = 0
    for _, address, _, data in world.log:
        payload = link.open(data) if address == source.address else None
        for kind, body in wire.read_frames(wire.read_packet(payload).frames) if payload else ():
            questions += len(body) if wire.is_question(kind, body) else 0
            events += len(body) if kind == wire.EVENTS else 0
    return questions, events


@pytest.mark.parametrize("strategy", ["bloom", "sketch"])
@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_on_a_narrow_uplink_asking_costs_less_than_what_is_asked_for(strategy: str, loss: float) -> None:
    world = World(14, Conditions(loss=loss, delay=20, uplink=20))
    one, two_ = two(world, strategy)
    one.hold(world.random, 2_000, 300)
    two_.hold(world.random, 20, 300)
    world.connect(one, two_)
    took = world.until_equal(120_000, one, two_)
    (giver, events), (taker, _) = said(world, one, two_), said(world, two_, one)
    assert giver < events * 0.5, "these go where the events go"
    assert taker < events * 0.25
    assert events < 1.15 * 2_000 * 300, "what came since it was said to be lacking is not sent again"
    assert took < 2 * 2_000 * 300 / 20


@pytest.mark.parametrize("strategy", ["bloom", "sketch"])
def test_live_events_without_end_keep_nothing_old_back(strategy: str) -> None:
    """Both ways, over a narrow uplink: what both lacked when they met comes all the same."""
    world = World(15, Conditions(delay=20, uplink=20))
    one, two_ = two(world, strategy)
    for node, other in ((one, two_), (two_, one)):
        node.hold(world.random, 300, 300)
        for (ts, event_id), blob in [(at, node.index.blobs([at[1]])[0]) for at in node.index.positions()]:
            other.index.add(ts, event_id, blob)
    old = [*one.hold(world.random, 200, 300), *two_.hold(world.random, 200, 300)]
    world.connect(one, two_)
    for _ in range(200):
        for node in (one, two_):
            node.endpoint.push(SPACE, node.key.public, node.hold(world.random, 2, 300), world.now)
        world.run(200)
        if all(len(node.index.blobs(old)) == len(old) for node in (one, two_)):
            return
    pytest.fail("what was old did not come")


@pytest.mark.parametrize("strategy", list(STRATEGIES))
@pytest.mark.parametrize("conditions", [Conditions(), BAD], ids=["good", "bad"])
def test_converges(strategy: str, conditions: Conditions) -> None:
    world = World(1, conditions)
    one, two_ = two(world, strategy)
    one.hold(world.random, 300, 400)
    two_.hold(world.random, 120)
    world.connect(one, two_)
    world.until_equal(60_000, one, two_)
    assert len(one.index) == 420
    world.run(10_000)
    assert in_sync(one)[-1:] == in_sync(two_)[-1:] == [True]


def test_live_events_arrive_within_a_round_trip() -> None:
    world = World(2)
    one, two_ = two(world)
    one.hold(world.random, 50)
    world.connect(one, two_)
    world.run(5_000)
    ids = one.hold(world.random, 3)
    one.endpoint.push(b"S" * 32, one.key.public, ids, world.now)
    world.run(10)
    assert len(two_.index) == 53


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_equal_stores_cost_one_small_datagram_per_heartbeat_and_side(strategy: str) -> None:
    world = World(3)
    one, two_ = two(world, strategy)
    one.hold(world.random, 40)
    world.connect(one, two_)
    world.run(20_000)
    start = len(world.log)
    world.run(20 * IDLE_HEARTBEAT_MS)
    quiet = world.log[start:]
    assert 36 <= len(quiet) <= 44
    assert max(len(data) for *_, data in quiet) <= 140


def test_large_blobs_over_a_bad_network_in_bounded_memory() -> None:
    world = World(4, BAD)
    one, two_ = two(world)
    one.hold(world.random, 5, MAX_RECORD)
    one.hold(world.random, 5, 20_000)
    world.connect(one, two_)
    most = 0
    for _ in range(900):
        world.run(100)
        if len(two_.index) == 10:
            break
        if two_.endpoint.sessions():
            most = max(most, two_.session_with(one)._inbox.reassembly.size)
    assert len(two_.index) == 10
    assert 0 < most <= min(MAX_REASSEMBLY_BYTES, MAX_FRAGMENTED * MAX_RECORD)


@pytest.mark.parametrize("restarted", ["one", "two"])
def test_restart_recovers_within_a_heartbeat(restarted: str) -> None:
    world = World(5)
    nodes = dict(zip(("one", "two"), two(world), strict=True))
    world.connect(nodes["one"], nodes["two"])
    world.run(30_000)
    nodes[restarted] = world.node(restarted, index=nodes[restarted].index, run=1)
    if restarted == "one":
        world.connect(nodes["one"], nodes["two"])
    nodes["one"].hold(world.random, 5)
    world.run(IDLE_HEARTBEAT_MS + 1_000)
    assert len(nodes["two"].index) == 5


def test_partition_heals_by_itself() -> None:
    world = World(6)
    one, two_ = two(world)
    world.connect(one, two_)
    world.run(5_000)
    world.conditions.loss = 1.0
    one.hold(world.random, 5)
    two_.hold(world.random, 5)
    world.run(120_000)
    assert not one.session_with(two_).connected
    start = len(world.log)
    world.run(60_000)
    assert len(world.log) - start <= 12
    world.conditions.loss = 0.0
    world.until_equal(25_000, one, two_)


def test_peer_that_moves_is_followed() -> None:
    world = World(7)
    one, two_ = two(world)
    world.connect(one, two_)
    world.run(5_000)
    two_.address = ("moved",)
    world.nodes = {one.address: one, two_.address: two_}
    world.run(IDLE_HEARTBEAT_MS + 1_000)
    two_.hold(world.random, 10)
    one.hold(world.random, 10)
    world.until_equal(10_000, one, two_)
    assert one.session_with(two_).status().address == ("moved",)


@pytest.mark.parametrize("seed", range(20))
def test_peer_that_is_dialled_at_several_addresses_is_reached_through_loss(seed: int) -> None:
    world = World(seed, Conditions(loss=0.1, delay=20))
    one, two_ = two(world)
    one.hold(world.random, 20)
    world.nodes[("also two",)] = two_
    places: list[Address] = [("nobody",), ("also two",), two_.address]
    one.endpoint.dial(SessionId(SPACE, one.key.public, two_.key.public), places, world.now)
    world.until_equal(8_000, one, two_)
    assert one.session_with(two_).status().address == two_.address


def test_window_shrinks_under_loss_and_recovers_without() -> None:
    world = World(8, Conditions(delay=20))
    one, two_ = two(world)
    one.hold(world.random, 5_000, 1_000)
    world.connect(one, two_)
    world.run(250)
    large = one.session_with(two_).status().window
    world.conditions.loss = 0.5
    world.run(6_000)
    small = one.session_with(two_).status().window
    world.conditions.loss = 0.0
    world.run(3_000)
    assert small < 3 * MIN_WINDOW
    assert min(large, one.session_with(two_).status().window) > 2 * small


def test_recorded_traffic_played_again_changes_nothing() -> None:
    world = World(9)
    one, two_ = two(world)
    one.hold(world.random, 30)
    world.connect(one, two_)
    world.run(20_000)
    recorded = [item for item in world.log if item[2] == two_.address]
    before, start = two_.session_with(one).status(), len(world.log)
    for number, (_, _, target, data) in enumerate(recorded * 20):
        world.send(data, ("attacker",), target, number)
    world.run(IDLE_HEARTBEAT_MS)
    after = two_.session_with(one).status()
    assert after.address == one.address
    assert after.peer_count == before.peer_count
    assert [notice for notice in two_.notices if isinstance(notice, Connected)] == [Connected(one.address)]
    said = [item for item in world.log[start:] if item[2] == ("attacker",)]
    assert sum(len(data) for *_, data in said) <= sum(len(data) for *_, data in recorded) * 20


def test_other_strategy_is_named() -> None:
    world = World(10)
    one, two_ = world.node("one", "bloom"), world.node("two", "full")
    world.connect(one, two_)
    world.run(3_000)
    assert one.session_with(two_).status().rejected["other-strategy"] > 0


def test_observer_sees_nothing_that_repeats_and_nothing_known() -> None:
    world = World(11)
    one, two_ = two(world)
    one.hold(world.random, 60, 400)
    world.connect(one, two_)
    one.session_with(two_).share([(b"d" * 32, "203.0.113.9:4000")])
    world.run(20_000)
    assert learned(two_) == [(b"d" * 32, "203.0.113.9:4000")]
    seen: dict[bytes, int] = {}
    for number, (*_, data) in enumerate(world.log):
        assert len(data) <= MAX_DATAGRAM
        for at in range(len(data) - 7):
            assert seen.setdefault(data[at : at + 8], number) == number
    known = [event_id for _, event_id in one.index.positions()] + [one.key.public, two_.key.public]
    assert not any(part[:8] in seen for part in [*known, b"........", b"203.0.11", b"S" * 8])
    assert len({data[:NONCE_BYTES] for *_, data in world.log}) == len(world.log)


def test_three_nodes_in_a_line_converge() -> None:
    world = World(12, Conditions(loss=0.05, delay=10, jitter=10))
    one, two_, three = world.node("one"), world.node("two"), world.node("three")
    for node in (one, two_, three):
        node.hold(world.random, 100)
    world.connect(one, two_)
    world.connect(three, two_)
    world.until_equal(30_000, one, two_, three)
    assert len(one.index) == 300


@pytest.mark.parametrize("seed", range(20, 30))
def test_addresses_are_said_again_until_they_arrive(seed: int) -> None:
    world = World(seed)
    one, two_ = two(world)
    world.connect(one, two_)
    world.run(1_000)
    world.conditions.loss = 0.5
    known = [(bytes((n,)) * 32, f"203.0.113.{n}:9") for n in range(3)]
    for pair in known:
        one.session_with(two_).share([pair])
    world.run(20_000)
    assert set(known) <= set(learned(two_))


def test_same_seed_gives_the_same_run() -> None:
    def trace() -> list[bytes]:
        world = World(13, Conditions(loss=0.2, delay=10, jitter=30))
        one, two_ = two(world)
        one.hold(Random(1), 50)
        world.connect(one, two_)
        world.run(3_000)
        return [data for *_, data in world.log]

    assert trace() == trace()
