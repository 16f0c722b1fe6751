"""The file of a relay's key: an Ed25519 seed that only its owner can read.

Owns: where it lies and how it is made. Must not know: what is signed with it.
"""

import os
from pathlib import Path

import msgspec

from quire.core.encoding import from_text, to_text
from quire.core.keys import KEY_BYTES, DeviceKey
from quire.errors import HomeError, UserError
from quire.relay.stores import sqlite_path
from quire.runtime.private_file import write_private


def relay_key(store: str, file: str) -> DeviceKey:
    """The relay's key, made on its first start.

    Raises UserError where a store on NATS comes without a file (all processes of a relay share one key), HomeError
    where the file cannot be had.
    """
    if file:
        path = Path(file).expanduser()
    elif (beside := sqlite_path(store)) is not None:
        path = Path(f"{beside}.key")
    else:
        raise UserError(
            "Several processes can share a store on NATS, and all have the same key: name its file with --key."
        )
    if not path.exists():
        write_private(path, to_text(os.urandom(KEY_BYTES)), durable=True)
    try:
        return DeviceKey(from_text(msgspec.json.decode(path.read_bytes(), type=str), KEY_BYTES))
    except OSError as error:
        raise HomeError(f"The relay's key {path} cannot be read: {error.strerror}.") from None
    except (msgspec.DecodeError, UnicodeError, ValueError):
        raise HomeError(
            f"{path} holds no key of a relay. Put a copy of the right file back: with another key devices take this "
            "for another relay."
        ) from None
