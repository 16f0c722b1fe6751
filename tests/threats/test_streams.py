"""Members who lie on streams, and strangers who record them: they cost time that is bounded, and nothing else."""

from collections.abc import Callable
from typing import Any

import pytest

from quire.core import canonical
from quire.core.encoding import from_text, to_text
from quire.core.keys import DeviceKey
from quire.handlers import incoming
from quire.limits import LOG_PART, MAX_INTEGER, MAX_POOR_ANSWERS, STREAM_IDLE_MS, STREAM_SLOW_MS
from quire.node.log_view import LogView
from quire.sim.liar_streams import Dribble
from quire.sync.frontier import Blobs, Height, Logs, Want
from tests.events.builders import digest
from tests.node.world import Station, World
from tests.threats.attacker import made_up, sealed_under

MANY = 6_000


def write(station: Station, count: int) -> None:
    for start in range(0, count, 1_000):
        station.ask("sendMessages", target="general", texts=[f"m {start + n}" for n in range(1_000)])


def held(station: Station) -> int:
    member = station.home.store.memberships.all()[0]
    return station.home.store.index(member.account, member.space).whole().count


class Liar:
    """Logs of a member that tells the truth unless told otherwise."""

    def __init__(self, truth: Logs) -> None:
        self._truth = truth
        self.tell: Callable[[list[Height]], list[Height]] = lambda heights: heights
        self.give: Callable[[Want, Blobs], Blobs] = lambda _, blobs: blobs
        self.gave = 0

    def heights(self) -> list[Height]:
        return self.tell(self._truth.heights())

    def run(self, want: Want) -> Blobs:
        self.gave += 1
        return self.give(want, self._truth.run(want))


@pytest.fixture
def liar(world: World) -> tuple[Station, Station, Liar]:
    """Mallory, who holds all that alice wrote; bob, who was away meanwhile; and what mallory's streams say."""
    alice = world.founder()
    mallory = world.guest("mallory", alice)
    bob = world.guest("bob", alice)
    bob.down()
    write(alice, MANY)
    world.until(lambda: held(mallory) == held(alice))
    mallory.down()
    mallory.up(streams=True)
    alice.down()
    member = mallory.home.store.memberships.all()[0]
    logs = Liar(LogView(mallory.home.store.logs(member.account, member.space)))
    carrier: Any = mallory.running._streams._carrier
    carrier.logs_for = lambda _: logs
    world.pipes.bytes_per_ms = 2_000
    return alice, bob, logs


def meet(world: World, bob: Station, duration: int) -> None:
    bob.up(streams=True)
    world.run(duration)


def _garbage(_: Want, blobs: Blobs) -> Blobs:
    return blobs._replace(groups=[(key, [bytes(len(blob)) for blob in those]) for key, those in blobs.groups])


def _something_else(want: Want, blobs: Blobs) -> Blobs:
    """The first events again and again, whatever was asked for."""
    return Blobs([(key, those[:1] * len(those)) for key, those in blobs.groups], want.until, True)


def _nothing_that_was_promised(want: Want, _: Blobs) -> Blobs:
    return Blobs([], want.until, True)


def _less(want: Want, blobs: Blobs) -> Blobs:
    return Blobs([(key, those[1:]) for key, those in blobs.groups], want.until, True)


@pytest.mark.slow
@pytest.mark.parametrize("lie", [_garbage, _something_else, _nothing_that_was_promised, _less])
def test_who_gives_something_else_than_it_was_asked_for_keeps_nobody_from_the_truth(
    world: World, liar: tuple[Station, Station, Liar], lie: Callable[[Want, Blobs], Blobs]
) -> None:
    alice, bob, logs = liar
    logs.give = lie
    meet(world, bob, 5_000)
    assert len(set(bob.texts())) == len(bob.texts())
    alice.up(streams=True)
    world.until(lambda: held(bob) == held(alice), 90_000)
    assert bob.texts() == alice.texts()
    assert logs.gave < 400, "asked again and again"


@pytest.mark.parametrize("most", [LOG_PART - 1, MAX_INTEGER])
def test_heights_beyond_all_bounds_cost_some_empty_answers(
    world: World, liar: tuple[Station, Station, Liar], most: int
) -> None:
    """In a part that there is, and in one that there is not: then datagrams bring what the stream was kept from."""
    alice, bob, logs = liar
    devices = [n.to_bytes(32, "big") for n in range(1, 300)]
    logs.tell = lambda heights: [
        *(height._replace(seq=most) for height in heights),
        *(Height(device, most, bytes(8), 0) for device in devices),
    ]
    meet(world, bob, 10_000)
    assert 0 < logs.gave < 2 * MAX_POOR_ANSWERS * len(world.calls), "given up each time"
    assert len(world.calls) < 8, "after longer and longer rests"
    world.until(lambda: held(bob) == MANY + held_before(bob), 30_000)
    alice.up(streams=True)
    world.until(lambda: held(bob) == held(alice))


