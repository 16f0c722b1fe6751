"""One SQLite connection with nested transactions, and its errors in plain words.

Owns: how the database file is opened, committed and rolled back. Must not know: which tables are in it.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw

from quire.errors import Damaged, HomeError

Row = tuple[Any, ...]
Bindings = Sequence[Any]

#: Page cache (KiB): enough for the hot end of every index, small enough to keep a node's memory flat.
CACHE_KIB = 16_384
#: Checkpoint inside a commit when the WAL has this many 4 KiB pages (64 MiB): a running node does it in
#: spare time long before.
CHECKPOINT_PAGES = 16_384
#: Statements kept prepared, more than a node has: those that find no room are compiled at each use.
STATEMENTS = 512


class Database:
    """A connection to a home's database file (`:memory:` works too), encrypted with `key` (32 bytes) if given.

    `vfs` names SQLite's way to the disk, if not its own; those that encrypt are SQLite's own.
    """

    def __init__(
        self, path: Path | str, key: bytes | None = None, *, read_only: bool = False, vfs: str | None = None
    ) -> None:
        """Open or create the file. Raises HomeError or Damaged."""
        self.path = str(path)
        self._key = key
        self._vfs = vfs
        flags = (
            apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        )
        self._transaction = _Transaction(self)
        self._plain_errors = _PlainErrors(self.path)
        self._on_rollback: list[Callable[[], None]] = []
        self._keeping = False
        with self.plain_errors():
            self.connection = apsw.Connection(self.path, flags=flags, vfs=vfs, statementcachesize=STATEMENTS)
            with self.closed_unless_done():
                self.connection.set_busy_timeout(5_000)
                if key is not None:
                    self._unlock(key)
                if read_only:
                    self.execute("PRAGMA query_only = 1")
                else:
                    self._prepare()

    def beside(self, *, read_only: bool = False) -> "Database":
        """Another connection to the same file."""
        return Database(self.path, self._key, read_only=read_only, vfs=self._vfs)

    def _unlock(self, key: bytes) -> None:
        # ChaCha20-Poly1305 authenticates each page, which SQLite3MC's AES does not. `raw:` takes the key as it is:
        # stretching it again at each connection would take a running node's checkpoints 50 ms each.
        self.execute("PRAGMA cipher = 'chacha20'")
        if (
            self.one(f"PRAGMA key = 'raw:{key.hex()}'") is None
        ):  # SQLite without ciphers ignores it and writes plainly
            raise HomeError(
                "SQLite cannot encrypt here. Install apsw-sqlite3mc in place of apsw, and try again."
            )
        try:
            self.execute("SELECT 1 FROM sqlite_schema").fetchall()
        except apsw.NotADBError:
            raise HomeError(
                f"{self.path} cannot be opened with this home's key: it is encrypted with another one, not "
                "encrypted at all, or damaged at its beginning. Put back the database and the file home.key that "
                "belong together."
            ) from None

    def _prepare(self) -> None:
        # WAL with synchronous=NORMAL: a commit survives kill -9 of the process; only a power cut can
        # take those since the last `sync`, and it never leaves a broken file (sqlite.org/wal.html).
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

    def transaction(self) -> AbstractContextManager[None]:
        """Everything inside commits together, or not at all; inner uses join the outermost one."""
        return self._transaction

    def keep(self) -> None:
        """What the open transaction commits is to outlast a power cut at once: its commit waits for the disk."""
        self._keeping = True

    def committed(self) -> None:
        """After a commit."""
        if self._keeping:
            self._keeping = False
            # It is committed, whatever the disk does now: nobody is to be told that it failed.
            with suppress(HomeError, Damaged):
                self.sync()

    def sync(self) -> None:
        """Wait until the disk has all that is committed; of any thread. Raises HomeError when it fails at it."""
        log = f"{self.path}-wal"
        if not os.path.exists(
            log
        ):  # nothing was committed since it was moved into the database, or all is in memory
            return
        with self.plain_errors():
            # Below the ciphers, if there are any: what is synced is the file.
            file = apsw.VFSFile(
                self._vfs or "unix", log, [apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_READWRITE, 0]
            )
            try:
                file.xSync(apsw.SQLITE_SYNC_NORMAL)
            finally:
                file.xClose()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Inside a transaction: an exception undoes what was done in here, and nothing else."""
        self.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            if self.connection.in_transaction:  # not when SQLite has undone everything: a full disk
                self.execute("ROLLBACK TO part")
                self.execute("RELEASE part")
            for forget in self._on_rollback:
                forget()
            raise
        self.execute("RELEASE part")

    def roll_back(self) -> None:
        """Undo the open transaction, and what is remembered of it."""
        self._keeping = False
        if self.connection.in_transaction:  # SQLite has already rolled back by itself when a disk is full
            self.execute("ROLLBACK")
        for forget in self._on_rollback:
            forget()

    def plain_errors(self) -> AbstractContextManager[None]:
        """Turn SQLite's errors about the file into HomeError and Damaged."""
        return self._plain_errors

    @contextmanager
    def closed_unless_done(self) -> Iterator[None]:
        """What opens the file further stands in here: where it fails the file does not stay open."""
        try:
            yield
        except BaseException:
            with suppress(apsw.Error):  # the disk may fail at this too; what is told is what failed first
                self.connection.close()
            raise

    def close(self) -> None:
        """Close the file; a checkpoint is taken when this is the last connection."""
        self.connection.close()


class _Transaction:
    """The one transaction of a connection, entered again by whoever joins it.

    A class and not a generator: every append passes here three times.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._depth = 0

    def __enter__(self) -> None:
        if self._depth == 0:
            try:
                self._db.execute("BEGIN IMMEDIATE")
            except apsw.Error as error:
                raise in_plain_words(self._db.path, error) from error
        self._depth += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._depth -= 1
        if self._depth:
            return
        if error is None:
            try:
                self._db.execute("COMMIT")
                self._db.committed()
                return
            except apsw.Error as failed:
                error = failed
        self._db.roll_back()
        if isinstance(error, apsw.Error):
            raise in_plain_words(self._db.path, error) from error


class _PlainErrors:
    """A class and not a generator, as a transaction is: every step of a node passes here."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, apsw.Error | UnicodeDecodeError):
            raise in_plain_words(self._path, error) from error


def in_plain_words(path: str, error: apsw.Error | UnicodeDecodeError) -> Exception:
    """HomeError or Damaged for SQLite's errors about the file; any other error as it is."""
    if isinstance(error, apsw.FullError):
        return HomeError(
            f"The disk is full: nothing of this change was kept in {path}, and nothing saved before "
            "is lost. Free some space and try again."
        )
    # Our statements are plain ASCII: what else SQLite complains about is a name in the file that was altered.
    altered_name = isinstance(error, apsw.SQLError) and not str(error).isascii()
    if altered_name or isinstance(error, apsw.NotADBError | apsw.CorruptError | UnicodeDecodeError):
        no_database = isinstance(error, apsw.NotADBError)
        unless = ", unless it is encrypted and home.key another home's" if no_database else ""
        return Damaged(
            f"{path} is damaged ({error}){unless}. Copy the home folder as it is, then run `quire verify` "
            "to see what is affected; peers still hold the events they have synced."
        )
    if isinstance(error, apsw.CantOpenError | apsw.ReadOnlyError | apsw.PermissionsError | apsw.IOError):
        return HomeError(
            f"{path} cannot be read or written ({error}). Check the folder's rights and the disk."
        )
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return HomeError(f"{path} is locked by another program. Close it and try again.")
    return error
