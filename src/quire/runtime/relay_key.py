"""A relay's key: an Ed25519 seed in a file that only its owner can read, and that its store is served under no other.

Owns: where the file lies, how it is made, when it is the right one. Must not know: what is signed with it.
"""

import os
from pathlib import Path

import msgspec

from quire.core.encoding import from_text, to_text
from quire.core.keys import KEY_BYTES, DeviceKey
from quire.errors import HomeError, UserError
from quire.relay.log_store import LogStore, StoreUnavailable
from quire.relay.stores import sqlite_path
from quire.runtime.private_file import make_private

_ANEW = (
    "with another key devices take this for another relay. Where it is lost, this begins with a new one, whose address "
    "then has to be added again in every space:  "
)


class KeyFile:
    """Of the store at an address: the file named, else the one beside a SQLite store."""

    def __init__(self, store: str, file: str) -> None:
        """Raises UserError where a store on NATS comes without a file: all processes of a relay share one key."""
        beside = sqlite_path(store)
        if not file and beside is None:
            raise UserError(
                "Several processes can share a store on NATS, and all have the same key: name its file with --key."
            )
        self._path = Path(file).expanduser() if file else Path(f"{beside}.key")
        self._store = store
        #: Whether the key was there before the store was: that may have been lost, or be another than was meant.
        self.is_older = False
        self._anew = f"quire relay serve --store {store}{f' --key {file}' if file else ''} --new-key"

    async def key(self, store: LogStore, anew: bool) -> DeviceKey:
        """The relay's key, made on its first start; `anew`: also over a store that was served under another.

        Raises HomeError where the file cannot be had, or is not the one that the store was served under.
        """
        try:
            return await self._agreed(store, anew)
        except StoreUnavailable as error:
            raise HomeError(str(error)) from error

    async def _agreed(self, store: LogStore, anew: bool) -> DeviceKey:
        known, made = await store.served_under(), False
        if not self._path.exists():
            if not anew and (known is not None or (await store.usage()).mailboxes):
                raise self._missing()
            made = make_private(self._path, to_text(os.urandom(KEY_BYTES)))
        key = self._read()
        self.is_older = known is None and not made
        if known != key.public and (known is None or anew):
            known = await store.serve_under(key.public, known)  # or another process was faster
        if known != key.public:
            if made:
                self._path.unlink()
            raise self._other(key)
        return key

    def _read(self) -> DeviceKey:
        try:
            return DeviceKey(from_text(msgspec.json.decode(self._path.read_bytes(), type=str), KEY_BYTES))
        except OSError as error:
            raise HomeError(f"The relay's key {self._path} cannot be read: {error.strerror}.") from None
        except (msgspec.DecodeError, UnicodeError, ValueError):
            raise HomeError(
                f"{self._path} holds no key of a relay. Put a copy of the right file back, or name it right: {_ANEW}"
                f"rm {self._path} && {self._anew}"
            ) from None

    def _missing(self) -> HomeError:
        return HomeError(
            f"There is no key {self._path}, and the store {self._store} was served under one: its file was moved or "
            "removed, or --key or --store names another place than before. Put the file back, or name it right: "
            f"{_ANEW}{self._anew}"
        )

    def _other(self, key: DeviceKey) -> HomeError:
        return HomeError(
            f"{self._path} holds the key {to_text(key.public)}, and the store {self._store} was served under another: "
            "the file was replaced, or --key or --store names another place than before. Put the right file back, or "
            f"name it right: {_ANEW}{self._anew}"
        )
