"""Text that is safe and pleasant to show in a terminal.

Owns: what other people's words may do to it (nothing), times, JSON. Must not know: operations.
"""

import re
from datetime import datetime
from typing import Any

import msgspec

#: Control characters move the cursor, change colours or rename the window; the others reverse text.
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_UNSAFE_OR_BREAK = re.compile(r"[\n\t]|" + _UNSAFE.pattern)
#: JSON writes the characters below 32 as escapes already, and a terminal obeys these too.
_UNSAFE_IN_JSON = re.compile(r"[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")

_NEAR_MS = 10 * 60_000


def clean(text: object) -> str:
    """Text for one line: every control character, line breaks too, becomes a visible escape."""
    return _UNSAFE_OR_BREAK.sub(_escape, str(text))


def clean_lines(text: str) -> str:
    """Text of several lines: control characters become visible escapes, line breaks and tabs stay."""
    return _UNSAFE.sub(_escape, text.replace("\r\n", "\n"))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return {10: "\\n", 9: "\\t"}.get(code) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def json_text(value: Any) -> str:
    """A value as JSON that a terminal can show."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def local_time(ts: int) -> str:
    """Local date and time of a timestamp (ms); `never` for 0."""
    if not ts:
        return "never"
    try:
        return f"{datetime.fromtimestamp(ts / 1000):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return str(ts)


def near_time(ts: int, now: int) -> str:
    """The same, with seconds where it is within ten minutes of `now` (ms)."""
    seconds = f":{datetime.fromtimestamp(ts / 1000):%S}" if abs(ts - now) < _NEAR_MS else ""
    return local_time(ts) + seconds


def plural(number: int, one: str, many: str = "") -> str:
    """`1 event`, `2,000 events`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def digits(number: float) -> str:
    """`12.3`, `0.046`: as many digits as tell something, also of a small number."""
    return f"{number:,.1f}" if number >= 1 or number == 0 else f"{number:.2g}"
