"""Which files are taken for a log store, and who may hold one."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from quire.errors import HomeError
from quire.relay.sqlite_file import APPLICATION_ID, VERSION, LogFile
from quire.relay.sqlite_log import SqliteLog
from tests.relay.appenders import appending
from tests.relay.conformance import BOX, ONE, whole_log
from tests.relay.log_model import T0, records


def test_a_new_file_is_its_owners_alone_and_has_readable_tables(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"

    async def scenario() -> None:
        store = SqliteLog(path)
        await store.append(BOX, ONE, records(1, 3), T0)
        assert path.stat().st_mode & 0o077 == 0
        assert Path(f"{path}-wal").stat().st_mode & 0o077 == 0
        await store.close()

    asyncio.run(scenario())
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT mailbox, place, local, scope FROM log ORDER BY n").fetchall()
        assert rows == [(1, 1, 1, "friend"), (1, 2, 2, "space"), (1, 3, 3, "private")]
        assert db.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        plan = str(
            db.execute(
                "EXPLAIN QUERY PLAN SELECT * FROM log WHERE mailbox = 1 AND sort_key > 'a' ORDER BY sort_key"
            ).fetchall()
        )
        assert "log_sorted" in plan
        assert "TEMP B-TREE" not in plan


def test_a_commit_is_on_the_disk(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = LogFile(tmp_path / "relay.db")
        async with file.transaction() as db:
            assert db.pragma("synchronous") == 2  # FULL
            assert db.pragma("journal_mode") == "wal"
        file.close()

    asyncio.run(scenario())


def test_what_fails_in_a_transaction_is_undone_and_the_next_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = LogFile(tmp_path / "relay.db")
        for failure in (ValueError, asyncio.CancelledError):
            with pytest.raises(failure):
                await _update(file, failure())
        with file.reading() as db:
            assert db.execute("SELECT records FROM totals").get == 0
        waits = asyncio.create_task(_update(file))
        await asyncio.sleep(0)
        waits.cancel()  # while its commit is under way, or before
        with pytest.raises(asyncio.CancelledError):
            await waits
        await _update(file)
        with file.reading() as db:
            assert db.execute("SELECT records FROM totals").get in (1, 2)
        file.close()

    asyncio.run(scenario())


async def _update(file: LogFile, failure: BaseException | None = None) -> None:
    async with file.transaction() as db:
        db.execute("UPDATE totals SET records = records + 1")
        if failure:
            raise failure


def test_a_file_is_held_by_whatever_links_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    (tmp_path / "link.db").symlink_to(path)
    store = SqliteLog(path)
    with pytest.raises(HomeError, match="in use by another relay process"):
        SqliteLog(tmp_path / "link.db")
    asyncio.run(store.close())
    by_link = SqliteLog(tmp_path / "link.db")
    with pytest.raises(HomeError, match="in use by another relay process"):
        SqliteLog(path)
    asyncio.run(by_link.close())
    (tmp_path / "hard.db").hardlink_to(path)
    for name in ("hard.db", "relay.db", "link.db"):
        with pytest.raises(HomeError, match="other names too"):
            SqliteLog(tmp_path / name)
    (tmp_path / "hard.db").unlink()
    asyncio.run(SqliteLog(path).close())


def test_a_file_that_another_process_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    with appending(path) as run:
        run.next(1)
        with pytest.raises(HomeError, match="in use by another relay process"):
            SqliteLog(path)

    async def scenario() -> None:
        store = SqliteLog(path)  # its lock went with it
        with pytest.raises(HomeError, match="in use"):
            SqliteLog(path)
        await store.close()
        await SqliteLog(path).close()

    asyncio.run(scenario())


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE notes (text)")
    before = path.read_bytes()
    with pytest.raises(HomeError, match="not a relay's store"):
        SqliteLog(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("version", "says"), [(VERSION + 1, "newer version"), (VERSION - 1, "earlier version")]
)
def test_another_version_is_left_alone(tmp_path: Path, version: int, says: str) -> None:
    path = tmp_path / "relay.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("CREATE TABLE log (other)")
    before = path.read_bytes()
    with pytest.raises(HomeError, match=says):
        SqliteLog(path)
    assert path.read_bytes() == before


def test_a_file_for_a_folder_and_a_folder_for_a_file_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HomeError, match="cannot be used"):
        SqliteLog(tmp_path / "file" / "relay.db")
    (tmp_path / "relay.db").mkdir()
    for _ in range(2):  # and its lock is let go of
        with pytest.raises(HomeError, match="Is a directory"):
            SqliteLog(tmp_path / "relay.db")


def test_an_empty_file_is_a_new_store(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    path.touch()

    async def scenario() -> None:
        store = SqliteLog(path)
        assert await whole_log(store, BOX) == []
        await store.close()

    asyncio.run(scenario())


def test_a_folder_that_takes_no_files_is_not_another_process() -> None:
    with pytest.raises(HomeError, match=r"cannot be used: .*Check that its folder"):
        LogFile(Path("/proc/relay.db"))
