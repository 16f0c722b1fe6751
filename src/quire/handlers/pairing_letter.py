"""What two devices say to each other while one is linked: letters of at most MAX_LETTER_BYTES.

Owns: their bytes. Keys and signatures travel raw; a chain of certificates goes one by one, so that each letter
fits one datagram however long the chain is.
"""

from collections.abc import Sequence

import msgspec

from quire.core.certificate import Certificate
from quire.core.encoding import from_text, to_text
from quire.errors import BadEvent
from quire.handlers.letter import read_letter
from quire.limits import MAX_CHAIN

#: new → old: a commitment; and what was committed to. old → new: its nonce; the identity; one certificate; no.
COMMIT, REVEAL, NONCE, IDENTITY, CERTIFICATE, VOID = b"A", b"C", b"B", b"T", b"L", b"V"


class Nonce(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The old device's nonce (32 bytes), and the identity that it would link to (32 bytes)."""

    nonce: bytes
    identity: bytes


class Reveal(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What the new device committed to, and what it takes to bring it into spaces."""

    nonce: bytes
    wrap: bytes
    consent: bytes
    name: str


class Introduction(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The identity: its name, how many certificates follow, the siblings' door, and the old device itself."""

    name: str
    links: int
    door_id: bytes
    door_key: bytes
    wrap: bytes
    consent: bytes
    device_name: str


def pack(letter: msgspec.Struct) -> bytes:
    """A letter's body."""
    return msgspec.msgpack.encode(letter)


def pack_certificates(chain: Sequence[Certificate]) -> list[bytes]:
    """Each certificate as the body of a letter of its own."""
    return [
        msgspec.msgpack.encode([place, *(from_text(value) for value in (one.device, one.wrap, one.sig))])
        for place, one in enumerate(chain)
    ]


def unpack_nonce(body: bytes) -> Nonce:
    """Raises BadEvent `bad-letter`."""
    found = read_letter(body, Nonce)
    _check(found.nonce, found.identity)
    return found


def unpack_reveal(body: bytes) -> Reveal:
    """Raises BadEvent `bad-letter`."""
    found = read_letter(body, Reveal)
    _check(found.nonce, found.wrap)
    return found


def unpack_introduction(body: bytes) -> Introduction:
    """Raises BadEvent `bad-letter`."""
    found = read_letter(body, Introduction)
    _check(found.door_id, found.door_key, found.wrap)
    if not 1 <= found.links <= MAX_CHAIN:
        raise BadEvent("bad-letter")
    return found


def unpack_certificate(body: bytes) -> tuple[int, tuple[str, str, str]]:
    """The place of a certificate in its chain, and its device, wrap key and signature. Raises BadEvent `bad-letter`."""
    place, device, wrap, sig = read_letter(body, tuple[int, bytes, bytes, bytes])
    return place, (to_text(device), to_text(wrap), to_text(sig))


def _check(*keys: bytes) -> None:
    if any(len(key) != 32 for key in keys):
        raise BadEvent("bad-letter")
