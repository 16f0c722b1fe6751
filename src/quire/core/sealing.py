"""Blobs: `nonce ‖ ciphertext` under XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha).

Owns: how event bytes are sealed for a space, and what is bound to them. Must not know: stores, peers.
"""

from collections.abc import Iterable

from nacl import _sodium
from nacl.exceptions import CryptoError

from quire.core.keys import derive
from quire.errors import BadEvent
from quire.limits import BLOB_OVERHEAD, MAX_BLOB_BYTES, MAX_EVENT_BYTES

NONCE_BYTES = 24
TAG_BYTES = 16
KEY_ID_BYTES = 8

# PyNaCl's own wrappers spend twice the cipher's time on checks and copies (4.3 µs a call against
# 1.6 µs for a 400-byte event, measured), and every event passes here: so its libsodium is called directly.
_lib = _sodium.lib
_ffi = _sodium.ffi
_NULL = _ffi.NULL
_BYTES = _ffi.typeof("unsigned char[]")
_scratch = _ffi.new_allocator(should_clear_after_alloc=False)


def key_id(key: bytes) -> bytes:
    """The 8-byte public name of an epoch key; it travels beside the blob and tells nothing of the key."""
    return derive(key, "quire key id", length=KEY_ID_BYTES)


def blob_context(space_id: bytes, key_name: bytes) -> bytes:
    """What is bound to every blob as associated data: version, space and key id."""
    return b"quire blob 1" + space_id + key_name


def seal(key: bytes, nonce: bytes, data: bytes, context: bytes) -> bytes:
    """`nonce ‖ ciphertext` of `data`; the 24-byte nonce must be fresh and random, the key 32 bytes."""
    if len(nonce) != NONCE_BYTES or len(key) != 32:
        raise ValueError("nonce of 24 bytes and key of 32 bytes wanted")
    size = len(data) + TAG_BYTES
    out = _ffi.new(_BYTES, size)
    _lib.crypto_aead_xchacha20poly1305_ietf_encrypt(
        out, _NULL, data, len(data), context, len(context), _NULL, nonce, key
    )
    sealed: bytes = _ffi.buffer(out, size)[:]
    return nonce + sealed


def open_sealed(key: bytes, blob: bytes, context: bytes) -> bytes:
    """The data in a blob. Raises CryptoError when key, context or any bit of the blob is another."""
    size = len(blob) - BLOB_OVERHEAD
    if size < 0 or len(key) != 32:
        raise CryptoError("not a sealed blob")
    out = _ffi.new(_BYTES, size + 1)
    nonce = blob[:NONCE_BYTES]
    body = blob[NONCE_BYTES:]
    if _lib.crypto_aead_xchacha20poly1305_ietf_decrypt(
        out, _NULL, _NULL, body, len(body), context, len(context), nonce, key
    ):
        raise CryptoError("wrong key or altered bytes")
    data: bytes = _ffi.buffer(out, size)[:]
    return data


def open_blobs(sealed: Iterable[tuple[bytes, bytes, bytes]]) -> list[bytes | None]:
    """The event bytes in blobs of at most MAX_BLOB_BYTES, given as (key, blob, context); None for what does not open.

    They share one buffer, which a call for each would spend a third of its time on.
    """
    out = _scratch(_BYTES, MAX_EVENT_BYTES)
    written = _ffi.buffer(out)
    found: list[bytes | None] = []
    for key, blob, context in sealed:
        size = len(blob) - BLOB_OVERHEAD
        if not 0 <= size <= MAX_EVENT_BYTES or len(key) != 32:
            found.append(None)
            continue
        body = blob[NONCE_BYTES:]  # and the nonce is what the blob begins with
        wrong = _lib.crypto_aead_xchacha20poly1305_ietf_decrypt(
            out, _NULL, _NULL, body, len(body), context, len(context), blob, key
        )
        found.append(None if wrong else written[:size])
    return found


def open_blob(key: bytes, blob: bytes, context: bytes) -> bytes:
    """The event bytes in a blob. Raises BadEvent `too-large` or `cannot-open`."""
    if len(blob) > MAX_BLOB_BYTES:
        raise BadEvent("too-large")
    try:
        return open_sealed(key, blob, context)
    except CryptoError:
        raise BadEvent("cannot-open") from None
