from pathlib import Path

import apsw
import pytest

from quire.errors import HomeError
from quire.store.database import Database
from quire.store.migrations import migrate
from quire.store.schema import MIGRATIONS
from quire.store.store import Store
from tests.events.builders import VAULT

ONE = ("one", "CREATE TABLE a (x) STRICT;\nCREATE TABLE a2 (x INTEGER) STRICT;\n".replace("(x)", "(x TEXT)"))
TWO = ("two", "ALTER TABLE a ADD COLUMN y TEXT;\nINSERT INTO a VALUES ('1', '2');\n")


def tables(db: Database) -> list[str]:
    return [name for (name,) in db.all("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]


def content(path: Path) -> list[tuple[object, ...]]:
    """Everything in a database file."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    found: list[tuple[object, ...]] = list(connection.execute("SELECT type, name, sql FROM sqlite_schema"))
    for kind, name, _ in list(found):
        if kind == "table":
            found += connection.execute(f'SELECT * FROM "{name}"').fetchall()
    connection.close()
    return found


def test_each_is_applied_once_in_order(tmp_path: Path) -> None:
    db = Database(tmp_path / "a.db")
    assert migrate(db, [ONE]) == ["one"]
    assert migrate(db, [ONE]) == []
    assert migrate(db, [ONE, TWO]) == ["two"]
    assert db.all("SELECT place, name FROM migrations") == [(1, "one"), (2, "two")]
    assert db.all("SELECT * FROM a") == [("1", "2")]
    db.close()


def test_a_failing_one_leaves_nothing_of_itself(tmp_path: Path) -> None:
    db = Database(tmp_path / "a.db")
    bad = ("bad", TWO[1] + "CREATE TABLE b (x TEXT) STRICT;\nCREATE TABLE a (x TEXT) STRICT;\n")
    with pytest.raises(apsw.SQLError):
        migrate(db, [ONE, bad])
    assert tables(db) == ["a", "a2", "migrations"]
    assert db.all("SELECT * FROM a") == []
    assert migrate(db, [ONE, TWO]) == ["two"], "and the mended program goes on from there"
    db.close()


def test_names_are_named_once_and_are_final() -> None:
    names = [name for name, _ in MIGRATIONS]
    assert len(names) == len(set(names))
    assert names[0] == "members"


def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "quire.db"
    store = Store(path, VAULT)
    store.db.execute("INSERT INTO migrations (name) VALUES ('from the future')")
    store.close()
    before = content(path)
    with pytest.raises(HomeError, match=r"newer version of Quire .*'from the future'"):
        Store(path, VAULT)
    assert content(path) == before


@pytest.mark.parametrize(
    "schema", ["CREATE TABLE notes (x)", "CREATE TABLE migrations (id INTEGER, stamp TEXT)"]
)
def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path, schema: str) -> None:
    path = tmp_path / "quire.db"
    connection = apsw.Connection(str(path))
    connection.execute(schema)
    connection.close()
    before = content(path)
    with pytest.raises(HomeError, match="not one of Quire's"):
        Store(path, VAULT)
    assert content(path) == before


def test_a_new_store_has_the_relations_that_people_query() -> None:
    store = Store(":memory:", VAULT)
    assert store.db.all("SELECT event_id, account_id, received_ts, encrypted FROM events") == []
    store.close()
