"""A database encrypted as a whole: what lies in its files, other keys, other connections, damage."""

from pathlib import Path

import apsw
import pytest

from quire.errors import Damaged, HomeError
from quire.store.database import Database
from tests.events.builders import digest

KEY = digest("database key")
TEXT = "The tulips are out, all of them"


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def write(db: Database, times: int = 1) -> None:
    db.execute("CREATE TABLE IF NOT EXISTS tulips (x)")
    with db.transaction():
        db.executemany("INSERT INTO tulips VALUES (?)", [(f"{TEXT} {number}",) for number in range(times)])


def test_neither_file_nor_wal_shows_what_is_in_it(tmp_path: Path) -> None:
    db = Database(tmp_path / "a.db", KEY)
    write(db, 5_000)
    assert {path.name for path in tmp_path.iterdir()} == {"a.db", "a.db-wal", "a.db-shm"}
    assert (tmp_path / "a.db-wal").stat().st_size > 100_000
    for word in (b"tulips", b"CREATE TABLE", KEY):
        assert word not in everything(tmp_path)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert (tmp_path / "a.db").stat().st_size > 100_000
    db.close()
    for word in (b"tulips", b"CREATE TABLE", b"SQLite format 3", KEY):
        assert word not in everything(tmp_path)


def test_the_same_without_a_key_shows_it(tmp_path: Path) -> None:
    db = Database(tmp_path / "a.db")
    write(db)
    assert b"tulips" in everything(tmp_path)
    db.close()
    assert b"SQLite format 3" in everything(tmp_path)


def test_other_connections_have_the_key(tmp_path: Path) -> None:
    db = Database(tmp_path / "a.db", KEY)
    write(db)
    reader, writer = db.beside(read_only=True), db.beside()
    assert reader.all("SELECT x FROM tulips") == [(f"{TEXT} 0",)]
    write(writer)
    assert db.one("SELECT count(*) FROM tulips") == (2,)
    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("DELETE FROM tulips")
    for one in (reader, writer, db):
        one.close()
    again = Database(tmp_path / "a.db", KEY)
    assert again.one("SELECT count(*) FROM tulips") == (2,)
    again.close()


@pytest.mark.parametrize("made_with", [KEY, None])
def test_another_key_cannot_open_it_and_that_is_not_called_damage(
    tmp_path: Path, made_with: bytes | None
) -> None:
    db = Database(tmp_path / "a.db", made_with)
    write(db)
    db.close()
    before = everything(tmp_path)
    for read_only in (False, True):
        with pytest.raises(HomeError, match="cannot be opened with this home's key") as caught:
            Database(tmp_path / "a.db", digest("another"), read_only=read_only)
        assert not isinstance(caught.value, Damaged)
    assert everything(tmp_path) == before


def test_without_the_key_nothing_is_read(tmp_path: Path) -> None:
    db = Database(tmp_path / "a.db", KEY)
    write(db)
    db.close()
    with pytest.raises(Damaged, match="not a database"):
        Database(tmp_path / "a.db").execute("SELECT * FROM tulips")


def test_an_altered_page_is_found(tmp_path: Path) -> None:
    """Each page is authenticated: who can write to the file cannot change what is in it unnoticed."""
    db = Database(tmp_path / "a.db", KEY)
    write(db, 5_000)
    db.close()
    content = bytearray((tmp_path / "a.db").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "a.db").write_bytes(content)
    db = Database(tmp_path / "a.db", KEY)
    with pytest.raises(HomeError), db.plain_errors():
        db.all("SELECT x FROM tulips")
    db.close()


def test_sqlite_without_ciphers_is_not_trusted_with_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain SQLite takes `PRAGMA key` for a pragma that it does not know, and would write in the clear."""
    monkeypatch.setattr(Database, "one", lambda *_: None)
    with pytest.raises(HomeError, match="apsw-sqlite3mc"):
        Database(tmp_path / "a.db", KEY)
    assert everything(tmp_path) == b""
