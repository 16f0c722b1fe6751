"""Tables that handlers own: made, dropped, written and read only by their owner.

Owns: the guard that keeps each handler to its own tables. SQLite's authorizer checks every distinct
statement once, when it is first used. Must not know: what any table means.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

import apsw
from apsw.ext import query_info

from quire.store.database import Bindings, Database, Row

_ALLOWED = {apsw.SQLITE_SELECT, apsw.SQLITE_FUNCTION, apsw.SQLITE_RECURSIVE}


class ForeignTable(Exception):
    """A handler's statement touches a table that is not its own: a programmer's mistake."""


class View:
    """A handler's access to its own tables."""

    def __init__(self, db: Database, owner: str, tables: Sequence[str], schema: str) -> None:
        """`schema` is the SQL that makes `tables` (and their indexes and relations)."""
        self._db = db
        self.owner = owner
        self._tables = frozenset(tables)
        self._schema = [statement for statement in schema.split(";\n") if statement.strip()]
        self._checked: set[str] = set()

    @property
    def version(self) -> str:
        """Changes with the schema, so that views made by an older program are made anew."""
        return sha256("\n".join(self._schema).encode()).hexdigest()[:16]

    def write(self, sql: str, rows: Iterable[Bindings]) -> None:
        """Run a writing statement for each row of bindings."""
        self._check(sql)
        self._db.executemany(sql, rows)

    def read(self, sql: str, bindings: Bindings = ()) -> list[Row]:
        """The rows of a reading statement."""
        self._check(sql)
        return self._db.all(sql, bindings)

    def create(self, filled: bool = True) -> None:
        """Make the tables and note their version; not yet current when events to project are waiting."""
        for statement in self._schema:
            self._db.execute(statement)
        self._db.execute(
            "INSERT OR REPLACE INTO view_versions VALUES (?, ?)", (self.owner, self.version if filled else "")
        )

    def drop(self) -> None:
        """Drop every relation and table named in the schema."""
        for kind, name in self._db.all(
            "SELECT type, name FROM sqlite_schema WHERE type IN ('view', 'table')"
        ):
            if any(f"{kind.upper()} {name} " in statement for statement in self._schema):
                self._db.execute(f"DROP {kind} {name}")

    def is_current(self) -> bool:
        """Whether the tables exist as this program makes them."""
        row = self._db.one("SELECT version FROM view_versions WHERE handler = ?", (self.owner,))
        return row is not None and row[0] == self.version

    def _check(self, sql: str) -> None:
        if sql in self._checked:
            return
        try:
            found = query_info(self._db.connection, sql, actions=True)
        except TypeError:  # apsw 3.54 cannot describe what is done to an index
            found = None
        if found is None or not found.actions or found.query_remaining is not None:
            raise ForeignTable(f"{self.owner} may only read and write rows, one statement at a time: {sql}")
        for action in found.actions:
            if action.action not in _ALLOWED and action.table_name not in self._tables:
                raise ForeignTable(f"{self.owner} touches {action.table_name or action.action_name}: {sql}")
        self._checked.add(sql)
