"""The file of a SQLite log store: its tables, its connections, who holds it, and its errors in plain words.

Owns: how the file is made, refused, held, written in transactions and closed. Must not know: what is written, and when.

What takes Python runs on the event loop, on a connection that writes or on one that reads; what takes the disk (a
commit, which waits for it) is one call in a thread. Statements in a thread would compete with the loop for the
interpreter at each row, and lose it for 5 ms each time.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import apsw
from filelock import FileLock, Timeout

from quire.errors import Damaged, HomeError, QuireError
from quire.limits import RELAY_LEAST_DISK
from quire.relay.disk_thread import DiskThread
from quire.relay.log_store import StoreDamaged, StoreGone, StoreReadOnly, StoreUnavailable

_Result = TypeVar("_Result")
MIB = 1024 * 1024

#: What marks a file as a log store ("QRLG" in its header), and the version of its tables.
APPLICATION_ID = 0x5152_4C47
VERSION = 2
#: Page cache of each of the two connections (KiB).
CACHE_KIB = 16_384
#: A commit moves the WAL into the database when it has this many pages of 4 KiB; it stays this large (bytes).
CHECKPOINT_PAGES = 2_048
PAGE_BYTES = 4_096
WAL_BYTES = 16 * 1024 * 1024
BUSY_MS = 5_000
#: What SQLite's file beside an open store (`-shm`) takes at least.
SHARED_KIB = 32

# `log.n` is mailbox * 2^32 + place: the records of a mailbox lie together in the order of its log. `nth` counts the
# records of its device, so that news are two look-ups. `oldest` is when the first record arrived, if it goes by its
# age. `log_device` holds n too, as every index of a rowid table. `served` has the relay's
# public key, once there is one.
SCHEMA = """
CREATE TABLE mailboxes (
    n INTEGER PRIMARY KEY,
    mailbox BLOB NOT NULL UNIQUE,
    length INTEGER NOT NULL,
    chain BLOB NOT NULL,
    floor INTEGER NOT NULL,
    floor_chain BLOB NOT NULL,
    size INTEGER NOT NULL,
    oldest INTEGER
) STRICT;
CREATE TABLE devices (
    n INTEGER PRIMARY KEY,
    mailbox INTEGER NOT NULL REFERENCES mailboxes,
    device BLOB NOT NULL,
    local INTEGER NOT NULL,
    synced INTEGER NOT NULL,
    size INTEGER NOT NULL,
    records INTEGER NOT NULL,
    ever INTEGER NOT NULL,
    UNIQUE (mailbox, device)
) STRICT;
CREATE TABLE log (
    n INTEGER PRIMARY KEY,
    mailbox INTEGER NOT NULL GENERATED ALWAYS AS (n >> 32) VIRTUAL,
    place INTEGER NOT NULL GENERATED ALWAYS AS (n & 4294967295) VIRTUAL,
    device INTEGER NOT NULL REFERENCES devices,
    nth INTEGER NOT NULL,
    local INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    arrived INTEGER NOT NULL,
    scope TEXT NOT NULL,
    sort_key TEXT NOT NULL,
    digest BLOB NOT NULL,
    chain BLOB NOT NULL,
    data BLOB NOT NULL
) STRICT;
CREATE INDEX log_sorted ON log (mailbox, sort_key);
CREATE INDEX log_device ON log (device);
CREATE TABLE totals (mailboxes INTEGER NOT NULL, records INTEGER NOT NULL, size INTEGER NOT NULL) STRICT;
INSERT INTO totals VALUES (0, 0, 0);
CREATE TABLE served (key BLOB NOT NULL) STRICT
"""


class LogFile:
    """The file, held for this process alone: a connection that writes and one that reads.

    `lock` beside the file is what holds it; it is let go of by `close()` and when the process ends in any way.
    """

    def __init__(self, path: Path) -> None:
        """Open or make it. Raises HomeError (held, no rights, not ours, of another version) or Damaged."""
        self.path = path = Path(os.path.realpath(path))  # by whatever links it was named
        self._lock = _hold(path)
        opened: list[apsw.Connection] = []
        try:
            _refuse_hard_links(path)
            try:
                opened.append(_writer(path))
                opened.append(_reader(path))
            except (apsw.Error, UnicodeDecodeError) as error:
                raise refusal(path, error) from error
        except BaseException:
            _close(opened)
            self._lock.release()
            raise
        self._writer, self._reader = opened
        self._names = [f"{path}{ending}" for ending in ("", "-wal", "-shm")]
        #: Which files these names meant when they were opened.
        self._files = [_file_at(name) for name in self._names]
        self._short = False
        self._writing = asyncio.Lock()
        self._thread = DiskThread("relay-store")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[apsw.Connection]:
        """The connection that writes, for whoever's turn it is; what is done is on the disk at the end.

        Raises StoreUnavailable, with nothing done.
        """
        async with self.held() as db:
            self.look_for_files()
            with self.plain_errors(), _rolled_back(db):
                db.execute("BEGIN IMMEDIATE")
                yield db
                await self.in_thread(lambda: db.execute("COMMIT"))

    @asynccontextmanager
    async def held(self) -> AsyncIterator[apsw.Connection]:
        """The connection that writes, outside a transaction, for whoever's turn it is."""
        async with self._writing:
            yield self._writer

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """The connection that reads, at one moment of what is committed. Raises StoreUnavailable for SQLite's errors.

        Nothing may be awaited in here.
        """
        with self.plain_errors():
            self._reader.execute("BEGIN")
            try:
                yield self._reader
            finally:
                if self._reader.in_transaction:  # SQLite may have ended it where the disk fails
                    self._reader.execute("ROLLBACK")

    async def in_thread(self, call: Callable[[], _Result]) -> _Result:
        """Run what waits for the disk while the event loop goes on; never two at once.

        Who is cancelled still waits for its end: the connection is not free before.
        """
        return await self._thread.run(call)

    @contextmanager
    def plain_errors(self) -> Iterator[None]:
        """Raise StoreUnavailable for SQLite's errors."""
        try:
            yield
        except (apsw.Error, UnicodeDecodeError) as error:
            raise _unavailable(error)(in_plain_words(self.path, error)) from error

    def size(self) -> int:
        """Bytes on disk."""
        return sum(part.stat().st_size for part in (self.path, Path(f"{self.path}-wal")) if part.exists())

    def look_for_files(self) -> None:
        """Raise StoreGone where its names do not mean the files that are open any more: what is written to those is
        lost with this process.
        """
        for name, opened in zip(self._names, self._files, strict=True):
            if opened is not None and _file_at(name) != opened:
                raise StoreGone(
                    f"The relay's store {name} was moved, removed or replaced while the relay ran, and nothing more is "
                    "kept. Start the relay again, where the file is gone for good with the latest backup in its place: "
                    "devices hand over again what it lacks."
                )

    def look_for_room(self) -> None:
        """Raise StoreReadOnly where its disk has no room for the next large message, and then until it has twice as
        much, so that it is not one moment this and the next moment that.
        """
        disk = os.statvfs(self.path.parent)
        least = (2 if self._short else 1) * RELAY_LEAST_DISK
        left = disk.f_bavail * disk.f_frsize
        self._short = disk.f_blocks > 0 and left < least
        if self._short:
            raise StoreReadOnly(_nearly_full(self.path, left))

    def close(self) -> None:
        """Let go of it."""
        self._thread.end()
        _close([self._reader, self._writer])
        self._lock.release()


