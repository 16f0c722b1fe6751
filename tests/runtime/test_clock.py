import time

from quire.runtime.clock import steady_ms, wall_ms


def test_clocks_tell_milliseconds() -> None:
    assert abs(wall_ms() - time.time() * 1000) < 1_000
    first = steady_ms()
    assert abs(first - time.monotonic() * 1000) < 1_000
    assert steady_ms() >= first
