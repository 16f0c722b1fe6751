"""Where a run keeps its devices' homes: a folder that is gone when the run is, whatever ended it.

Owns: temporary folders, those that a killed run left behind, and whether there is room. Must not know: what is in them.
"""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from quire.errors import HomeError, UserError, is_disk_full, why

_PREFIX = "quire-sim-"
#: Held (flock) as long as whoever made the folder lives.
_LOCK = "lock"
#: Bytes: with less, a device's next write may fail.
_LITTLE = 4 << 20


class NoRoom(HomeError):
    """The homes of a run cannot be kept where they should be: nothing is known of the product."""


@contextmanager
def temporary_homes() -> Iterator[Path]:
    """A new folder. Those of runs that were killed are removed. Raises NoRoom."""
    folder = lock = None
    try:
        sweep()
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = _locked(folder)
    except OSError as error:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        raise NoRoom(
            f"No folder for the simulated homes could be made: {why(error)}. Name another place for it with TMPDIR."
        ) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextmanager
def kept_homes(folder: Path) -> Iterator[None]:
    """Homes are kept in a new or empty folder, for their owner alone, as others are. Raises UserError."""
    # Whoever makes files in here, SQLite too, goes by it.
    umask = os.umask(0o077)
    try:
        _take(folder)
        yield
    finally:
        os.umask(umask)


def _take(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
        is_ours = os.access(folder, os.W_OK | os.X_OK)
    except OSError as error:
        raise UserError(
            f"The simulation cannot be kept in {folder} ({error.strerror}): name another folder."
        ) from None
    if not is_empty:
        raise UserError(f"{folder} is not empty. Name a new folder to keep the simulation in.")
    if not is_ours:
        raise UserError(f"{folder} is not yours to write in. Name a new folder to keep the simulation in.")


def sweep() -> None:
    """Remove the folders of ours whose owners are gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if _is_ours(folder.lstat(), stat.S_ISDIR):
                _remove_if_left(folder)


def is_nearly_full(folder: Path) -> bool:
    """Whether the next write there may find no room."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, _LITTLE)
    except OSError as error:
        return is_disk_full(error)
    return False


def no_room(folder: Path) -> NoRoom:
    """What to raise when it is so, and something went wrong."""
    return NoRoom(
        f"The disk is full under the simulated homes ({folder}), so this run says nothing of Quire. Make room there, "
        "or name another folder (TMPDIR, or that of --keep)."
    )


def _locked(folder: Path) -> int:
    # It takes its name when it is locked: nobody finds it free meanwhile.
    draft = folder / f"{_LOCK}.new"
    lock = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    draft.rename(folder / _LOCK)
    return lock


def _remove_if_left(folder: Path) -> None:
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_ours(os.fstat(lock), stat.S_ISREG):
            shutil.rmtree(folder)
    finally:
        os.close(lock)


def _is_ours(found: os.stat_result, kind: Callable[[int], bool]) -> bool:
    return found.st_uid == os.getuid() and kind(found.st_mode)
