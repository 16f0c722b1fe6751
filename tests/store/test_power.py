"""Where logs go on after what may have been a power cut, and what is on the disk by then."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import apsw
import pytest

from quire.errors import HomeError
from quire.events.home import Home
from quire.limits import LOG_PART
from quire.sim.disk import Disk
from quire.store.database import Database
from quire.store.power import Power
from tests.events.builders import Author, Space, add_holder, give, make_home, undone


@pytest.fixture
def home() -> Iterator[Home]:
    made = make_home()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("ended", "boot", "lost"),
    [
        ("tidily", "the same", False),
        ("tidily", "another", False),
        ("killed", "the same", False),
        ("killed", "another", True),
        ("killed", "", True),
    ],
)
def test_what_may_have_been_a_power_cut(home: Home, ended: str, boot: str, lost: bool) -> None:
    power = home.store.power
    assert not power.came_back("the first")
    power.begin("the same" if boot else "")
    if ended == "tidily":
        power.end()
    assert power.came_back(boot) is lost
    assert power.floor == (LOG_PART if lost else 0)
    assert not power.came_back(boot), "once for each"
    assert Power(home.store.db).floor == power.floor


def test_logs_go_on_in_the_next_part_and_later_at_what_is_held_there(home: Home) -> None:
    there = Space()
    alice = add_holder(home, there, "alice")
    device = home.store.names.device_number(alice.space, alice.device)
    assert home.store.log_end(device) == (0, None)
    author = Author(there, "alice")
    first, second = author.say("one"), author.say("two")
    give(home, alice, first)
    home.store.power.begin("a")
    home.store.power.came_back("b")
    assert home.store.log_end(device) == (LOG_PART, first.event_id)
    give(home, alice, second)
    assert home.store.log_end(device) == (LOG_PART, second.event_id)
    author.seq = LOG_PART
    third = author.say("three")
    give(home, alice, third)
    assert home.store.log_end(device) == (LOG_PART + 1, third.event_id)


def test_who_follows_what_arrives_misses_nothing_after_a_loss(home: Home) -> None:
    there = Space()
    alice, carol = add_holder(home, there, "alice"), Author(there, "carol")
    give(home, alice, carol.introduce(), carol.say("one"))
    told = home.store.blobs.last_cursor() + 100  # of arrivals that were lost
    home.store.power.begin("a")
    home.store.power.came_back("b")
    assert home.store.blobs.arrived_after(alice.account, told, 10) == []
    made = carol.say("two")
    give(home, alice, made)
    home.store.buckets.count_arrivals()
    found = home.store.blobs.arrived_after(alice.account, told, 10)
    assert [row.event_id for _, row in found] == [made.event_id]


class Forgetful:
    """A database on a disk that loses all that was not synced."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.disk = Disk(f"disk of {folder}", Random(1), forgets=True)
        self.db = Database(folder / "x.db", vfs=self.disk.name)
        self.db.execute("CREATE TABLE t (a TEXT)").fetchall()
        self.db.sync()

    def write(self, text: str, keep: bool = False) -> None:
        with self.db.transaction():
            self.db.execute("INSERT INTO t VALUES (?)", (text,))
            if keep:
                self.db.keep()

    def left(self) -> list[str]:
        """What a power cut would leave."""
        found = self._folder / "left"
        found.mkdir(exist_ok=True)
        for name in ("x.db", "x.db-wal"):
            (found / name).write_bytes((self._folder / name).read_bytes())
            self.disk.lose_power(self._folder / name, found / name, most=True)
        db = Database(found / "x.db")
        rows = [text for (text,) in db.all("SELECT a FROM t")]
        assert db.all("PRAGMA integrity_check") == [("ok",)]
        db.close()
        return rows


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[Forgetful]:
    made = Forgetful(tmp_path)
    yield made
    made.db.close()


def test_a_power_cut_takes_what_was_committed_since_the_last_sync(forgetful: Forgetful) -> None:
    forgetful.write("one")
    assert forgetful.left() == []
    forgetful.db.sync()
    forgetful.write("two")
    assert forgetful.left() == ["one"]


def test_what_is_to_be_kept_is_on_the_disk_when_it_is_committed_and_all_before_it(
    forgetful: Forgetful,
) -> None:
    forgetful.write("one")
    forgetful.write("two", keep=True)
    forgetful.write("three")
    assert forgetful.left() == ["one", "two"]


def test_what_was_rolled_back_is_waited_for_by_nobody(forgetful: Forgetful) -> None:
    with undone(forgetful.db):
        forgetful.write("never", keep=True)
    forgetful.write("one")
    assert forgetful.left() == []


def test_a_checkpoint_loses_nothing(forgetful: Forgetful) -> None:
    forgetful.write("one")
    forgetful.db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    forgetful.write("two")
    assert forgetful.left() == ["one"]


def test_a_disk_that_fails_at_it(forgetful: Forgetful) -> None:
    """What is committed is committed; who has to know that the disk has it is told that it has not."""
    forgetful.disk.failing = 1.0
    with pytest.raises(HomeError, match="cannot be read or written"):
        forgetful.db.sync()
    with forgetful.disk.sound():
        forgetful.db.execute("BEGIN")
    forgetful.db.keep()
    with forgetful.disk.sound():
        forgetful.db.execute("COMMIT").fetchall()
    forgetful.db.committed()
    forgetful.disk.failing = 0.0
    assert forgetful.db.connection.get_autocommit()


def test_without_a_log_there_is_nothing_to_wait_for() -> None:
    db = Database(":memory:")
    db.sync()
    assert isinstance(db.connection, apsw.Connection)
    db.close()
