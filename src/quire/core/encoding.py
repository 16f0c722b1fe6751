"""Binary values as text: base64url without padding (RFC 4648 §5), one spelling for each value."""

import binascii

_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")
_PAD = (b"", b"===", b"==", b"=")

#: Characters of a 32-byte value (keys, event ids, space ids).
TEXT_32 = 43


def to_text(value: bytes) -> str:
    """Encode bytes as base64url without padding."""
    return binascii.b2a_base64(value, newline=False).translate(_TO_URL).rstrip(b"=").decode()


def from_text(text: str, length: int | None = None) -> bytes:
    """Decode base64url without padding.

    Raises ValueError unless `text` is the one spelling of its value, and `length` bytes long if given.
    """
    raw = text.encode("ascii", "strict")
    value = binascii.a2b_base64(raw.translate(_FROM_URL) + _PAD[len(raw) % 4])
    if to_text(value) != text:
        raise ValueError("not canonical base64url")
    if length is not None and len(value) != length:
        raise ValueError(f"{length} bytes wanted, {len(value)} found")
    return value


def is_key(text: str) -> bool:
    """Whether `text` spells a 32-byte value."""
    if len(text) != TEXT_32:
        return False
    try:
        from_text(text, 32)
    except ValueError:
        return False
    return True
