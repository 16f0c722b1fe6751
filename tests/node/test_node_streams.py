"""Streams between whole nodes: what is far apart comes over them, in runs, from several sources, whatever breaks."""

from random import Random
from typing import cast

import pytest

from quire.core.encoding import to_text
from quire.limits import (
    FAR_EVENTS,
    FEW_LOGS,
    INGEST_BATCH,
    MAX_GREETING_STREAMS,
    MAX_STREAM_REST_MS,
    MAX_STREAM_RETRY_MS,
    MAX_STREAMS,
    STREAM_GREETING_MS,
    STREAM_IDLE_MS,
    STREAM_RETRY_MS,
    STREAM_TURN_MS,
)
from quire.net.notices import Status
from quire.net.streams import Call, HangUp
from quire.sim.pipes import End
from tests.events.builders import digest
from tests.node.keyless import keyless
from tests.node.world import Station, World

#: More than FAR_EVENTS, and than one question asks for.
MANY = 16_000


def write(station: Station, count: int, name: str = "m") -> None:
    for start in range(0, count, 1_000):
        texts = [f"{name} {place}" for place in range(start, min(start + 1_000, count))]
        station.ask("sendMessages", target="general", texts=texts)


def held(station: Station) -> int:
    member = station.home.store.memberships.all()[0]
    return station.home.store.index(member.account, member.space).whole().count


def status(station: Station) -> Status:
    (found,) = station.running.sessions(station.home.store.memberships.all()[0]).values()
    return found


def down_and_up(station: Station) -> None:
    station.down()
    station.up(streams=True)


@pytest.fixture
def couple(world: World) -> tuple[Station, Station]:
    """Alice wrote much while bob was away; both can be called."""
    alice = world.founder()
    bob = world.guest("bob", alice)
    bob.down()
    down_and_up(alice)
    write(alice, MANY)
    return alice, bob


@pytest.mark.slow
def test_what_is_far_apart_comes_over_a_stream(world: World, couple: tuple[Station, Station]) -> None:
    alice, bob = couple
    bob.up(streams=True)
    world.until(lambda: held(bob) == held(alice), 5_000)
    assert bob.texts() == alice.texts()
    by_datagram = sum(len(data) for _, source, _, data in world.log if source == alice.address)
    assert world.streamed["alice"] > MANY * 100
    assert by_datagram < world.streamed["alice"] // 10
    assert status(bob).bytes_in > MANY * 100
    assert status(alice).bytes_out > MANY * 100
    world.run(2_000)
    assert not world.pipes.ends("alice"), "the stream is over when nothing more is to be asked"
    assert status(bob).bytes_in > MANY * 100


