"""Binary values as text: base64url without padding (RFC 4648 §5), one spelling for each value."""

import binascii
from collections.abc import Sequence

_TO_URL = bytes.maketrans(b"+/", b"-_")
# What is no character of base64url becomes one that base64 does not know either.
_FROM_URL = bytes.maketrans(b"-_+/=", b"+/!!!")
_PAD = (b"", b"===", b"==", b"=")
# By length: characters that can be the last, those that leave no bits over.
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_LAST = (_ALPHABET, b"", _ALPHABET[::16], _ALPHABET[::4])

#: Characters of a 32-byte value (keys, event ids, space ids).
TEXT_32 = 43


def to_text(value: bytes) -> str:
    """Encode bytes as base64url without padding."""
    return binascii.b2a_base64(value, newline=False).translate(_TO_URL).rstrip(b"=").decode()


def to_texts(values: Sequence[bytes]) -> list[str]:
    """`to_text` of each of many values of 32 bytes."""
    # All in one go: a 33rd byte makes whole groups of each, and of the 44 characters the last is the 33rd byte's alone.
    text = (
        binascii.b2a_base64(b"".join([value + b"\0" for value in values]), newline=False)
        .translate(_TO_URL)
        .decode()
    )
    return [text[at : at + TEXT_32] for at in range(0, len(text), TEXT_32 + 1)]


def from_text(text: str, length: int | None = None) -> bytes:
    """Decode base64url without padding.

    Raises ValueError unless `text` is the one spelling of its value, and `length` bytes long if given.
    """
    raw = text.encode("ascii", "strict")
    over = len(raw) % 4
    if raw and raw[-1] not in _LAST[over]:
        raise ValueError("not canonical base64url")
    value = binascii.a2b_base64(raw.translate(_FROM_URL) + _PAD[over], strict_mode=True)
    if length is not None and len(value) != length:
        raise ValueError(f"{length} bytes wanted, {len(value)} found")
    return value


def from_texts(texts: Sequence[str]) -> list[bytes]:
    """`from_text` of each of many values of 32 bytes. Raises ValueError unless all of them are such."""
    text = "".join([each + "A" for each in texts])
    data = binascii.a2b_base64(text.encode("ascii", "strict").translate(_FROM_URL))
    values = [data[at : at + 32] for at in range(0, len(data), 33)]
    if to_texts(values) != list(texts):
        raise ValueError("not canonical base64url of 32 bytes each")
    return values


def is_key(text: str) -> bool:
    """Whether `text` spells a 32-byte value."""
    if len(text) != TEXT_32:
        return False
    try:
        from_text(text, 32)
    except ValueError:
        return False
    return True