@contextmanager
def _rolled_back(db: apsw.Connection) -> Iterator[None]:
    """Undo the open transaction where something fails."""
    try:
        yield
    except BaseException:
        with suppress(apsw.Error):
            if db.in_transaction:  # a full disk makes SQLite roll back by itself
                db.execute("ROLLBACK")
        raise


def _close(connections: list[apsw.Connection]) -> None:
    for connection in connections:
        with suppress(apsw.Error):  # a disk that fails at this too: all that was acknowledged is in the WAL
            connection.close()


def _hold(path: Path) -> FileLock:
    lock = FileLock(f"{path}.lock", mode=0o600)
    try:
        os.close(
            os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        )  # else it may count as held by another
        lock.acquire(timeout=0)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite would let others read it
    except Timeout:
        raise HomeError(
            f"The relay's store {path} is in use by another relay process. Stop that one, or give this one a "
            "file of its own: only a store on NATS can be shared."
        ) from None
    except OSError as error:
        lock.release()
        raise HomeError(
            f"The relay's store {path} cannot be used: {error.strerror}. Check that its folder exists, has room "
            "and may be written by whoever runs the relay."
        ) from None
    return lock


def _refuse_hard_links(path: Path) -> None:
    if path.stat().st_nlink > 1:
        raise HomeError(
            f"The relay's store {path} has other names too (hard links): SQLite would keep a log beside each, and "
            "two relays could use it at once. Copy it to a file of its own, or remove its other names."
        )


