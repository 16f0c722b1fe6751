from collections.abc import Iterator
from pathlib import Path
from random import Random

import apsw
import pytest

from quire.errors import HomeError
from quire.sim.disk import Disk
from quire.store.database import Database


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(f"test {tmp_path}", Random(1))


@pytest.fixture
def db(tmp_path: Path, disk: Disk) -> Iterator[Database]:
    made = Database(tmp_path / "x.db", vfs=disk.name)
    made.execute("CREATE TABLE t (a TEXT)").fetchall()
    yield made
    with disk.sound():
        made.close()


def insert(db: Database, text: str) -> None:
    with db.transaction():
        db.execute("INSERT INTO t VALUES (?)", (text,))


def rows(db: Database) -> int:
    return len(db.all("SELECT a FROM t"))


def test_a_full_disk_refuses_what_grows_and_nothing_else(db: Database, disk: Disk) -> None:
    insert(db, "x" * 50_000)
    db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    disk.full = True
    insert(db, "the log begins again and has room")
    with pytest.raises(HomeError, match="disk is full"):
        insert(db, "y" * 200_000)
    assert rows(db) == 2
    assert disk.refused == 1
    disk.full = False
    insert(db, "y" * 200_000)
    assert rows(db) == 3


def test_a_failing_disk_fails_at_reads_writes_and_syncs(db: Database, disk: Disk) -> None:
    disk.failing = 1.0
    with pytest.raises(HomeError, match="cannot be read or written"):
        insert(db, "no")
    with pytest.raises(apsw.IOError):
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    still_open = len(apsw.connections())
    with pytest.raises(HomeError, match="cannot be read or written"):
        db.beside()
    assert len(apsw.connections()) == still_open
    assert disk.failed >= 3
    disk.failing = 0.0
    assert rows(db) == 0
    insert(db, "yes")
    assert rows(db) == 1
    assert db.all("PRAGMA integrity_check") == [("ok",)]


def test_what_fails_now_and_then_leaves_all_that_was_committed(db: Database, disk: Disk) -> None:
    disk.failing = 0.05
    kept = 0
    for number in range(200):
        try:
            insert(db, f"{number}" * 500)
            kept += 1
        except HomeError:
            pass
    assert 20 < kept < 190
    with disk.sound():
        assert rows(db) == kept
        assert db.all("PRAGMA integrity_check") == [("ok",)]
    assert disk.failing == 0.05


def test_a_disk_that_dies_tears_that_write_and_only_once(tmp_path: Path, db: Database, disk: Disk) -> None:
    insert(db, "before")
    before = (tmp_path / "x.db-wal").stat().st_size
    sizes = []

    def die() -> None:
        sizes.append((tmp_path / "x.db-wal").stat().st_size)
        raise KeyboardInterrupt

    disk.die_after(1, die)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        insert(db, "z" * 20_000)
    assert before < sizes[0] < before + 4_096 + 24
    db.roll_back()
    insert(db, "after")
    assert rows(db) == 2
    assert len(sizes) == 1
