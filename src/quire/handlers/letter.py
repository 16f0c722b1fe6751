"""What a letter holds, read from the bytes that another device sent: anybody who has a link can send any.

Owns: refusing what is none of a kind. Must not know: which kinds there are.
"""

from typing import TypeVar

import msgspec

from quire.errors import BadEvent

_Said = TypeVar("_Said")


def read_letter(body: bytes, kind: type[_Said]) -> _Said:
    """What a letter's body says, as a `kind`. Raises BadEvent `bad-letter`."""
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadEvent("bad-letter") from None
