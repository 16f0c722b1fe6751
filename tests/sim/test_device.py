from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import apsw
import pytest

from quire.errors import HomeError
from quire.events import keyring
from quire.events.context import Context
from quire.events.home import Home
from quire.events.standing import graph_of
from quire.handlers import channel, identity, message, space
from quire.limits import LOG_PART
from quire.node.jobs import Jobs
from quire.sim.device import EPOCH_MS, Crashed, Device
from quire.store.search import SearchIndex


def device(folder: Path, bad_disk: bool = False, power: bool = True, seed: int = 1) -> Device:
    made = Device("d", folder / "d", "10.0.0.1", seed, "bloom", bad_disk, power=power)
    made.start(0)
    identity.create(Context(made.home, made.wall(0)), "ada")
    space.create(Context(made.home, made.wall(0), 1), "commons")
    return made


def write(on: Device, *texts: str) -> None:
    member = on.home.store.memberships.of_account(1)[0]
    message.create_many(Context(on.home, on.wall(5), 1, member), "general", list(texts))


def texts(on: Device) -> list[str]:
    return [
        text for (text,) in on.home.store.db.all("SELECT body_text FROM message_index ORDER BY ts, event_id")
    ]


def test_a_crash_keeps_what_was_committed(tmp_path: Path) -> None:
    on = device(tmp_path)
    write(on, "one")
    on.crash()
    assert not on.running
    on.start(10)
    assert texts(on) == ["one"]
    on.stop()


def test_it_dies_between_any_two_statements_and_a_run_of_messages_is_there_whole_or_not_at_all(
    tmp_path: Path,
) -> None:
    outcomes = set()
    for statements in range(0, 60, 3):
        on = device(tmp_path / str(statements))
        on.crash_after(statements)
        try:
            write(on, "one", "two")
            survived = True
        except Crashed:
            survived = False
        on.crash()
        on.start(10)
        found = sorted(texts(on))
        assert found in ([], ["one", "two"])
        outcomes.add((survived, bool(found)))
        on.stop()
    assert outcomes == {(False, False), (True, True)}


def test_a_write_to_the_log_that_is_torn_leaves_a_run_of_messages_there_whole_or_not_at_all(
    tmp_path: Path,
) -> None:
    outcomes = set()
    for writes in range(0, 200, 7):
        on = device(tmp_path / str(writes), bad_disk=True)
        write(on, "before")
        on.tear_after(writes)
        try:
            write(on, "one", "two")
            survived = True
        except Crashed:
            survived = False
        on.crash()
        on.start(10)
        found = sorted(texts(on))
        assert found in (["before"], ["before", "one", "two"])
        assert on.home.store.db.all("PRAGMA integrity_check") == [("ok",)]
        outcomes.add((survived, len(found) > 1))
        on.stop()
    assert outcomes == {(False, False), (True, True)}


def test_a_device_that_cannot_read_its_disk_does_not_start_and_does_when_it_can(tmp_path: Path) -> None:
    on = device(tmp_path, bad_disk=True)
    assert on.disk is not None
    write(on, "kept")
    on.crash()
    on.disk.failing = 1.0
    with pytest.raises(HomeError, match="cannot be read"):
        on.start(10)
    assert not on.running
    with on.sound():
        on.start(20)
        assert texts(on) == ["kept"]
    assert on.disk.failing == 1.0
    on.stop()


def boxes(home: Home) -> object:
    return keyring._waiting_boxes(home, home.store.memberships.of_account(1)[0])


#: What is kept in memory once it was read, and how to see it.
REMEMBERED: dict[str, Callable[[Home], object]] = {
    "graph": lambda home: len(graph_of(home, home.store.memberships.of_account(1)[0]).ledger.dag.nodes),
    "clock": lambda home: home.clock(1).tick(0),
    "audience keys": lambda home: keyring.audience_keys(home, home.store.memberships.of_account(1)[0]),
    "boxes": boxes,
    "sketches": lambda home: list(home.store.sketches.of(1, 2)),
    "forks": lambda home: home.store.blobs.forked(1),
}


