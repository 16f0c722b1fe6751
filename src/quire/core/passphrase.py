"""Secrets sealed with a passphrase: Argon2id (RFC 9106) to stretch it, XChaCha20-Poly1305 to seal.

Owns: the bytes of such a file, and what one guess must cost. Must not know: where files are, who is asked.

    "QUIREPW" 1 ‖ passes (4) ‖ KiB (4) ‖ salt (16) ‖ length of purpose (1) ‖ purpose     the header
    nonce (24) ‖ ciphertext and tag                                                      the secret, sealed
    BLAKE2b-128 of all before

Numbers are big-endian. The header is bound to the secret as associated data. The sum at the end has no key: it
tells a damaged file from a wrong passphrase, before the passphrase is stretched.
"""

import unicodedata
from hashlib import blake2b
from hmac import compare_digest
from struct import Struct
from typing import NamedTuple

from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id

from quire.core.keys import KEY_BYTES
from quire.core.sealing import NONCE_BYTES, TAG_BYTES, open_sealed, seal
from quire.errors import Damaged, HomeError, Refused, UserError
from quire.limits import (
    MAX_PASSPHRASE_CHARS,
    MAX_PASSPHRASE_KIB,
    MAX_PASSPHRASE_PASSES,
    MAX_PASSPHRASE_SECRET_BYTES,
    MIN_PASSPHRASE_CHARS,
    MIN_PASSPHRASE_KIB,
    MIN_PASSPHRASE_PASSES,
    PASSPHRASE_KIB,
    PASSPHRASE_PASSES,
)

SALT_BYTES = 16
_SUM_BYTES = 16
_MAGIC = b"QUIREPW\x01"
_FIXED = Struct(">8sII16sB")


class Cost(NamedTuple):
    """What one guess costs: passes over so much memory (KiB), on one lane (all that libsodium offers)."""

    passes: int = PASSPHRASE_PASSES
    kib: int = PASSPHRASE_KIB


def check_passphrase(passphrase: str) -> None:
    """Raises UserError unless a new secret may be sealed with it."""
    if not MIN_PASSPHRASE_CHARS <= len(passphrase) <= MAX_PASSPHRASE_CHARS:
        raise UserError(
            f"A passphrase has {MIN_PASSPHRASE_CHARS} to {MAX_PASSPHRASE_CHARS:,} characters. "
            "Several words that do not belong together make a good one."
        )


def stretch(passphrase: str, salt: bytes, cost: Cost) -> bytes:
    """The 32-byte Argon2id key of a passphrase (normalised: NFKC, UTF-8) and a 16-byte salt.

    Raises UserError for text that is none or too long, HomeError when there is not enough memory.
    """
    if len(passphrase) > MAX_PASSPHRASE_CHARS:
        raise UserError(f"A passphrase has at most {MAX_PASSPHRASE_CHARS:,} characters.")
    try:
        secret = unicodedata.normalize("NFKC", passphrase).encode()
    except UnicodeEncodeError:
        raise UserError("The passphrase holds something that is no character. Type it again.") from None
    try:
        return argon2id.kdf(KEY_BYTES, secret, salt, cost.passes, cost.kib * 1024)
    except (CryptoError, RuntimeError, MemoryError):
        raise HomeError(
            f"There is not enough memory to try the passphrase: it takes {cost.kib // 1024} MiB. Close something."
        ) from None


def seal_with_passphrase(
    passphrase: str, secret: bytes, salt: bytes, nonce: bytes, cost: Cost, purpose: str
) -> bytes:
    """A file that only the passphrase opens; 16 bytes of salt and 24 of nonce, both fresh and random.

    `purpose` says what the secret is (ASCII, at most 255 characters) and stands in the clear.
    Raises UserError for a passphrase too short or too long, ValueError for sizes and costs that none may have.
    """
    check_passphrase(passphrase)
    if len(salt) != SALT_BYTES or len(nonce) != NONCE_BYTES or len(secret) > MAX_PASSPHRASE_SECRET_BYTES:
        raise ValueError("salt of 16 bytes, nonce of 24 and a secret within its limit wanted")
    if not _is_within(cost):
        raise ValueError("a cost outside its limits")
    name = purpose.encode("ascii")
    header = _FIXED.pack(_MAGIC, cost.passes, cost.kib, salt, len(name)) + name
    body = header + seal(stretch(passphrase, salt, cost), nonce, secret, header)
    return body + _sum(body)


def open_with_passphrase(passphrase: str, blob: bytes, purpose: str) -> bytes:
    """The secret in such a file.

    Raises Damaged when its bytes are not what was written, Refused for a cost outside the limits (a file
    must neither be cheaper to guess than ours, nor take what no machine has), UserError for a file of another
    purpose and for a wrong passphrase.
    """
    header, cost, salt, found = _parse(blob)
    if found != purpose.encode("ascii"):
        raise UserError(f"This file holds something else: {found.decode('ascii', 'replace')!r}.")
    if not _is_within(cost):
        raise Refused(
            f"This file asks for {cost.passes:,} passes over {cost.kib:,} KiB to try a passphrase, which Quire "
            f"never does: {MIN_PASSPHRASE_PASSES} to {MAX_PASSPHRASE_PASSES} passes over {MIN_PASSPHRASE_KIB:,} to "
            f"{MAX_PASSPHRASE_KIB:,} KiB. Somebody has changed it: use a copy of the file that you trust."
        )
    try:
        return open_sealed(stretch(passphrase, salt, cost), blob[len(header) : -_SUM_BYTES], header)
    except CryptoError:
        raise UserError(
            "The passphrase is wrong. Mind capital letters and the keyboard's language."
        ) from None


def _parse(blob: bytes) -> tuple[bytes, Cost, bytes, bytes]:
    """(header, cost, salt, purpose) of a file whose bytes are whole."""
    least = _FIXED.size + NONCE_BYTES + TAG_BYTES + _SUM_BYTES
    if not least <= len(blob) <= least + 255 + MAX_PASSPHRASE_SECRET_BYTES:
        raise Damaged(_DAMAGED)
    magic, passes, kib, salt, length = _FIXED.unpack_from(blob)
    if magic[:-1] != _MAGIC[:-1] or not compare_digest(_sum(blob[:-_SUM_BYTES]), blob[-_SUM_BYTES:]):
        raise Damaged(_DAMAGED)
    if magic != _MAGIC:
        raise UserError("This file was made by a newer version of Quire. Install that version or newer.")
    if len(blob) < least + length:
        raise Damaged(_DAMAGED)
    header = blob[: _FIXED.size + length]
    return header, Cost(passes, kib), salt, header[_FIXED.size :]


def _is_within(cost: Cost) -> bool:
    passes = MIN_PASSPHRASE_PASSES <= cost.passes <= MAX_PASSPHRASE_PASSES
    return passes and MIN_PASSPHRASE_KIB <= cost.kib <= MAX_PASSPHRASE_KIB


def _sum(data: bytes) -> bytes:
    return blake2b(data, digest_size=_SUM_BYTES, person=b"quire sealed sum").digest()


_DAMAGED = "What was sealed with a passphrase is damaged or cut short: no passphrase opens it. Put a copy of it back."
