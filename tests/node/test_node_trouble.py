"""Full disks and unreadable files under a running node: told, lived through, and repaired by later sync."""

from collections.abc import Sequence
from typing import Any, NoReturn

import apsw
import pytest

from quire.errors import BadEvent, Damaged, HomeError
from quire.events.home import Home
from quire.events.settle import Report
from quire.handlers import incoming, own_link
from quire.limits import MAX_HOLD_MS, RUN_BYTES, STREAM_IDLE_MS, TICK_MS
from quire.net.notices import Status
from quire.node.correspondence import Correspondence
from quire.node.whereabouts import Whereabouts
from quire.store.logs import StoreLogs
from quire.store.memberships import Membership
from tests.events.builders import full_disk
from tests.node.world import Station, World
from tests.sync.memory import MemoryIndex

FULL = "The disk is full."


@pytest.fixture
def behind(world: World, pair: tuple[Station, Station]) -> tuple[Station, Station]:
    """Bob was away while alice wrote a batch that one answer over a stream has no room for; streams are slow."""
    alice, bob = pair
    bob.down()
    alice.down()
    alice.up(streams=True)
    texts = [str(n) + "x" * (RUN_BYTES // 100) for n in range(250)]
    alice.ask("sendMessages", target="general", texts=texts)
    world.pipes.bytes_per_ms = 2_000
    bob.up(streams=True)
    return alice, bob


def _held(station: Station) -> int:
    member = station.home.store.memberships.all()[0]
    return station.home.store.index(member.account, member.space).whole().count


def _status(station: Station) -> Status:
    (found,) = station.running.sessions(station.home.store.memberships.all()[0]).values()
    return found


def _device(station: Station) -> bytes:
    return station.home.store.memberships.all()[0].device_key.public


def _equal(*stations: Station) -> bool:
    return len({_held(one) for one in stations}) == 1 and all(_status(one).in_sync for one in stations)


def _fail(error: Exception) -> Any:
    def failing(*_: object, **__: object) -> NoReturn:
        raise error

    return failing


class _Unreadable(MemoryIndex):
    """A store of which nothing is known."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.whole = _fail(error)  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "error", [HomeError(FULL), Damaged(FULL), apsw.FullError("full"), BadEvent("unopened")]
)
def test_what_could_not_be_ingested_is_told_and_comes_again(
    world: World, pair: tuple[Station, Station], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    alice, bob = pair
    with monkeypatch.context() as patch:
        patch.setattr(incoming, "receive", _fail(error))
        bob.ask("sendMessages", target="general", texts=[f"lost {n}" for n in range(100)])
        world.run(10_000)
        assert alice.texts() == []
        assert len(alice.troubles()) == 1, "told once, however often it is tried"
        assert alice.running.trouble == alice.troubles()[0]
    world.until(lambda: len(alice.texts()) == 100, most=10_000)
    assert alice.running.trouble == ""
    assert alice.connected() == 1


def test_trouble_that_comes_back_is_told_again(
    world: World, pair: tuple[Station, Station], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = pair
    for turn in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(incoming, "receive", _fail(HomeError(FULL)))
            bob.ask("sendMessage", target="general", text=str(turn))
            world.run(3_000)
        world.until(lambda turn=turn: len(alice.texts()) == turn + 1, most=10_000)
        world.until(lambda: alice.running.trouble == "", most=5_000)
    assert set(alice.troubles()) == {FULL}
    assert 2 <= len(alice.troubles()) <= 4  # other writes may work meanwhile


@pytest.mark.parametrize("error", [HomeError(FULL), apsw.CorruptError("torn"), apsw.IOError("no disk")])
def test_a_store_that_cannot_be_read_makes_no_storm(
    world: World, pair: tuple[Station, Station], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Sessions' timers and answers read the store: where that fails they stay due, and the node must not spin."""
    alice, bob = pair
    with monkeypatch.context() as patch:
        patch.setattr(alice.home.store.buckets, "count_arrivals", _fail(error))
        alice.home.store.db.execute("DELETE FROM bucket_cursor WHERE 0")
        sent = len(world.log)
        bob.ask("sendMessage", target="general", text="unread")
        world.run(10 * TICK_MS)
        assert len(alice.troubles()) == 1
        assert len(world.log) - sent < 400
    bob.ask("sendMessage", target="general", text="read")
    world.until(lambda: len(alice.texts()) == 2, most=30_000)


def test_what_was_written_is_acknowledged_and_pushed_later_when_it_cannot_be_read_again(
    world: World, pair: tuple[Station, Station], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = pair
    with monkeypatch.context() as patch:
        patch.setattr(alice.home.store.blobs, "arrivals_by_own_devices", _fail(apsw.IOError("no disk")))
        alice.ask("sendMessage", target="general", text="kept")
        assert "cannot be read" in alice.running.trouble
    world.until(lambda: bob.texts() == ["kept"], most=5_000)


def test_changes_of_membership_are_acted_on_after_a_failed_read(
    world: World, pair: tuple[Station, Station], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, _ = pair
    with monkeypatch.context() as patch:
        patch.setattr("quire.node.node.open_invites", _fail(apsw.IOError("no disk")))
        alice.ask("removeMember", name="bob")
        assert "cannot be read" in alice.running.trouble
        assert alice.connected() == 1
    world.until(lambda: alice.connected() == 0, most=5_000)


def test_jobs_that_fail_are_tried_at_the_next_tick(
    world: World, pair: tuple[Station, Station], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = pair
    real = alice.home.store.transaction
    tried: list[int] = []

    def failing() -> Any:
        tried.append(world.now)
        raise HomeError(FULL)

    monkeypatch.setattr(alice.home.store, "transaction", failing)
    world.run(5 * TICK_MS + 10)
    assert 4 <= len(set(tried)) <= 7
    assert alice.troubles() == [FULL]
    monkeypatch.setattr(alice.home.store, "transaction", real)
    bob.ask("sendMessage", target="general", text="after")
    world.until(lambda: alice.texts() == ["after"])
    assert alice.running.trouble == ""


def test_a_full_disk_rolls_back_whole_batches(world: World, pair: tuple[Station, Station]) -> None:
    """A real one: the database file may not grow."""
    alice, bob = pair
    db = alice.home.store.db
    with full_disk(db, 5):
        bob.ask("sendMessages", target="general", texts=["x" * 5_000 + str(n) for n in range(40)])
        world.run(10_000)
        assert any("disk is full" in text for text in alice.troubles())
        assert db.all("PRAGMA integrity_check") == [("ok",)]
        with pytest.raises(HomeError, match="disk is full"):
            alice.ask("sendMessages", target="general", texts=["y" * 9_000] * 20)
    world.until(lambda: len([t for t in alice.texts() if t[0] == "x"]) == 40, most=60_000)
    alice.ask("sendMessage", target="general", text="after")
    world.until(lambda: sorted(alice.texts()) == sorted(bob.texts()), most=60_000)
    assert alice.running.trouble == ""
    assert alice.ask("verify")["damage"] == []


def test_stores_are_compared_again_after_a_stream_that_ended_while_nothing_could_be_read(
    world: World, behind: tuple[Station, Station], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = behind
    world.until(lambda: world.streamed.get("alice"))
    with monkeypatch.context() as patch:
        patch.setattr(bob.home.store.buckets, "far_behind", _fail(apsw.IOError("no disk")))
        world.cut("bob")
        world.until(bob.troubles)
    world.until(lambda: _equal(alice, bob))


def test_a_stream_ends_though_what_was_left_of_it_cannot_be_written(
    world: World, behind: tuple[Station, Station], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last event of a batch is signed: those before it wait in memory for it, until no more can come."""
    alice, bob = behind
    receive = incoming.receive
    waiting: list[Any] = []

    def full_at_the_end(home: Home, member: Membership, records: Sequence[bytes], *rest: Any) -> Report:
        if not records:
            raise HomeError(FULL)
        report = receive(home, member, records, *rest)
        waiting[:] = rest[2]
        return report

    with monkeypatch.context() as patch:
        patch.setattr(incoming, "receive", full_at_the_end)
        world.until(lambda: waiting)
        world.cut("bob")
        world.until(bob.troubles)
        assert not bob.running.fetching
    world.until(lambda: _equal(alice, bob))


def test_a_stream_whose_events_cannot_be_written_is_hung_up(
    world: World, behind: tuple[Station, Station], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = behind
    world.until(lambda: world.pipes.ends("bob"))
    with monkeypatch.context() as patch:
        patch.setattr(incoming, "receive", _fail(HomeError(FULL)))
        world.until(bob.troubles)
        world.run(100)
        assert not world.pipes.ends("bob")
        assert not bob.running.fetching
    world.until(lambda: _equal(alice, bob))


def test_a_stream_that_is_gone_is_over_though_what_came_on_others_cannot_be_seen_to(
    world: World, behind: tuple[Station, Station], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = behind
    world.until(lambda: world.streamed.get("alice"))
    streams = bob.running._streams
    with monkeypatch.context() as patch:
        patch.setattr(streams, "act", _fail(apsw.IOError("no disk")))
        world.cut("bob")
        world.run(2_000)
        assert streams.next_timer() is None
    world.until(lambda: _equal(alice, bob))


def test_how_far_logs_are_held_is_told_though_it_could_not_be_read_at_first(
    world: World, behind: tuple[Station, Station], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = behind
    with monkeypatch.context() as patch:
        patch.setattr(StoreLogs, "heights", _fail(apsw.IOError("no disk")))
        world.until(alice.troubles)
    world.until(lambda: _equal(alice, bob), most=STREAM_IDLE_MS // 2)


def test_who_is_reached_while_the_store_fails_is_told_once_it_does_not(
    world: World, pair: tuple[Station, Station], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bob = pair
    bob.down()
    world.run(60_000)
    reminded: list[bool] = []
    with monkeypatch.context() as patch:
        patch.setattr(Whereabouts, "found", _fail(apsw.IOError("no disk")))
        bob.up()
        world.until(bob.troubles)
        world.run(3_000)
    monkeypatch.setattr(Correspondence, "greet", lambda *_, again=False: reminded.append(again))
    world.run(2 * TICK_MS)
    assert False in reminded


def test_who_hears_while_the_disk_is_full_that_it_was_removed_says_so_once_it_is_not(
    world: World, pair: tuple[Station, Station], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = pair
    world.walls.add(frozenset({alice.address, bob.address}))
    alice.ask("removeMember", name="bob")
    world.run(30_000)
    with monkeypatch.context() as patch:
        patch.setattr(own_link, "note_told", _fail(HomeError(FULL)))
        world.walls.clear()
        world.until(bob.troubles)
        world.run(3_000)
        assert bob.joining() == ""
    world.until(lambda: "this device was removed" in bob.joining(), most=3 * TICK_MS)


def test_what_peers_say_of_being_there_is_kept_once_for_each_session_that_there_is(
    world: World, pair: tuple[Station, Station], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = pair
    carol = world.guest("carol", alice)
    monkeypatch.setattr(Whereabouts, "found", _fail(apsw.IOError("no disk")))
    heard = alice.running._news
    for one in (bob, bob, carol, bob):
        one.down()
        world.run(60_000)
        one.up()
        world.run(3_000)
    assert [session_id.peer for session_id, _ in heard] == [_device(carol), _device(bob)]
    monkeypatch.setattr("quire.node.node.MAX_SESSIONS", 0)
    carol.down()
    alice.running._endpoint._close(next(iter(heard))[0])
    bob.down()
    bob.up()
    world.run(3_000)
    assert [session_id.peer for session_id, _ in alice.running._news] == [_device(bob)]


@pytest.mark.parametrize("error", [apsw.CorruptError("torn"), ArithmeticError("?")])
def test_a_session_that_fails_keeps_no_other_from_its_turn(
    world: World, pair: tuple[Station, Station], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Carol does not know where alice is: she has to be greeted."""
    alice, bob = pair
    carol = world.guest("carol", alice)
    alice.bears_mistakes = True
    (session,) = [one for at, one in alice.running._endpoint.sessions() if at.peer == _device(bob)]
    carol.down()
    carol.home.store.db.execute("DELETE FROM addresses")
    world.walls.add(frozenset({bob.address, carol.address}))
    world.run(10_000)
    monkeypatch.setattr(session.comparing, "_index", _Unreadable(error))
    world.until(lambda: alice.troubles() or alice.mistakes)
    world.until(lambda: alice.connected() == 1)
    carol.up()
    world.until(carol.connected)


@pytest.mark.parametrize(("streams", "messages"), [(False, 200), (True, 4_000)])
def test_a_full_disk_has_little_sent_again(
    world: World, pair: tuple[Station, Station], streams: bool, messages: int
) -> None:
    alice, bob = pair
    for one in (alice, bob):
        one.down()
    alice.ask("sendMessages", target="general", texts=[f"{n} " + "x" * 500 for n in range(messages)])
    alice.up(streams=streams)
    db = bob.home.store.db
    with full_disk(db, 5):
        bob.up(streams=streams)
        start = len(world.log)
        world.run(60_000)
        sent = sum(len(data) for _, source, _, data in world.log[start:] if source == alice.address)
        sent += world.streamed.get("alice", 0)
        assert any("disk is full" in trouble for trouble in bob.troubles())
        assert 500 * messages < sent < 4_000 * messages, "a few times, and not each second or so"
    world.until(lambda: _equal(alice, bob), most=2 * MAX_HOLD_MS)
