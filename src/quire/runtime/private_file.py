"""Files that only their owner can read, written whole or not at all.

Owns: how they are written. Must not know: what is in them.
"""

import os
from pathlib import Path

import msgspec

from quire.errors import HomeError


def write_private(path: Path, value: object, *, durable: bool = False) -> None:
    """Write JSON that only the owner can read, whole or not at all; `durable` waits for the disk. Raises HomeError."""
    draft = draft_of(path)
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(value))
            if durable:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        raise HomeError(f"{path} cannot be written: {error.strerror}.") from None


def draft_of(path: Path) -> Path:
    """Where a file is written before it takes its name; a kill may leave it behind."""
    return path.with_suffix(".new")


def _sync_folder(folder: Path) -> None:
    """Without this a power cut may take the new name."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