@pytest.mark.parametrize("name", REMEMBERED)
def test_of_what_could_not_be_read_whole_nothing_is_remembered(name: str, tmp_path: Path) -> None:
    on = device(tmp_path, bad_disk=True)
    assert on.disk is not None
    write(on, "one", "two")
    channel.create(
        Context(on.home, on.wall(5), 1, on.home.store.memberships.of_account(1)[0]), "x", private=True
    )
    on.home.store.buckets.count_arrivals()
    db, look = on.home.store.db, REMEMBERED[name]
    member = on.home.store.memberships.of_account(1)[0]
    db.execute("INSERT INTO forks VALUES (1, 1)").fetchall()
    event = db.all("SELECT event FROM received WHERE account = 1 AND space = ?", (member.space,))[0][0]
    db.execute("INSERT INTO blocked VALUES (1, ?, 'x', ?)", (member.space, event)).fetchall()
    db.roll_back()
    whole = look(on.home)
    for _ in range(20):
        db.roll_back()  # forgets what is remembered
        on.home.graphs.clear()
        on.home.store.memberships.of_account(1)
        db.execute("PRAGMA shrink_memory").fetchall()
        on.disk.failing = 0.5
        with suppress(apsw.IOError):
            look(on.home)
        on.disk.failing = 0.0
        assert look(on.home) == whole
    assert on.disk.failed > 3
    on.stop()


def test_runs_after_a_crash_draw_other_randomness(tmp_path: Path) -> None:
    on = device(tmp_path)
    first = on.home.entropy(32)
    on.crash()
    on.start(10)
    fresh = Device("d", tmp_path / "again", "10.0.0.1", 1, "bloom")
    fresh.start(0)
    assert first != on.home.entropy(32)
    on.stop()
    fresh.stop()


def test_time_of_day_is_off_by_what_the_clock_is_ahead(tmp_path: Path) -> None:
    on = device(tmp_path)
    on.ahead = -90_000
    on.pump(1_000)
    assert on.wall(1_000) == EPOCH_MS - 89_000
    assert on.due > 1_000
    on.stop()


def test_a_power_cut_takes_messages_and_no_membership(tmp_path: Path) -> None:
    """What it had waited for the disk for is there, whatever else is lost; and the log goes on where nothing was."""
    lost = 0
    for turn in range(8):
        on = device(tmp_path / str(turn), power=False, seed=turn)
        write(on, "one")
        on.lose_power_after(0)
        with suppress(Crashed):
            write(on, "two")
        on.crash()
        on.start(10)
        lost += texts(on) == []
        assert [member.name for member in on.home.store.memberships.of_account(1)] == ["commons"]
        assert on.home.store.power.floor == LOG_PART
        write(on, "three")
        assert texts(on)[-1] == "three"
        on.crash()
        on.start(20)
        assert on.home.store.power.floor == LOG_PART, "that was a crash of the program alone"
        on.stop()
    assert lost


def test_a_mistake_that_the_node_lives_through_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = device(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Jobs, "_jobs", lambda *_: [_failing])
        with pytest.raises(ZeroDivisionError):
            _pump(one)
    one.stop()


@pytest.mark.parametrize("end", [Device.stop, Device.crash])
def test_no_mistake_is_lost_with_the_node(
    tmp_path: Path, end: Callable[[Device], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = device(tmp_path)
    monkeypatch.setattr(one.home.store.blobs, "arrivals_by_own_devices", lambda *_: 1 // 0)
    one.committed(0)
    with pytest.raises(ZeroDivisionError):
        end(one)
    assert not one.running


def _pump(one: Device) -> None:
    for now in range(0, 3_000, 100):
        one.pump(now)


def _failing(_: Context) -> None:
    raise ZeroDivisionError


def test_what_fails_in_spare_time_ends_the_run_but_on_a_bad_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: SearchIndex) -> None:
        raise HomeError("no")

    sound, bad = device(tmp_path / "sound", power=False), device(tmp_path / "bad", bad_disk=True)
    for one in sound, bad:
        _pump(one)
        write(one, "one")
        one.committed(3_000)
    assert bad.disk is not None
    bad.disk.full = True
    with monkeypatch.context() as patch:
        patch.setattr(SearchIndex, "catch_up", fail)
        with pytest.raises(HomeError):
            sound.pump(3_000)
        bad.pump(3_000)
    assert bad.home.search.backlog() == 1
    bad.disk.full = False
    bad.pump(4_000)
    assert bad.home.search.backlog() == 0
    sound.stop()
    bad.stop()


def test_after_a_crash_the_database_itself_is_read(tmp_path: Path) -> None:
    on = device(tmp_path)
    for number in range(40):
        write(on, f"{number}" * 500)
        on.committed(number)
        on.pump(number)
    on.crash()
    (on.database.with_name("quire.db-wal")).unlink()
    on.start(100)
    assert len(texts(on)) > 10
    on.stop()
