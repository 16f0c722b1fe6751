"""Read-only SQL over a home's relations, on a connection of its own.

Owns: what such a statement may do, how long and how much. SQLite's authorizer allows a short list of
actions; writing, attaching other files and reading the tables of private keys are not on it.
Must not know: identities, the node.
"""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import apsw
import msgspec
from apsw.ext import query_info

from quire.errors import Refused, UserError
from quire.limits import MAX_SQL_BYTES, MAX_SQL_ROWS, MAX_SQL_S, MAX_SQL_VALUE_BYTES
from quire.store.database import Database

#: Their rows are private keys and space keys: no statement reads them.
SECRET_TABLES = frozenset({"device_keys", "space_keys"})

#: Pragmas that only tell of the schema (full-text search itself asks for `data_version`).
_PRAGMAS = frozenset(
    {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "user_version"}
    | {"function_list", "module_list", "collation_list", "compile_options", "schema_version", "data_version"}
)
_ACTIONS = frozenset({apsw.SQLITE_SELECT, apsw.SQLITE_READ, apsw.SQLITE_FUNCTION, apsw.SQLITE_RECURSIVE})
#: Functions that load code, or tell of the file's encryption and change it.
_FUNCTIONS_REFUSED = ("load_extension", "sqlite3mc_")
_PROGRESS_STEPS = 10_000
_NOT_ALLOWED = (
    "That is not allowed: `sql` reads, it does not change anything, open other files, or show "
    "private keys. Use SELECT on events, message_index, auth_graph or any other table."
)
#: What SQLite says of changes to views and to its own tables, before it asks whether they are allowed.
_NO_VIEW, _NO_TABLE = "cannot modify ", " may not be modified"


class SqlAnswer(msgspec.Struct):
    """Rows of a SELECT. `more` is true, and `note` says so, when there were more rows than an answer holds.

    Each row is an object by column name; blobs are written `x'…'`.
    """

    columns: list[str]
    rows: list[dict[str, int | float | str | None]]
    more: bool
    note: str


def run(home: Database, statement: str) -> SqlAnswer:
    """The rows of one reading statement. Raises UserError, with SQLite's own words, for anything else."""
    with closing(home.beside(read_only=True)) as database, _plain_sql_errors(), _watched(database.connection):
        return _answer(database.connection, statement)


def _answer(connection: apsw.Connection, statement: str) -> SqlAnswer:
    details = query_info(connection, statement)
    if details.query_remaining and details.query_remaining.strip(" \t\r\n;"):
        raise UserError("Give one statement at a time.")
    if not details.description:
        raise UserError("There is no question in that: write a SELECT statement.")
    columns = _distinct([name for name, *_ in details.description])
    rows: list[dict[str, int | float | str | None]] = []
    size = 0
    for row in connection.execute(statement):
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
        if len(rows) == MAX_SQL_ROWS or size > MAX_SQL_BYTES:
            note = f"Only the first {len(rows):,} rows are shown. Add a WHERE or a LIMIT to see others."
            return SqlAnswer(columns, rows, True, note)
        rows.append({column: _value(value) for column, value in zip(columns, row, strict=True)})
    return SqlAnswer(columns, rows, False, "")


def _distinct(names: list[str]) -> list[str]:
    """Column names, with `:1`, `:2` … after those that occurred before."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = times = seen.get(name, -1) + 1
        found.append(f"{name}:{times}" if times else name)
    return found


def _value(value: Any) -> int | float | str | None:
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    return value  # type: ignore[no-any-return]


@contextmanager
def _watched(connection: apsw.Connection) -> Iterator[None]:
    """Let in only what reads, and stop what takes too long."""
    deadline = time.monotonic() + MAX_SQL_S
    connection.limit(apsw.SQLITE_LIMIT_LENGTH, MAX_SQL_VALUE_BYTES)
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _PROGRESS_STEPS)
    connection.authorizer = _authorize
    yield


def _authorize(action: int, first: str | None, second: str | None, _: str | None, __: str | None) -> int:
    if action == apsw.SQLITE_READ:
        allowed = (first or "").lower() not in SECRET_TABLES
    elif action == apsw.SQLITE_PRAGMA:
        allowed = (first or "").lower() in _PRAGMAS
    else:
        allowed = action in _ACTIONS and not (second or "").lower().startswith(_FUNCTIONS_REFUSED)
    return apsw.SQLITE_OK if allowed else apsw.SQLITE_DENY


@contextmanager
def _plain_sql_errors() -> Iterator[None]:
    try:
        yield
    except apsw.AuthError:
        raise Refused(_NOT_ALLOWED) from None
    except apsw.InterruptError:
        raise UserError(
            f"That took longer than {MAX_SQL_S:.0f} seconds and was stopped. Ask for less."
        ) from None
    except apsw.TooBigError:
        raise UserError("That makes a value too large to handle. Ask for less.") from None
    except (apsw.SQLError, apsw.MismatchError, apsw.RangeError, apsw.BindingsError) as error:
        if str(error).startswith(_NO_VIEW) or str(error).endswith(_NO_TABLE):
            raise Refused(_NOT_ALLOWED) from None
        raise UserError(f"SQLite does not understand that: {error}") from None
