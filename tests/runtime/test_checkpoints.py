import time
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from quire.errors import HomeError
from quire.runtime import checkpoints
from quire.runtime.checkpoints import Checkpoints
from quire.store.database import Database


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(checkpoints, "EVERY_S", 0.01)
    return tmp_path / "some.db"


def _fill(db: Database, size: int) -> None:
    db.execute("CREATE TABLE IF NOT EXISTS t (x)")
    for _ in range(size >> 20):
        db.execute("INSERT INTO t VALUES (zeroblob(1 << 20))")


def _until(check: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if check():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def test_a_large_wal_is_moved_into_the_database_while_its_writer_lives(path: Path) -> None:
    db = Database(path)
    with Checkpoints(db):
        _fill(db, checkpoints.FROM_BYTES + (1 << 20))
        _until(lambda: path.stat().st_size >= checkpoints.FROM_BYTES)
        _fill(db, 1 << 20)  # nothing stands in the writer's way
    assert db.all("PRAGMA integrity_check") == [("ok",)]
    assert db.all("SELECT count(*) FROM t") == [((checkpoints.FROM_BYTES >> 20) + 2,)]
    db.close()


def test_a_small_wal_is_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[Database] = []
    monkeypatch.setattr(checkpoints, "checkpoint", moved.append)
    db = Database(path)
    with Checkpoints(db):
        _fill(db, 1 << 20)
        time.sleep(0.1)
    assert moved == []
    db.close()


def test_a_checkpoint_that_fails_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Database] = []

    def failing(at: Database) -> None:
        tried.append(at)
        raise (HomeError("full"), apsw.BusyError("busy"), OSError("gone"))[len(tried) % 3]

    monkeypatch.setattr(checkpoints, "checkpoint", failing)
    monkeypatch.setattr(checkpoints, "FROM_BYTES", 0)
    db = Database(path)
    _fill(db, 1 << 20)
    with Checkpoints(db):
        _until(lambda: len(tried) >= 4)
    count = len(tried)
    time.sleep(0.05)
    assert len(tried) == count, "it ends when it is left"
    db.close()


def test_what_was_committed_is_synced_soon_and_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    db = Database(path)
    monkeypatch.setattr(checkpoints, "SYNC_S", 0.01)
    monkeypatch.setattr(db, "sync", lambda: synced.append(int((path.parent / "some.db-wal").stat().st_size)))
    with Checkpoints(db):
        db.execute("CREATE TABLE t (x)").fetchall()
        _until(lambda: bool(synced))
        first = len(synced)
        time.sleep(0.1)
        assert len(synced) <= first + 1, "nothing was written since"
        db.execute("INSERT INTO t VALUES (1)").fetchall()
        size = (path.parent / "some.db-wal").stat().st_size
        _until(lambda: synced[-1] == size)
    db.close()
