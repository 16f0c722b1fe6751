"""Asking for a passphrase on the terminal.

Owns: the prompts. Must not know: what is opened with it.
"""

import sys
from functools import cache
from getpass import getpass

from quire.core.passphrase import check_passphrase
from quire.errors import UserError


def ask(new: bool) -> str:
    """A passphrase, not shown while it is typed; a new one is typed twice.

    Raises UserError where there is no terminal, and when it is none or typed differently.
    """
    if not sys.stdin.isatty():
        does = "A new passphrase is wanted" if new else "This home is locked with a passphrase"
        name = "QUIRE_NEW_PASSPHRASE (for a new home QUIRE_PASSPHRASE)" if new else "QUIRE_PASSPHRASE"
        raise UserError(f"{does}, and there is no terminal to ask on. Set {name}, or run this on a terminal.")
    return _new() if new else _known()


@cache
def _known() -> str:
    """Once in a command's life: `doctor` opens the home twice."""
    return _typed("Passphrase of this home: ")


def _new() -> str:
    first = _typed("New passphrase: ")
    check_passphrase(first)
    if _typed("The same once more: ") != first:
        raise UserError("The two are not the same. Nothing was changed; try again.")
    return first


def _typed(prompt: str) -> str:
    try:
        return getpass(prompt, stream=sys.stderr)
    except EOFError:
        raise UserError("No passphrase was typed. Nothing was changed.") from None
