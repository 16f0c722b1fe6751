"""Key pairs and key derivation: Ed25519 to sign, X25519 to agree, keyed BLAKE2b to derive.

Owns: the meaning of key bytes. Must not know: where keys are kept, or where randomness comes from.
"""

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b

from nacl import _sodium, bindings
from nacl.exceptions import CryptoError

from quire.core.encoding import to_text

KEY_BYTES = 32
SIGNATURE_BYTES = 64


@dataclass(frozen=True)
class DeviceKey:
    """A device's Ed25519 key pair, made from its 32-byte seed."""

    seed: bytes = field(repr=False)  # a key must not reach a log through its repr

    @cached_property
    def _pair(self) -> tuple[bytes, bytes]:
        return bindings.crypto_sign_seed_keypair(self.seed)

    @property
    def public(self) -> bytes:
        """The 32-byte public key."""
        return self._pair[0]

    @cached_property
    def text(self) -> str:
        """The public key as text: the device's name in events and relations."""
        return to_text(self.public)

    def sign(self, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature (RFC 8032) of a message."""
        # libsodium called directly: PyNaCl's wrapper adds a quarter to the time of every append (measured).
        signed = _sodium.ffi.new("unsigned char[]", SIGNATURE_BYTES + len(message))
        _sodium.lib.crypto_sign(signed, _sodium.ffi.NULL, message, len(message), self._pair[1])
        return bytes(_sodium.ffi.buffer(signed, SIGNATURE_BYTES))

    def agree(self, other_public: bytes) -> bytes:
        """The 32-byte X25519 secret shared with another device's Ed25519 public key.

        Raises ValueError when `other_public` is no usable key.
        """
        try:
            return bindings.crypto_scalarmult(self.agreement_private, agreement_public(other_public))
        except CryptoError as error:
            raise ValueError("not a usable public key") from error

    @property
    def agreement_private(self) -> bytes:
        """The X25519 private key that belongs to this key pair (32 bytes)."""
        return bindings.crypto_sign_ed25519_sk_to_curve25519(self._pair[1])


def agreement_public(public: bytes) -> bytes:
    """The X25519 public key that belongs to an Ed25519 one (32 bytes). Raises ValueError when it is no usable key."""
    try:
        return bindings.crypto_sign_ed25519_pk_to_curve25519(public)
    except (CryptoError, TypeError) as error:
        raise ValueError("not a usable public key") from error


def is_usable(public: bytes) -> bool:
    """Whether something can be agreed with, and sealed to, the holder of an Ed25519 public key (never raises).

    Check keys with this where they come in from others.
    """
    try:
        return bool(agreement_public(public))
    except ValueError:
        return False


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is `public`'s Ed25519 signature of `message` (never raises)."""
    if len(signature) != SIGNATURE_BYTES or len(public) != KEY_BYTES:
        return False
    try:
        bindings.crypto_sign_open(signature + message, public)
    except CryptoError:
        return False
    return True


def as_content(key: bytes) -> bytes:
    """A key for content, of 32 random or derived bytes: its last bit is 0.

    By that bit anybody who holds a key can tell what it is for, whoever handed it on, and whatever they called it.
    """
    return key[:-1] + bytes((key[-1] & ~1,))


def as_control(key: bytes) -> bytes:
    """A key for the membership graph: its last bit is 1."""
    return key[:-1] + bytes((key[-1] | 1,))


def is_content(key: bytes) -> bool:
    """Whether a key (32 bytes) is for content; else it is for the membership graph."""
    return not key[-1] & 1


def derive(key: bytes, purpose: str, context: bytes = b"", length: int = KEY_BYTES) -> bytes:
    """A subkey for one purpose: keyed BLAKE2b (RFC 7693), purposes never collide (at most 16 bytes)."""
    return blake2b(context, key=key, person=purpose.encode().ljust(16, b"\0"), digest_size=length).digest()
