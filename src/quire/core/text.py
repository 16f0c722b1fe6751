"""Which text can be a name: one rule, the same on every device.

Python's own `isprintable` follows the Unicode tables of its version, so two devices could differ by it.
"""

import re

_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def is_name(text: str, most: int) -> bool:
    """Whether `text` is 1 to `most` characters with no controls, line breaks, changes of direction or outer spaces."""
    return 0 < len(text) <= most and text == text.strip(" ") and _UNSHOWN.search(text) is None
