import pytest

from quire.core.event import Event
from quire.events.handler import Handler
from quire.store.database import Database
from quire.store.store import Store
from quire.store.views import ForeignTable, View
from tests.events.builders import VAULT, Author, Space, add_holder, bodies, give, make_home, registry_with

SCHEMA = """
CREATE TABLE own_rows (account INTEGER, x TEXT) STRICT;
CREATE TABLE own_more (account INTEGER, x TEXT) STRICT;
CREATE INDEX own_by_x ON own_rows (x);
CREATE VIEW own_relation (x) AS SELECT x FROM own_rows;
"""


class PollEvent(Event):
    question: str


@pytest.fixture
def view() -> View:
    store = Store(":memory:", VAULT)
    view = View(store.db, "own", ("own_rows", "own_more"), SCHEMA)
    view.create()
    store.db.execute("CREATE TABLE foreign_rows (account INTEGER, x TEXT)")
    return view


FOREIGN = [
    "SELECT x FROM foreign_rows",
    "SELECT 1 FROM foreign_rows",
    "SELECT count(*) FROM foreign_rows",
    "SELECT * FROM own_rows AS o JOIN foreign_rows AS f ON o.x = f.x",
    "SELECT * FROM own_rows WHERE x IN (SELECT x FROM foreign_rows)",
    "WITH f AS (SELECT x FROM foreign_rows) SELECT * FROM f",
    "SELECT x FROM own_rows UNION SELECT x FROM foreign_rows",
    "SELECT * FROM own_relation",
    "SELECT * FROM events",
    "SELECT * FROM blobs",
    "SELECT * FROM device_keys",
    "SELECT * FROM sqlite_schema",
    "SELECT * FROM pragma_table_info('own_rows')",
    "INSERT INTO foreign_rows VALUES (1, 'x')",
    "INSERT INTO own_rows SELECT * FROM foreign_rows",
    "UPDATE foreign_rows SET x = 1",
    "UPDATE own_rows SET x = (SELECT max(x) FROM foreign_rows)",
    "DELETE FROM foreign_rows",
    "DELETE FROM own_rows WHERE x IN (SELECT x FROM foreign_rows)",
    "DELETE FROM own_rows; DELETE FROM foreign_rows",
    "SELECT x FROM own_rows; DROP TABLE foreign_rows",
    "CREATE TABLE new (x)",
    "CREATE TEMP TABLE new (x)",
    "CREATE INDEX i ON own_rows (account)",
    "CREATE TRIGGER t AFTER INSERT ON own_rows BEGIN DELETE FROM foreign_rows; END",
    "CREATE TEMP TRIGGER t AFTER INSERT ON own_rows BEGIN DELETE FROM foreign_rows; END",
    "CREATE VIEW v AS SELECT * FROM foreign_rows",
    "ALTER TABLE own_rows RENAME TO other",
    "ALTER TABLE own_rows ADD COLUMN z",
    "DROP TABLE foreign_rows",
    "DROP TABLE own_rows",
    "PRAGMA user_version = 7",
    "PRAGMA user_version",
    "PRAGMA journal_mode",
    "ATTACH ':memory:' AS other",
    "DETACH main",
    "BEGIN",
    "COMMIT",
    "SAVEPOINT s",
    "VACUUM",
    "REINDEX own_rows",
    "ANALYZE own_rows",
    "",
    "-- nothing",
]


@pytest.mark.parametrize("sql", FOREIGN)
def test_no_table_but_its_own(view: View, sql: str) -> None:
    view.write("INSERT INTO own_rows VALUES (?, ?)", [(1, "mine")])
    before = view._db.all("SELECT * FROM sqlite_schema"), view._db.all("SELECT * FROM own_rows")
    for act in (lambda: view.read(sql), lambda: view.write(sql, [()]), lambda: view.read(sql)):
        with pytest.raises(ForeignTable):
            act()
    assert (view._db.all("SELECT * FROM sqlite_schema"), view._db.all("SELECT * FROM own_rows")) == before


def test_its_own_tables(view: View) -> None:
    view.write("INSERT INTO own_rows VALUES (?, ?)", [(1, "a"), (2, "b")])
    view.write("INSERT INTO own_more SELECT account, upper(x) FROM own_rows WHERE account = ?", [(2,)])
    view.write("UPDATE own_rows SET x = 'c' WHERE account = ?", [(1,)])
    view.write("DELETE FROM own_rows WHERE account = ?", [(2,)])
    assert view.read("SELECT x FROM own_rows UNION SELECT x FROM own_more ORDER BY x") == [("B",), ("c",)]
    assert view.read(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n WHERE i < 3) SELECT max(i) FROM n"
    ) == [(3,)]


def test_drop_and_create(view: View) -> None:
    view.write("INSERT INTO own_rows VALUES (?, ?)", [(1, "a")])
    assert view.is_current()
    view.drop()
    names = {name for (name,) in view._db.all("SELECT name FROM sqlite_schema")}
    assert not {"own_rows", "own_more", "own_by_x", "own_relation"} & names
    assert "foreign_rows" in names
    view.create()
    assert view.read("SELECT * FROM own_rows") == []


def test_another_schema_is_another_version(view: View) -> None:
    db: Database = view._db
    newer = View(db, "own", ("own_rows",), SCHEMA.replace("x TEXT)", "x TEXT, y TEXT)"))
    assert newer.version != view.version
    assert not newer.is_current()
    newer.drop()
    newer.create(filled=False)
    assert not newer.is_current(), "made, but what belongs in it is not there yet"
    newer.drop()
    newer.create()
    assert newer.is_current()
    assert not view.is_current()


@pytest.mark.parametrize(
    "sql", ["INSERT INTO forks VALUES (1, 1)", "DELETE FROM message_rows", "PRAGMA user_version = 1"]
)
def test_a_rogue_projector_is_stopped_and_leaves_nothing(sql: str) -> None:
    rogue = Handler(
        type="poll",
        event=PollEvent,
        project=lambda view, batch: view.write(sql, [() for _ in batch]),
    )
    home, space = make_home(registry=registry_with(rogue)), Space()
    alice, carol = add_holder(home, space, "alice"), Author(space, "carol")
    give(home, alice, carol.introduce(), carol.say("before"))
    with pytest.raises(ForeignTable, match="poll"):
        give(home, alice, carol.say("with it"), carol.write("poll", {"question": "?"}))
    assert bodies(home, alice) == ["before"]
    assert home.store.db.all("SELECT * FROM forks") == []
    home.close()