def test_the_other_side_can_be_answered_before_what_came_is_taken_in(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = world.founder()
    bob = world.guest("bob", alice)
    for station in (alice, bob):
        station.down()
        write(station, 300, station.name)
        station.up(streams=True)
    changes, receive = bob.home.store.db.connection.total_changes, bob.running.receive_stream
    written: list[int] = []

    def watched(number: int, data: bytes, now: int) -> None:
        before = changes()
        receive(number, data, now)
        written.append(changes() - before)

    monkeypatch.setattr(bob.running, "receive_stream", watched)
    world.until(lambda: held(bob) == held(alice), 5_000)
    assert bob.texts() == alice.texts()
    assert len(written) >= 3, "greeting, heights, a run"
    assert set(written) == {0}
    assert min(world.streamed.values()) > 300 * 100, "each gave what it had"


def test_what_came_is_counted_in_steps_before_it_is_compared(
    world: World, couple: tuple[Station, Station], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To count all of it at once would stop a node for seconds."""

    def number(station: Station, sql: str) -> int:
        row = station.home.store.db.one(sql)
        assert row is not None
        return int(row[0])

    def watched(now: int) -> None:
        before = number(bob, "SELECT cursor FROM bucket_cursor")
        handle(now)
        moved.append(number(bob, "SELECT cursor FROM bucket_cursor") - before)

    alice, bob = couple
    bob.up(streams=True)
    moved: list[int] = []
    handle = bob.running.handle_timer
    monkeypatch.setattr(bob.running, "handle_timer", watched)
    everything = "SELECT count(*) FROM received"
    world.until(lambda: number(bob, everything) == number(alice, everything), 5_000)
    world.run(1_000)
    assert sum(moved) > MANY
    assert max(moved) <= INGEST_BATCH
    assert status(bob).in_sync, "and then they found out that they hold the same"


def test_whoever_has_more_calls_when_it_is_not_called(world: World, couple: tuple[Station, Station]) -> None:
    alice, bob = couple
    world.uncallable.add(alice.address)
    world.loss = 0.6
    bob.up(streams=True)
    took = world.until(lambda: held(bob) == held(alice))
    assert took > STREAM_TURN_MS
    assert world.streamed["alice"] > 100_000


def test_what_was_lost_since_comes_by_datagrams(world: World) -> None:
    alice = world.founder()
    bob = world.guest("bob", alice)
    for station in (bob, alice):
        down_and_up(station)
    world.run(10_000)
    world.streamed.clear()
    world.loss = 0.9
    write(alice, 300)
    world.run(1_000)
    assert held(bob) < held(alice)
    world.loss = 0.1
    world.until(lambda: held(bob) == held(alice), 20_000)
    assert world.streamed == {}


@pytest.mark.slow
def test_a_slow_uplink_is_not_hung_up_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gives hears nothing until a run is through."""
    write_whole = world.pipes.write

    def in_pieces(end: End, data: bytes, arrives: int) -> None:
        for at in range(0, len(data), 16_384):
            write_whole(end, data[at : at + 16_384], arrives)

    monkeypatch.setattr(world.pipes, "write", in_pieces)
    alice = world.founder()
    bob = world.guest("bob", alice)
    bob.down()
    down_and_up(alice)
    random = Random(1)
    for _ in range(3):
        texts = [random.randbytes(1_000).hex() for _ in range(800)]
        alice.ask("sendMessages", target="general", texts=texts)
    world.pipes.bytes_per_ms = 60
    bob.up(streams=True)
    world.until(lambda: held(bob) == held(alice), 120_000)
    assert len(world.calls) == 1
    (size,) = alice.home.store.db.all("SELECT sum(length(sealed)) FROM blobs")[0]
    assert size > 60 * 3 * STREAM_IDLE_MS
    assert size < world.streamed["alice"] < 1.1 * size, "one stream brought all of it"


def test_what_differs_when_they_meet_comes_over_a_stream_with_little_beside_it(world: World) -> None:
    alice = world.founder()
    bob = world.guest("bob", alice)
    for station in (bob, alice):
        down_and_up(station)
    world.run(10_000)
    bob.down()
    write(alice, 100)
    write(bob, 100, "bob's")
    world.streamed.clear()
    del world.log[:]
    bob.up(streams=True)
    world.until(lambda: held(bob) == held(alice), 5_000)
    sizes = alice.home.store.db.one("SELECT sum(length(sealed)) FROM blobs WHERE n > 10")
    assert sizes is not None
    carried = sum(world.streamed.values()) + sum(len(data) for _, _, _, data in world.log)
    assert carried < 1.1 * sizes[0]


def test_where_there_are_many_logs_sketches_come_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert FEW_LOGS > 1
    monkeypatch.setattr("quire.node.node.FEW_LOGS", 1)
    alice = world.founder()
    bob = world.guest("bob", alice)
    bob.down()
    down_and_up(alice)
    write(alice, 100)
    bob.up(streams=True)
    world.until(lambda: held(bob) == held(alice), 20_000)
    assert world.streamed == {}


def test_made_up_devices_are_no_logs_to_tell_of(world: World) -> None:
    alice = world.founder()
    bob = world.guest("bob", alice)
    bob.down()
    down_and_up(alice)
    for station in (alice, bob):
        (member,) = station.home.store.memberships.all()
        for n in range(FEW_LOGS + 1):
            station.home.store.names.device_number(member.space, to_text(digest(f"nobody {n}")))
    write(alice, 100)
    bob.up(streams=True)
    world.until(lambda: held(bob) == held(alice), 20_000)
    assert world.streamed["alice"] > 0


@pytest.mark.slow
def test_a_stream_that_breaks_is_taken_up_where_it_was(world: World, couple: tuple[Station, Station]) -> None:
    alice, bob = couple
    world.pipes.bytes_per_ms = 5_000
    bob.up(streams=True)
    cuts = 0
    for _ in range(400):
        before = held(bob)
        world.run(5)
        if cuts < 3 and held(bob) > before and held(bob) < held(alice):
            world.cut("bob")
            cuts += 1
    world.until(lambda: held(bob) == held(alice), 20_000)
    assert cuts >= 2
    whole = MANY * 400
    assert world.streamed["alice"] < 2 * whole, "what had come did not come again"


@pytest.mark.slow
def test_both_fetch_what_they_lack(world: World, couple: tuple[Station, Station]) -> None:
    alice, bob = couple
    write(bob, 3 * FAR_EVENTS, "bob's")
    bob.up(streams=True)
    world.until(lambda: messages(bob) == messages(alice) == MANY + 3 * FAR_EVENTS, 20_000)
    assert min(world.streamed.values()) > 3 * FAR_EVENTS * 100, "one stream carried both ways"
    assert bob.texts() == alice.texts()


def messages(station: Station) -> int:
    return int(station.home.store.db.all("SELECT count(*) FROM message_rows")[0][0])


@pytest.mark.slow
def test_an_old_peer_without_streams_is_synced_with_by_datagrams(
    world: World, couple: tuple[Station, Station]
) -> None:
    alice, bob = couple
    alice.down()
    alice.up()
    bob.up(streams=True)
    world.until(lambda: held(bob) == held(alice), 60_000)
    assert world.streamed == {}


@pytest.mark.slow
def test_several_sources_give_different_runs(world: World, couple: tuple[Station, Station]) -> None:
    alice, bob = couple
    bob.up(streams=True)
    world.until(lambda: held(bob) == held(alice), 20_000)
    world.run(2_000)
    world.streamed.clear()
    world.pipes.bytes_per_ms = 500
    carol = world.newcomer("carol", alice)
    carol.down()
    world.run(3_000)
    carol.up(streams=True)
    world.until(lambda: held(carol) == held(alice) == held(bob), 60_000)
    assert min(world.streamed["alice"], world.streamed["bob"]) > 500_000
    assert world.streamed["alice"] + world.streamed["bob"] < 1.4 * MANY * 450


def test_each_stream_is_closed_when_the_last_run_came_on_another(world: World) -> None:
    alice = world.founder()
    bob, carol = world.guest("bob", alice), world.guest("carol", alice)
    for station in (bob, carol):
        station.down()
    down_and_up(alice)
    write(alice, 5_000)
    bob.up(streams=True)
    world.until(lambda: held(bob) == held(alice), 20_000)
    world.run(2_000)
    world.pipes.bytes_per_ms = 500
    carol.up(streams=True)
    world.until(lambda: len(world.pipes.ends("carol")) == 2)
    world.until(lambda: held(carol) == held(alice), 20_000)
    world.run(1_000)
    assert world.pipes.ends("carol") == []


@pytest.mark.slow
def test_a_source_that_leaves_is_replaced_by_another(world: World, couple: tuple[Station, Station]) -> None:
    alice, bob = couple
    bob.up(streams=True)
    world.until(lambda: held(bob) == held(alice), 20_000)
    world.pipes.bytes_per_ms = 500
    carol = world.newcomer("carol", alice)
    carol.down()
    world.run(3_000)
    carol.up(streams=True)
    for _ in range(2_000):
        world.run(5)
        if held(carol) > FAR_EVENTS:
            break
    bob.down()
    world.until(lambda: held(carol) == held(alice), STREAM_TURN_MS + 60_000)


def test_streams_that_come_to_nothing_are_tried_less_and_less(world: World) -> None:
    alice = world.founder()
    bob = world.guest("bob", alice)
    down_and_up(bob)
    world.until(bob.connected)
    streams, now, rests = bob.running._streams, world.now, []
    ((session_id, _),) = bob.running._endpoint.sessions()

    def rest(now: int) -> int:
        """How long no other stream is opened after one that failed (ms)."""
        assert streams.far_apart(session_id, alice.address, True, now)
        call = streams.next_event()
        assert isinstance(call, Call)
        streams.closed(call.number, now)
        assert streams.next_event() == HangUp(call.number)
        failed = now
        while not streams.far_apart(session_id, alice.address, False, now):
            now += 100
        return now - failed

    for _ in range(9):
        rests.append(rest(now))
        now += rests[-1]
    assert rests == [min(STREAM_RETRY_MS << n, MAX_STREAM_RETRY_MS) for n in range(9)]
    assert rest(now + MAX_STREAM_RETRY_MS + 1) == STREAM_RETRY_MS, "what is long ago is forgotten"


@pytest.mark.slow
def test_what_cannot_be_opened_does_not_come_again_and_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for a key holds nothing of what is sealed under it: the stores stay far apart."""
    alice = world.founder()
    bob = world.guest("bob", alice)
    bob.down()
    down_and_up(alice)
    keyless(bob, monkeypatch)
    alice.ask("rekeySpace")
    write(alice, FAR_EVENTS + 1_000)
    (size,) = alice.home.store.db.all("SELECT sum(length(sealed)) FROM blobs")[0]
    bob.up(streams=True)
    world.run(20_000)
    assert bob.space()["locked"] == FAR_EVENTS + 1_000
    assert size < world.streamed["alice"] < 7 * size, "less and less often"
    streamed = world.streamed["alice"]
    world.run(2 * MAX_STREAM_RETRY_MS)
    assert world.streamed["alice"] < streamed + 4 * size
    assert MAX_STREAM_REST_MS > 10 * MAX_STREAM_RETRY_MS, "and so on"


def test_callers_who_do_not_say_who_they_are_are_hung_up_on(world: World) -> None:
    alice = world.founder()
    down_and_up(alice)
    node = alice.running
    said, *others = [node.stream_called(world.now) for _ in range(MAX_GREETING_STREAMS)]
    assert said is not None
    node.receive_stream(said, b"GET / HTTP/1.1\r\nHost: quire\r\n\r\n" * 4, world.now)
    assert node.next_event() == HangUp(said), "not one byte is answered"
    node.handle_timer(world.now + STREAM_GREETING_MS)
    ended = [event.number for event in iter(node.next_event, None) if isinstance(event, HangUp)]
    assert ended == others


def test_callers_who_do_not_say_who_they_are_give_way_to_the_next(world: World) -> None:
    alice = world.founder()
    down_and_up(alice)
    node = alice.running
    lone = node.stream_called(world.now, "lone")
    many = [node.stream_called(world.now, "many") for _ in range(3 * MAX_GREETING_STREAMS)]
    ended = [event.number for event in iter(node.next_event, None) if isinstance(event, HangUp)]
    assert ended == many[: 1 - MAX_GREETING_STREAMS], "whoever calls most, the first ones first"
    for number in range(2 * MAX_GREETING_STREAMS):
        node.stream_called(world.now, str(number))
    assert HangUp(cast(int, lone)) in iter(node.next_event, None)


def test_silent_callers_keep_no_member_out(world: World, couple: tuple[Station, Station]) -> None:
    alice, bob = couple
    world.pipes.bytes_per_ms = 2_000
    world.uncallable.add(bob.address)
    bob.up(streams=True)
    for _ in range(100):
        for _ in range(MAX_GREETING_STREAMS):
            alice.running.stream_called(world.now, "elsewhere")
        world.run(100)
    assert held(bob) == held(alice)
    assert world.streamed.get("alice", 0) > world.streamed.get("bob", 0)


@pytest.mark.slow
def test_there_are_so_many_streams(
    world: World, couple: tuple[Station, Station], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = couple
    assert MAX_STREAMS > MAX_GREETING_STREAMS
    monkeypatch.setattr("quire.net.streams.MAX_STREAMS", 0)
    assert alice.running.stream_called(world.now) is None
    bob.up(streams=True)
    world.until(lambda: held(bob) == held(alice))
    assert world.streamed == {}, "it came by datagrams"


def test_who_was_removed_is_hung_up_on(world: World, couple: tuple[Station, Station]) -> None:
    alice, bob = couple
    world.pipes.bytes_per_ms = 100
    bob.up(streams=True)
    world.until(lambda: "alice" in world.streamed)
    alice.ask("removeMember", name="bob")
    world.run(200)
    assert not world.pipes.ends("alice")
    world.run(20_000)
    assert held(bob) < MANY // 2, "what was under way, and no more"
