"""Short authentication string: two people compare six digits, and know that nobody stands between their devices.

Owns: the commitment and the digits. Must not know: how messages travel between the devices.

After ZRTP (RFC 6189, sections 4.4.1.1 and 7), the one that begins first sends `commitment(nonce, public)`; the other
answers with its own nonce and public key; then the first reveals its nonce and key, and the other checks
`commitment_holds`. Both show `short_string` of the whole transcript, what the first sent before what the second sent:
commitment, public keys, nonces, and whatever else must not be altered, such as the purpose. Whoever stands between
must choose all that it sends before it can know either side's digits, so that it succeeds with a probability of one in
a million for each attempt, and a failed attempt shows. Without the commitment it could try a million keys at leisure.
"""

from hashlib import blake2b

from quire.core.keys import KEY_BYTES, derive

COMMITMENT_BYTES = 32
SHORT_STRING_DIGITS = 6


def commitment(nonce: bytes, public: bytes) -> bytes:
    """32 bytes that bind to a nonce (32 fresh random bytes) and a public key (32 bytes) and tell nothing of them.

    Raises ValueError for other sizes.
    """
    if len(nonce) != KEY_BYTES or len(public) != KEY_BYTES:
        raise ValueError(f"a nonce and a public key of {KEY_BYTES} bytes each wanted")
    return derive(nonce, "quire commitment", public, COMMITMENT_BYTES)


def commitment_holds(committed: bytes, nonce: bytes, public: bytes) -> bool:
    """Whether the nonce and the public key are those that were committed to (never raises)."""
    try:
        return commitment(nonce, public) == committed
    except ValueError:
        return False


def short_string(*transcript: bytes) -> str:
    """Six digits, as "123 456", of the parts of a transcript: the same on both devices if nothing was altered."""
    digest = blake2b(person=b"quire sas digits", digest_size=32)
    for part in transcript:
        digest.update(len(part).to_bytes(8) + part)  # with lengths no two transcripts are the same bytes
    # The remainder of 256 bits is even to within 2^-236.
    digits = f"{int.from_bytes(digest.digest()) % 10**SHORT_STRING_DIGITS:0{SHORT_STRING_DIGITS}}"
    return f"{digits[:3]} {digits[3:]}"
