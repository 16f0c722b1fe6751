"""Sealed bodies: an event's own fields under a key of their own, which is sealed under keys of audiences.

Owns: the construction, what is bound to it, and the padding. Must not know: who holds which key.

Body and wrapped body key are bound to the space and the author's device, so that nobody can pass another's body
off as their own; the body to its type as well, and the wrapped key to the audience. Bodies are padded with
spaces, which end no JSON object: to 256 bytes, above that to Padmé's sizes (Nikitin et al., PETS 2019), which
tell of a length no more than its order of magnitude, for at most 12 % more.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from nacl.exceptions import CryptoError

from quire.core.encoding import from_text, to_text
from quire.core.event import Event, SealedEvent
from quire.core.keys import KEY_BYTES
from quire.core.sealing import NONCE_BYTES, open_sealed, seal
from quire.errors import BadEvent
from quire.limits import MIN_SEALED_BODY


class AudienceKey(NamedTuple):
    """A key of the audience made by event `audience` (32 bytes), its public name, and its 32 bytes."""

    audience: bytes
    name: str
    key: bytes


def randomness_size(keys: int) -> int:
    """How many random bytes `seal_body` takes for a body sealed under so many keys."""
    return KEY_BYTES + NONCE_BYTES * (1 + keys)


def seal_body(
    data: bytes, space_id: bytes, header: Event, keys: Sequence[AudienceKey], randomness: bytes
) -> SealedEvent:
    """The event of `header` with the fields in `data` (canonical JSON) sealed under each key.

    `space_id` is 32 bytes, `randomness` fresh, `randomness_size(len(keys))` bytes.
    """
    if len(randomness) != randomness_size(len(keys)):
        raise ValueError(f"{randomness_size(len(keys))} random bytes wanted")
    body_key, nonces = randomness[:KEY_BYTES], randomness[KEY_BYTES:]
    author = _raw_key(header.author)
    body = seal(body_key, nonces[:NONCE_BYTES], _padded(data), _body_context(space_id, author, header))
    wrapped = {}
    for place, key in enumerate(keys, 1):
        nonce = nonces[place * NONCE_BYTES : (place + 1) * NONCE_BYTES]
        wrapped[key.name] = to_text(seal(key.key, nonce, body_key, _key_context(space_id, author, key)))
    return SealedEvent(
        type=header.type,
        v=header.v,
        ts=header.ts,
        author=header.author,
        seq=header.seq,
        prev=header.prev,
        sealed=to_text(body),
        keys=wrapped,
    )


def open_body(event: SealedEvent, space_id: bytes, key: AudienceKey) -> bytes:
    """The canonical JSON of an event's fields. Raises BadEvent `cannot-open`, also for a key that it does not name."""
    try:
        author = _raw_key(event.author)
        wrapped = from_text(event.keys[key.name])
        body_key = open_sealed(key.key, wrapped, _key_context(space_id, author, key))
        body = open_sealed(body_key, from_text(event.sealed), _body_context(space_id, author, event))
    except (CryptoError, ValueError, KeyError):
        raise BadEvent("cannot-open") from None
    return body.rstrip(b" ")


@lru_cache(maxsize=256)  # asked for every body, of few authors
def _raw_key(text: str) -> bytes:
    return from_text(text, KEY_BYTES)


def _body_context(space_id: bytes, author: bytes, event: Event) -> bytes:
    return b"quire body 1" + space_id + author + f"{event.type} {event.v}".encode()


def _key_context(space_id: bytes, author: bytes, key: AudienceKey) -> bytes:
    return b"quire body key 1" + space_id + author + key.audience


def _padded(data: bytes) -> bytes:
    return data.ljust(padded_size(len(data)))


def padded_size(size: int) -> int:
    """The number of bytes that a body of `size` bytes is padded to."""
    if size <= MIN_SEALED_BODY:
        return MIN_SEALED_BODY
    exponent = size.bit_length() - 1
    mask = (1 << exponent - exponent.bit_length()) - 1
    return (size + mask) & ~mask
