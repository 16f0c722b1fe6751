"""What a copy of a SQLite log store has to be before it gets its name: whole, and on the disk.

Owns: how a copy is looked at, and why there is none, in plain words. Must not know: how it is made, who wants it.
"""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from errno import ENOSPC
from pathlib import Path

import apsw

from quire.errors import Damaged, HomeError
from quire.relay.sqlite_chain import broken_at
from quire.relay.sqlite_file import is_damage, refusal


@contextmanager
def begun(path: Path, to: Path) -> Iterator[Path]:
    """An empty file in which the copy of the store at `path` is to be made; it is gone at the end.

    Raises HomeError where there is something at `to`, or the copy cannot be written, Damaged where the store is.
    """
    if os.path.lexists(to):  # it may be a relay's key, or the one good copy
        raise HomeError(
            f"{to} is there already, and a copy replaces nothing. Choose another name, or move that away first."
        )
    part = Path(f"{to}.part")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_RDWR | os.O_CREAT, 0o600))
        yield part
    except apsw.Error as error:
        raise (refusal(path, error) if is_damage(error) else _unwritten(to, error)) from None
    except OSError as error:
        raise _unwritten(to, error) from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def check(path: Path, part: Path) -> None:
    """Look through the whole copy of the store at `path`: some seconds for each GB and million records. Raises
    Damaged.
    """
    whole = f"{part.absolute().as_uri()}?immutable=1"  # without files beside it
    with closing(apsw.Connection(whole, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)) as db:
        found = broken_pages(db) or broken_at(db)
    if found is not None:
        raise Damaged(
            f"The relay's store {path} is damaged: its copy is not whole ({found}), and was not kept. Hold on to "
            "earlier copies. Stop the relay, keep the file as it is, and start from the latest copy: devices send "
            "again what it lacks."
        )


def broken_pages(db: apsw.Connection) -> str | None:
    """What SQLite's own check finds first, in its words, on one line; None where all is well."""
    try:
        found = str(db.execute("PRAGMA integrity_check(1)").get)
    except (apsw.Error, UnicodeDecodeError) as error:
        if not is_damage(error):
            raise
        found = str(error)
    return None if found == "ok" else " ".join(found.split())


def finish(part: Path, to: Path) -> None:
    """Give the copy its name, once it is on the disk."""
    _sync(part)
    os.replace(part, to)
    _sync(to.parent)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _unwritten(to: Path, error: OSError | apsw.Error) -> HomeError:
    if isinstance(error, apsw.FullError) or getattr(error, "errno", None) == ENOSPC:
        return HomeError(
            f"The copy {to} could not be written: its disk is full. Choose a disk that has room for all of the store; "
            "the relay's store is as it was."
        )
    return HomeError(
        f"The copy {to} could not be written: {getattr(error, 'strerror', None) or error}. Check that its folder "
        "exists and may be written; the relay's store is as it was."
    )
