"""Files that a command is told to write: whether they can be is found out before its work, and they are whole.

Owns: trying a path, writing beside it, and what is said when that fails. Must not know: what is written.
"""

import os
from contextlib import suppress
from pathlib import Path

from quire.errors import HomeError, UserError, why


def check_writable(path: Path) -> None:
    """Raises UserError where it can be seen already that no file can be written there."""
    try:
        where = path.resolve()
        if where.exists() and not where.is_file():
            raise UserError(f"{path} cannot be written: it is there, and no file. Name another.")
        if not where.parent.is_dir():
            raise UserError(f"{path} cannot be written: name a file in a folder that exists.")
        shut = [one for one in (where.parent, where) if one.exists() and not os.access(one, os.W_OK)]
    except (OSError, RuntimeError) as error:  # a name that is too long, links in a circle
        raise UserError(f"{path} cannot be written ({error}): name another file.") from None
    if shut:
        raise UserError(f"{path} cannot be written: {shut[0]} is not yours to write in. Name another file.")


def write_whole(path: Path, text: str, what: str) -> None:
    """Write a text, whole or not at all. Raises HomeError, which calls it `what`."""
    where = path.resolve()
    draft = where.with_name(f".{os.getpid()}.new")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(where)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise HomeError(f"{what} could not be written to {path}: {why(error)}.") from None
