"""Which run of the operating system this is: whether it was started anew since something was written."""

from contextlib import suppress
from pathlib import Path

#: Linux: another text each time that the kernel starts, the same for all who run on it.
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """A name for it; "" where the system gives none."""
    with suppress(OSError, UnicodeDecodeError):
        return _BOOT_ID.read_text("ascii").strip()
    return ""
