"""Bring a database to the schema this program knows: named, ordered, each in one transaction."""

from collections.abc import Sequence

from quire.errors import HomeError
from quire.store.database import Database


def migrate(db: Database, migrations: Sequence[tuple[str, str]]) -> list[str]:
    """Apply what is missing and give the names applied.

    Raises HomeError when the database was made by a newer program, or is some other program's.
    """
    with db.transaction():
        existing = db.one("SELECT 1 FROM sqlite_schema WHERE type = 'table'") is not None
        ours = db.one("SELECT 1 FROM pragma_table_info('migrations') WHERE name = 'place'") is not None
        if existing and not ours:
            raise HomeError(f"{db.path} is a database, but not one of Quire's. Choose another home folder.")
        db.execute(
            "CREATE TABLE IF NOT EXISTS migrations (place INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT"
        )
        applied = [name for (name,) in db.all("SELECT name FROM migrations ORDER BY place")]
        known = [name for name, _ in migrations]
        if applied != known[: len(applied)]:
            raise HomeError(
                f"{db.path} was written by a newer version of Quire (it has {applied[-1]!r}). "
                "Install that version or newer; nothing was changed."
            )
    for name, sql in migrations[len(applied) :]:
        with db.transaction():
            for statement in _statements(sql):
                db.execute(statement)
            db.execute("INSERT INTO migrations (name) VALUES (?)", (name,))
    return known[len(applied) :]


def _statements(sql: str) -> list[str]:
    return [statement for statement in sql.split(";\n") if statement.strip()]