def _file_at(name: str) -> tuple[int, int] | None:
    """Which file it is; None where there is none."""
    try:
        found = os.stat(name)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _writer(path: Path) -> apsw.Connection:
    db = apsw.Connection(str(path))
    try:
        # WAL with synchronous=FULL: a commit returns when it is on the disk (sqlite.org/wal.html).
        for pragma in (
            f"busy_timeout = {BUSY_MS}",
            f"cache_size = -{CACHE_KIB}",
            f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
            f"journal_size_limit = {WAL_BYTES}",
            "secure_delete = FAST",
            "temp_store = MEMORY",
            "trusted_schema = OFF",
            "cell_size_check = ON",
        ):
            db.execute(f"PRAGMA {pragma}")
        if _is_new(path, db):
            # For files without tables alone, and before the next; set again it would write, also to a full disk.
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("PRAGMA journal_mode = WAL")
            with db:
                db.execute(SCHEMA)
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("PRAGMA synchronous = FULL")
    except BaseException:
        _close([db])
        raise
    return db


def _is_new(path: Path, db: apsw.Connection) -> bool:
    """Whether there is nothing in it yet. Raises HomeError where it is not ours, or of another version."""
    made_by, version = db.pragma("application_id"), db.pragma("user_version")
    if made_by == APPLICATION_ID and version == VERSION:
        return False
    if made_by == APPLICATION_ID and version < VERSION:
        raise HomeError(
            f"The relay's store {path} was made by an earlier version of Quire, whose stores this one cannot read. "
            "Nothing was changed. Move it away, and devices hand over again what they have to a new one."
        )
    if made_by == APPLICATION_ID:
        raise HomeError(
            f"The relay's store {path} was written by a newer version of Quire. Install that version or newer; "
            "nothing was changed."
        )
    if made_by or version or db.execute("SELECT 1 FROM sqlite_schema").fetchall():
        raise HomeError(
            f"{path} is a database, but not a relay's store. Give the relay another file; nothing was changed."
        )
    return True


def _reader(path: Path) -> apsw.Connection:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        for pragma in (f"busy_timeout = {BUSY_MS}", f"cache_size = -{CACHE_KIB}", "query_only = 1"):
            db.execute(f"PRAGMA {pragma}")
        db.execute("SELECT * FROM totals").fetchall()
    except BaseException:
        _close([db])
        raise
    return db


def refusal(path: Path, error: apsw.Error | UnicodeDecodeError) -> QuireError:
    """What whoever starts a relay reads when the file cannot be opened."""
    if isinstance(error, apsw.IOError) and getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE:
        return HomeError(
            f"The disk of the relay's store {path} is full: to open it SQLite needs {SHARED_KIB} KiB for a file beside "
            "it. Nothing kept is lost. Free some space and try again."
        )
    kind = Damaged if is_damage(error) else HomeError
    return kind(in_plain_words(path, error))


def in_plain_words(path: Path, error: Exception) -> str:
    """What is wrong with the file, and what to do."""
    if isinstance(error, apsw.FullError):
        return _full(path)
    if is_damage(error):
        return (
            f"The relay's store {path} is damaged ({error}), or no relay's store at all. Stop the relay, keep a copy "
            "of the file as it is, and start from the latest backup: devices send again what it lacks."
        )
    return (
        f"The relay's store {path} cannot be read or written ({error}). Check the disk and the rights of the file "
        "and its folder; the relay goes on by itself once they are right."
    )


def _full(path: Path) -> str:
    return (
        f"The disk of the relay's store {path} is full: nothing more is kept until there is room, and nothing kept "
        "before is lost. Free some space or let less be kept; the relay goes on by itself."
    )


def _nearly_full(path: Path, left: int) -> str:
    return (
        f"The disk of the relay's store {path} is full but for {left / MIB:.1f} MiB, which are for its own work: no "
        f"record is kept until {2 * RELAY_LEAST_DISK / MIB:.0f} MiB are free, and nothing kept before is lost. Free "
        "some space or let less be kept; the relay goes on by itself."
    )


def _unavailable(error: Exception) -> type[StoreUnavailable]:
    if is_damage(error):
        return StoreDamaged
    return StoreReadOnly if isinstance(error, apsw.FullError | apsw.ReadOnlyError) else StoreUnavailable


def is_damage(error: Exception) -> bool:
    """Whether it says that the file's bytes are not what was written."""
    return isinstance(error, apsw.NotADBError | apsw.CorruptError | UnicodeDecodeError | apsw.SQLError)