def _promises_without_end(logs: Liar) -> None:
    logs.tell = lambda heights: [height._replace(seq=2**31) for height in heights]
    logs.give = _nothing_that_was_promised


def test_who_promises_without_end_keeps_nobody_from_an_honest_source(
    world: World, liar: tuple[Station, Station, Liar]
) -> None:
    alice, bob, logs = liar
    _promises_without_end(logs)
    world.walls.add(frozenset({alice.address, bob.address}))
    alice.up(streams=True)
    meet(world, bob, 300)
    assert logs.gave, "the liar is met first"
    world.walls.clear()
    world.until(lambda: held(bob) == held(alice), 8_000)
    world.run(10_000)
    assert logs.gave < 100, "asked without end"


def test_who_brought_nothing_is_not_asked_again_each_time_it_calls(
    world: World, liar: tuple[Station, Station, Liar]
) -> None:
    _, bob, logs = liar
    _promises_without_end(logs)
    mallory = next(station for station in world.stations.values() if station.name == "mallory")
    world.uncallable.add(mallory.address)
    streams = mallory.running._streams
    bob.up(streams=True)
    for _ in range(100):
        world.run(200)
        streams._rests.clear()
        for session_id, _ in mallory.running._endpoint.sessions():
            if session_id.peer == from_text(bob.home.store.memberships.all()[0].device):
                streams._far_since[session_id] = -(10**6)
                streams.far_apart(session_id, bob.address, False, world.now)
    assert len([name for _, name in world.calls if name == "mallory"]) > 30
    assert logs.gave < 8 * MAX_POOR_ANSWERS


def held_before(bob: Station) -> int:
    return held(bob) - int(bob.home.store.db.all("SELECT count(*) FROM message_rows")[0][0])


@pytest.mark.slow
def test_who_answers_nothing_is_given_up(world: World, liar: tuple[Station, Station, Liar]) -> None:
    alice, bob, logs = liar
    logs.give = lambda want, _: Blobs([], want.after, False)
    silent: list[int] = []
    mallory = next(station for station in world.stations.values() if station.name == "mallory")
    real = mallory.running.stream_to_send

    def mute(number: int, now: int) -> bytes:
        silent.append(now)
        return real(number, now) if logs.gave == 0 else b""

    mallory.running.stream_to_send = mute  # type: ignore[method-assign]
    meet(world, bob, 2_000)
    (first,) = world.pipes.ends("bob")
    world.run(STREAM_IDLE_MS)
    assert first not in world.pipes.ends("bob")
    assert silent
    alice.up(streams=True)
    world.until(lambda: held(bob) == held(alice), 90_000)


@pytest.mark.slow
def test_what_was_recorded_on_a_stream_gets_nothing(
    world: World, liar: tuple[Station, Station, Liar]
) -> None:
    """A stranger who has all that bob said, to the byte, is told no more than the handshake's second message."""
    _, bob, logs = liar
    mallory = next(station for station in world.stations.values() if station.name == "mallory")
    heard: list[bytes] = []
    real = mallory.running.receive_stream

    def record(number: int, data: bytes, now: int) -> None:
        heard.append(data)
        real(number, data, now)

    mallory.running.receive_stream = record  # type: ignore[method-assign]
    meet(world, bob, 10_000)
    assert held(bob) > MANY
    gave = logs.gave
    number = mallory.running.stream_called(world.now)
    assert number is not None
    real(number, b"".join(heard), world.now)
    assert len(mallory.running.stream_to_send(number, world.now)) <= 50
    mallory.running.datagrams_to_send(world.now)
    assert logs.gave == gave
    assert mallory.running.dropped()["unopened"] == 1


@pytest.mark.slow
def test_a_listener_learns_sizes_and_times(world: World, liar: tuple[Station, Station, Liar]) -> None:
    _, bob, _ = liar
    seen: list[bytes] = []
    real = world.pipes.write

    def tap(end: Any, data: bytes, arrives: int) -> None:
        seen.append(data)
        real(end, data, arrives)

    world.pipes.write = tap  # type: ignore[method-assign]
    meet(world, bob, 10_000)
    said = b"".join(seen)
    member = bob.home.store.memberships.all()[0]
    assert len(said) > MANY * 200
    secrets = [
        b"m 17",
        from_text(member.device),
        from_text(member.space_id),
        member.device.encode(),
        b"general",
    ]
    sealed = [bytes(blob) for (blob,) in bob.home.store.db.all("SELECT sealed FROM blobs LIMIT 50")]
    assert not [secret for secret in (*secrets, *sealed) if secret in said]


