"""What is done to a SQLite log store from beside, also while a relay holds it: figures, copies, giving space back.

Owns: connections that never write a record. Must not know: the relay that runs, if one does.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw

from quire.errors import Damaged, HomeError, QuireError
from quire.limits import RELAY_STEP_PAGES
from quire.relay import sqlite_copy, sqlite_reads
from quire.relay.log_store import Usage
from quire.relay.sqlite_file import (
    APPLICATION_ID,
    BUSY_MS,
    PAGE_BYTES,
    VERSION,
    refusal,
)


def usage(path: Path) -> Usage:
    """What the store holds. Raises HomeError, Damaged."""
    with _opened(path) as db:
        return Usage(*sqlite_reads.totals(db), _size(path))


def compact(path: Path) -> int:
    """Give all space that nothing uses back to the disk, in short steps that let a relay write in between; how
    many bytes that were. Raises HomeError, and Damaged before anything is moved.
    """
    before = _size(path)
    with _opened(path) as db, _room_for_it(path):
        if (found := sqlite_copy.broken_pages(db)) is not None:
            raise Damaged(
                f"The relay's store {path} is damaged ({found}), and was left as it is. Stop the relay, keep a copy of "
                "the file, and start from the latest backup: devices send again what it lacks."
            )
        while (free := db.pragma("freelist_count")) > 0:
            db.execute(f"PRAGMA incremental_vacuum({RELAY_STEP_PAGES})").fetchall()
            if db.pragma("freelist_count") >= free:
                break
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return max(before - _size(path), 0)


@contextmanager
def _room_for_it(path: Path) -> Iterator[None]:
    try:
        yield
    except apsw.FullError:
        log = Path(f"{path}-wal")
        needed = (log.stat().st_size if log.exists() else 0) + RELAY_STEP_PAGES * PAGE_BYTES
        raise HomeError(
            f"The disk of the relay's store {path} is full, and to make the store smaller takes some room first. Free "
            f"{needed:,} bytes on it in another way, and try again. Nothing kept is lost."
        ) from None


def copy(path: Path, to: Path) -> int:
    """A consistent copy, whole or not at all, as of its beginning; its bytes. Raises HomeError, Damaged."""
    with _opened(path) as db, sqlite_copy.begun(path, to) as part:
        _copy(db, part)
        sqlite_copy.check(path, part)
        sqlite_copy.finish(part, to)
    return to.stat().st_size


def _copy(db: apsw.Connection, part: Path) -> None:
    """All pages in one go, inside one read transaction: else each commit of the relay would begin it anew."""
    with closing(apsw.Connection(str(part))) as target:
        target.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
        with db, target.backup("main", db, "main") as copying:
            db.execute("SELECT * FROM totals").fetchall()
            while not copying.done:
                copying.step(-1)


@contextmanager
def _opened(path: Path) -> Iterator[apsw.Connection]:
    if not path.is_file():
        raise HomeError(f"There is no relay's store at {path}. Name it as `sqlite:PATH`.")
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as db:
            db.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            if (db.pragma("application_id"), db.pragma("user_version")) != (APPLICATION_ID, VERSION):
                raise HomeError(f"{path} is no relay's store of this version of Quire. Nothing was changed.")
            yield db
    except QuireError:
        raise
    except (apsw.Error, UnicodeDecodeError) as error:
        raise refusal(path, error) from None


def _size(path: Path) -> int:
    return sum(part.stat().st_size for part in (path, Path(f"{path}-wal")) if part.exists())
