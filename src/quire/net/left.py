"""What devices leave for each other at a relay that is no event: letters, and welcomes for who has an invite's link.

Owns: their bytes, and who can open them. Must not know: what letters say, relays.

They lie in the mailbox of a door, which whoever has the door's key can open: a space's members and those who have a
link to it, or the devices of one identity. A letter to one device is sealed once more, so that it alone can open it,
and knows who wrote it; a letter to nobody in particular is for whoever opens the mailbox.
"""

import msgspec
from nacl.exceptions import CryptoError

from quire.core.keys import KEY_BYTES, DeviceKey, derive
from quire.core.sealing import open_sealed, seal
from quire.errors import BadEvent
from quire.limits import MAX_LEFT_BYTES


class Letter(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=1, frozen=True):
    """From one device to another (`to` is b"" for anybody); `body` is sealed between the two, if there are two."""

    sender: bytes
    to: bytes
    body: bytes


class Ahead(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=2, frozen=True):
    """A welcome for whoever holds the secret of the invite with this public key, with the key called `key_name`."""

    invite: bytes
    key_name: bytes
    sealed: bytes


Left = Letter | Ahead
_decoder: msgspec.msgpack.Decoder[Left] = msgspec.msgpack.Decoder(Left)


def pack(left: Left) -> bytes:
    """Its bytes."""
    return msgspec.msgpack.encode(left)


def unpack(data: bytes) -> Left:
    """What was left. Raises BadEvent `bad-letter`."""
    if len(data) > MAX_LEFT_BYTES:
        raise BadEvent("bad-letter")
    try:
        left = _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError):
        raise BadEvent("bad-letter") from None
    keys = (left.sender, left.to) if isinstance(left, Letter) else (left.invite,)
    if len(keys[0]) != KEY_BYTES or any(len(key) not in (0, KEY_BYTES) for key in keys):
        raise BadEvent("bad-letter")
    return left


def seal_letter(sender: DeviceKey, to: bytes, body: bytes, nonce: bytes, space_id: bytes) -> Letter:
    """A letter from this device to another one (public key, or b"" for anybody); `nonce` is 24 fresh random bytes.

    Raises ValueError when `to` is no usable key.
    """
    if to:
        body = seal(_key(sender, to), nonce, body, _context(sender.public, to, space_id))
    return Letter(sender.public, to, body)


def open_letter(letter: Letter, own: DeviceKey, space_id: bytes) -> bytes:
    """What a letter says, to its recipient or its sender. Raises BadEvent `bad-letter`."""
    if not letter.to:
        return letter.body
    other = letter.sender if letter.to == own.public else letter.to
    try:
        key = _key(own, other)
        return open_sealed(key, letter.body, _context(letter.sender, letter.to, space_id))
    except (CryptoError, ValueError):
        raise BadEvent("bad-letter") from None


def _key(own: DeviceKey, other: bytes) -> bytes:
    return derive(own.agree(other), "quire left")


def _context(sender: bytes, to: bytes, space_id: bytes) -> bytes:
    return b"quire letter 1" + space_id + sender + to
