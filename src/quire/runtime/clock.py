"""The real clocks, in ms: the time of day, which may jump, and one that never runs backwards."""

import time


def wall_ms() -> int:
    """The time of day, ms since 1970."""
    return time.time_ns() // 1_000_000


def steady_ms() -> int:
    """A clock for timers."""
    return time.monotonic_ns() // 1_000_000
