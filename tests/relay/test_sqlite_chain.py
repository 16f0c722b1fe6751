"""A copy of a relay's store is looked through by its chains."""

import asyncio
from pathlib import Path

import apsw
import pytest

from quire.errors import Damaged
from quire.relay import sqlite_beside
from quire.relay.log_store import Retention
from quire.relay.sqlite_log import SqliteLog
from tests.relay.conformance import BOX, ONE, OTHER_BOX, TWO
from tests.relay.log_model import T0, records


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with two mailboxes of which the first has lost its oldest records, and one that lost all of them."""
    path = tmp_path / "relay.db"

    async def fill() -> None:
        store = SqliteLog(path)
        empty = bytes(32)
        await store.append(empty, ONE, records(1, 3, scopes=["space"]), T0)
        await store.append(BOX, ONE, records(1, 3, scopes=["space"]), T0)
        await store.prune(Retention(age=1_000), T0 + 5_000)
        await store.append(BOX, TWO, records(1, 4), T0 + 5_000)
        await store.append(OTHER_BOX, ONE, records(1, 5), T0 + 5_000)
        await store.close()

    asyncio.run(fill())
    return path


def test_a_store_that_lost_only_what_it_may_is_whole(path: Path, tmp_path: Path) -> None:
    assert sqlite_beside.copy(path, tmp_path / "copy.db") > 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            "UPDATE log SET data = zeroblob(length(data)) WHERE n = (SELECT max(n) - 1 FROM log)",
            "is not what",
        ),
        ("UPDATE log SET local = local + 1 WHERE n = (SELECT min(n) FROM log)", "is not what"),
        ("UPDATE log SET scope = 'private' WHERE n = (SELECT min(n) FROM log)", "is not what"),
        ("UPDATE log SET chain = zeroblob(32) WHERE n = (SELECT max(n) FROM log)", "is not what"),
        ("DELETE FROM log WHERE n = (SELECT max(n) FROM log)", "the last records of mailbox . are missing"),
        ("DELETE FROM log WHERE n = (SELECT min(n) FROM log)", "record 4 of mailbox . is missing"),
        ("DELETE FROM log", "all records of a mailbox are missing"),
        ("UPDATE mailboxes SET n = n + 100", "records of a mailbox that is not there"),
        ("UPDATE devices SET n = n + 100 WHERE n = (SELECT max(n) FROM devices)", "is missing"),
        (
            "UPDATE mailboxes SET length = length + 1 WHERE length = floor",
            "all records of a mailbox are missing",
        ),
    ],
)
def test_what_sqlite_has_no_eye_for_is_found_by_a_copy(
    path: Path, tmp_path: Path, change: str, told: str
) -> None:
    db = apsw.Connection(str(path))
    db.execute("PRAGMA foreign_keys = OFF")
    db.execute(change)
    assert db.changes() > 0
    assert db.execute("PRAGMA integrity_check").get == "ok"
    db.close()
    with pytest.raises(Damaged, match=told):
        sqlite_beside.copy(path, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()
