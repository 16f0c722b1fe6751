"""Wrapping: a key sealed to many X25519 public keys at once, and a message sealed to one.

Owns: the construction and its bytes. Must not know: who the recipients are, or what the keys open.

One ephemeral X25519 key pair serves a whole call. Each box has a key of its own, keyed BLAKE2b over ephemeral
public key ‖ recipient's public key ‖ context under the shared secret (RFC 7748), which seals once by
XChaCha20-Poly1305 with a nonce of zeros. It is the shape of HPKE's base mode (RFC 9180), which has one ephemeral
key for each recipient; `cryptography`'s HPKE takes no randomness as a parameter and so cannot serve here.
The sender stays anonymous: whoever needs to know it signs the event that carries the boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from nacl import bindings
from nacl.exceptions import CryptoError

from quire.core.keys import KEY_BYTES, DeviceKey, derive
from quire.core.sealing import NONCE_BYTES, TAG_BYTES, open_sealed, seal
from quire.errors import BadEvent
from quire.limits import MAX_RECIPIENTS, MAX_SEALED_BYTES

BOX_BYTES = KEY_BYTES + TAG_BYTES
#: Ephemeral public key and tag around a message that is sealed to one key.
SEALED_OVERHEAD = KEY_BYTES + TAG_BYTES

_NONCE = bytes(NONCE_BYTES)  # every key seals one message, so that the nonce may be known
_BOX, _SEALED = "quire wrap box", "quire sealed to"


@dataclass(frozen=True)
class WrapKey:
    """An X25519 key pair that things are wrapped to, made from a device's seed: 32 bytes, or ValueError."""

    seed: bytes = field(repr=False)  # a key must not reach a log through its repr

    def __post_init__(self) -> None:
        if len(self.seed) != KEY_BYTES:
            raise ValueError(f"a seed of {KEY_BYTES} bytes wanted")

    @cached_property
    def private(self) -> bytes:
        """The 32-byte scalar."""
        return derive(self.seed, "quire wrap key")

    @cached_property
    def public(self) -> bytes:
        """The 32-byte public key."""
        return bindings.crypto_scalarmult_base(self.private)


class SigningWrapKey(WrapKey):
    """The X25519 key pair that belongs to the Ed25519 key pair of a seed: for who is known by a signing key alone."""

    @cached_property
    def private(self) -> bytes:
        """The 32-byte scalar."""
        return DeviceKey(self.seed).agreement_private


def is_wrap_public(public: bytes) -> bool:
    """Whether a key can be wrapped to: 32 bytes, and no point of small order (never raises).

    Check keys with this where they come in: one bad key among the recipients makes `wrap` fail for all.
    """
    try:
        return bool(_shared(bytes(KEY_BYTES), public))
    except ValueError:
        return False


def wrap(
    secret: bytes, recipients: Sequence[bytes], ephemeral_seed: bytes, context: bytes
) -> tuple[bytes, list[bytes]]:
    """The ephemeral public key, and for each recipient's public key a box of 48 bytes with the 32-byte secret.

    `ephemeral_seed` is 32 fresh random bytes. Raises ValueError when a size is another, there are more than
    MAX_RECIPIENTS, or a recipient is no usable key.
    """
    if len(secret) != KEY_BYTES or len(recipients) > MAX_RECIPIENTS:
        raise ValueError(f"a secret of {KEY_BYTES} bytes and at most {MAX_RECIPIENTS} recipients wanted")
    private, public = _ephemeral(ephemeral_seed, secret, context)
    return public, [_lock(private, public, recipient, secret, context, _BOX) for recipient in recipients]


def unwrap(box: bytes, ephemeral_public: bytes, key: WrapKey, context: bytes) -> bytes:
    """The secret in a box. Raises BadEvent `cannot-unwrap` when any bit, the key or the context is another."""
    if len(box) != BOX_BYTES:
        raise BadEvent("cannot-unwrap")
    return _unlock(box, ephemeral_public, key, context, _BOX)


def seal_to(public: bytes, data: bytes, ephemeral_seed: bytes, context: bytes) -> bytes:
    """`ephemeral public key ‖ ciphertext` of data, at most MAX_SEALED_BYTES, for the holder of one key.

    `ephemeral_seed` is 32 fresh random bytes. Raises ValueError when the data is too long or the key unusable.
    """
    if len(data) > MAX_SEALED_BYTES:
        raise ValueError(f"at most {MAX_SEALED_BYTES} bytes can be sealed")
    private, ephemeral = _ephemeral(ephemeral_seed, data, context)
    return ephemeral + _lock(private, ephemeral, public, data, context, _SEALED)


def open_from(sealed: bytes, key: WrapKey, context: bytes) -> bytes:
    """The data that was sealed to a key. Raises BadEvent `too-large` or `cannot-unwrap`."""
    if len(sealed) > MAX_SEALED_BYTES + SEALED_OVERHEAD:
        raise BadEvent("too-large")
    return _unlock(sealed[KEY_BYTES:], sealed[:KEY_BYTES], key, context, _SEALED)


def _ephemeral(seed: bytes, data: bytes, context: bytes) -> tuple[bytes, bytes]:
    if len(seed) != KEY_BYTES:
        raise ValueError(f"a seed of {KEY_BYTES} bytes wanted")
    # The data goes in too, so that a seed used twice by mistake never seals two things under one key.
    private = derive(seed, "quire ephemeral", data + context)
    return private, bindings.crypto_scalarmult_base(private)


def _shared(private: bytes, public: bytes) -> bytes:
    if len(public) != KEY_BYTES:
        raise ValueError("not a usable public key")
    try:
        return bindings.crypto_scalarmult(private, public)  # refuses points of small order
    except CryptoError:
        raise ValueError("not a usable public key") from None


def _box_key(shared: bytes, ephemeral: bytes, recipient: bytes, context: bytes, purpose: str) -> bytes:
    return derive(shared, purpose, ephemeral + recipient + context)


def _lock(
    private: bytes, ephemeral: bytes, recipient: bytes, data: bytes, context: bytes, purpose: str
) -> bytes:
    key = _box_key(_shared(private, recipient), ephemeral, recipient, context, purpose)
    return seal(key, _NONCE, data, b"")[NONCE_BYTES:]


def _unlock(box: bytes, ephemeral: bytes, key: WrapKey, context: bytes, purpose: str) -> bytes:
    try:
        shared = _shared(key.private, ephemeral)
        return open_sealed(_box_key(shared, ephemeral, key.public, context, purpose), _NONCE + box, b"")
    except (ValueError, CryptoError):
        raise BadEvent("cannot-unwrap") from None
