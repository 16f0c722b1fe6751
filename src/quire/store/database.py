"""One SQLite connection with nested transactions, and its errors in plain words.

Owns: how the database file is opened, committed and rolled back. Must not know: which tables are in it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from quire.errors import Damaged, HomeError

Row = tuple[Any, ...]
Bindings = Sequence[Any]

#: Page cache (KiB): enough for the hot end of every index, small enough to keep a node's memory flat.
CACHE_KIB = 16_384
#: Checkpoint when the WAL has this many 4 KiB pages (16 MiB).
CHECKPOINT_PAGES = 4_096


class Database:
    """A connection to a home's database file (`:memory:` works too)."""

    def __init__(self, path: Path | str, *, read_only: bool = False) -> None:
        """Open or create the file. Raises HomeError or Damaged."""
        self.path = str(path)
        flags = (
            apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        )
        self._depth = 0
        self._on_rollback: list[Callable[[], None]] = []
        with self.plain_errors():
            self.connection = apsw.Connection(self.path, flags=flags)
            self.connection.set_busy_timeout(5_000)
            if read_only:
                self.execute("PRAGMA query_only = 1")
            else:
                self._prepare()

    def _prepare(self) -> None:
        # WAL with synchronous=NORMAL: a commit survives kill -9 of the process; only a power cut can
        # take the last commits, and it never leaves a broken file (sqlite.org/wal.html).
        for pragma in (
            "journal_mode = WAL",
            "synchronous = NORMAL",
            f"cache_size = -{CACHE_KIB}",
            f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
            "temp_store = MEMORY",
            "trusted_schema = OFF",
            "cell_size_check = ON",
        ):
            self.execute(f"PRAGMA {pragma}")

    def execute(self, sql: str, bindings: Bindings = ()) -> apsw.Cursor:
        """Run one statement; iterate the cursor for its rows."""
        return self.connection.execute(sql, bindings)

    def executemany(self, sql: str, rows: Iterable[Bindings]) -> None:
        """Run one statement for each row of bindings."""
        self.connection.executemany(sql, rows)

    def one(self, sql: str, bindings: Bindings = ()) -> Row | None:
        """The first row, or None."""
        return next(self.connection.execute(sql, bindings), None)

    def all(self, sql: str, bindings: Bindings = ()) -> list[Row]:
        """Every row."""
        return self.connection.execute(sql, bindings).fetchall()

    def insert(self, sql: str, bindings: Bindings = ()) -> int:
        """Run an INSERT and give the new row's number."""
        self.connection.execute(sql, bindings)
        return self.connection.last_insert_rowid()

    def on_rollback(self, forget: Callable[[], None]) -> None:
        """Call `forget` after a rollback, so that what is remembered in memory cannot outlive it."""
        self._on_rollback.append(forget)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside commits together, or not at all; inner uses join the outermost one."""
        if self._depth:
            yield
            return
        with self.plain_errors():
            self.execute("BEGIN IMMEDIATE")
            self._depth = 1
            try:
                yield
                self.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
            finally:
                self._depth = 0

    def _roll_back(self) -> None:
        if self.connection.in_transaction:  # SQLite has already rolled back by itself when a disk is full
            self.execute("ROLLBACK")
        for forget in self._on_rollback:
            forget()

    @contextmanager
    def plain_errors(self) -> Iterator[None]:
        """Turn SQLite's errors about the file into HomeError and Damaged."""
        try:
            yield
        except apsw.FullError as error:
            raise HomeError(
                f"The disk is full: nothing of this change was kept in {self.path}, and nothing saved before "
                "is lost. Free some space and try again."
            ) from error
        except (apsw.NotADBError, apsw.CorruptError) as error:
            raise Damaged(
                f"{self.path} is damaged ({error}). Copy the home folder as it is, then run `quire verify` "
                "to see what is affected; peers still hold the events they have synced."
            ) from error
        except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError, apsw.IOError) as error:
            raise HomeError(
                f"{self.path} cannot be read or written ({error}). Check the folder's rights and the disk."
            ) from error
        except (apsw.BusyError, apsw.LockedError) as error:
            raise HomeError(f"{self.path} is locked by another program. Close it and try again.") from error

    def close(self) -> None:
        """Close the file; a checkpoint is taken when this is the last connection."""
        self.connection.close()
