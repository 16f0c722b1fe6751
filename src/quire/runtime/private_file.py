"""Files that only their owner can read, written whole or not at all.

Owns: how they are written. Must not know: what is in them.
"""

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from quire.errors import HomeError


def write_private(path: Path, value: object, *, durable: bool = False) -> None:
    """Write JSON that only the owner can read, whole or not at all; `durable` waits for the disk. Raises HomeError."""
    draft = draft_of(path)
    try:
        _write(draft, value, durable)
        draft.replace(path)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        raise _unwritten(path, error) from None


def make_private(path: Path, value: object) -> bool:
    """The same, durable, where there is no such file yet: whether it was made here. Of several processes that make it
    at once one does. Raises HomeError.
    """
    draft = path.with_name(f"{path.name}.{os.urandom(8).hex()}")
    try:
        _write(draft, value, durable=True)
        os.link(draft, path)
        _sync_folder(path.parent)
    except FileExistsError:
        return False
    except OSError as error:
        raise _unwritten(path, error) from None
    finally:
        with suppress(OSError):
            draft.unlink()
    return True


def draft_of(path: Path) -> Path:
    """Where a file is written before it takes its name; a kill may leave it behind."""
    return path.with_suffix(".new")


def _write(draft: Path, value: object, durable: bool) -> None:
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(value))
        if durable:
            file.flush()
            os.fsync(file.fileno())


def _unwritten(path: Path, error: OSError) -> HomeError:
    return HomeError(f"{path} cannot be written: {error.strerror}.")


def _sync_folder(folder: Path) -> None:
    """Without this a power cut may take the new name."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