@pytest.mark.slow
def test_who_damages_streams_lays_it_to_nobody_s_charge(
    world: World, liar: tuple[Station, Station, Liar]
) -> None:
    """A peer that is blamed often is ignored, and everybody on the path can flip a bit."""
    _, bob, _ = liar
    real = world.pipes.write

    def damage(end: Any, data: bytes, arrives: int) -> None:
        real(end, data[:-1] + bytes((data[-1] ^ 1,)) if len(data) > 10_000 else data, arrives)

    world.pipes.write = damage  # type: ignore[method-assign]
    meet(world, bob, 10_000)
    assert bob.running.dropped()["unopened"] > 0
    member = bob.home.store.memberships.all()[0]
    assert not [status.rejected for status in bob.running.sessions(member).values() if status.rejected]
    world.until(lambda: held(bob) > MANY, 60_000)


@pytest.mark.slow
def test_who_gives_byte_by_byte_is_given_up_and_called_ever_less_often(
    world: World, liar: tuple[Station, Station, Liar]
) -> None:
    """Each byte is a sign of life, but what is fetched from it others are not asked for."""
    alice, bob, _ = liar
    mallory = next(station for station in world.stations.values() if station.name == "mallory")
    real, dribble = mallory.running.stream_to_send, Dribble()

    def drip(number: int, now: int) -> bytes:
        return dribble.give(number, real(number, now), now)

    mallory.running.stream_to_send = drip  # type: ignore[method-assign]
    meet(world, bob, STREAM_SLOW_MS)
    assert bob.running.fetching
    world.run(5 * STREAM_SLOW_MS)
    fetching = 0
    for _ in range(20):
        fetching += bob.running.fetching
        world.run(10_000)
    assert fetching < 10
    alice.up(streams=True)
    world.until(lambda: held(bob) == held(alice), 90_000)


@pytest.fixture
def three(world: World) -> tuple[Station, Station, Station]:
    """Alice, who wrote much while the others were away; bob; and mallory. All are down."""
    alice = world.founder()
    bob, mallory = world.guest("bob", alice), world.guest("mallory", alice)
    world.run(3_000)
    for station in (mallory, bob, alice):
        station.down()
    write(alice, MANY)
    world.pipes.bytes_per_ms = 2_000
    return alice, bob, mallory


def comes_at_once(world: World, alice: Station, bob: Station) -> None:
    """All that alice wrote comes to bob over one stream, each event once."""
    alice.up(streams=True)
    bob.up(streams=True)
    world.until(lambda: bob.texts() == alice.texts(), 5_000)
    sealed = alice.home.store.db.all("SELECT sum(length(sealed)) FROM blobs")[0][0]
    assert sealed * 0.9 < world.streamed["alice"] < sealed * 1.5
    assert len(world.calls) == 1


@pytest.mark.parametrize("where", ["bob", "alice", "both"])
def test_made_up_events_in_a_log_keep_nobody_from_fetching_it(
    world: World, three: tuple[Station, Station, Station], where: str
) -> None:
    """At the next place that bob lacks, and at others: what nobody vouches for is no part of what he holds, nor of
    what alice gives.
    """
    alice, bob, _ = three
    me, his, its = (station.home.store.memberships.all()[0] for station in three)
    logs = bob.home.store.logs(his.account, his.space)
    (top,) = (height.seq for height in logs.heights() if height.device == me.device)
    for station, member in ((bob, his), (alice, me)):
        if where in (station.name, "both"):
            false = [made_up(its, me.device, seq, bob.now()) for seq in (top, top + 1, top + 2, top + 900)]
            assert incoming.receive(station.home, member, false, its.device, bob.now()).blocked == 4
    comes_at_once(world, alice, bob)


def test_logs_of_made_up_devices_crowd_out_no_true_ones(
    world: World, three: tuple[Station, Station, Station], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than one side tells of, each of one event from before all others, of a type that nobody knows."""
    monkeypatch.setattr("quire.net.bulk.MAX_HEIGHTS", 20)
    alice, bob, _ = three
    me, his, its = (station.home.store.memberships.all()[0] for station in three)
    false = []
    for number in range(30):
        key = DeviceKey(digest(f"made up {number}"))
        draft = {"type": "of the future", "v": 1, "ts": 0, "author": key.text, "seq": 1, "prev": None}
        sig = key.sign(b"quire event 1\0" + its.raw_space_id + canonical.encode(draft))
        data = canonical.encode({**draft, "sig": to_text(sig)})
        false.append(sealed_under(its.epochs[its.content][0], its.raw_space_id, data))
    for station, member in ((alice, me), (bob, his)):
        assert incoming.receive(station.home, member, false, its.device, alice.now()).blocked == 30
    comes_at_once(world, alice, bob)
