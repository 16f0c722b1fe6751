"""Hybrid logical clock (Kulkarni et al., 2014) in one integer: milliseconds that never run backwards.

MAX_AT_ONE_TIME local events may share a millisecond (`seq` orders them); whatever is written after another's event
was seen carries a greater timestamp, so that causes sort before effects on every device.
"""

from dataclasses import dataclass

from quire.limits import MAX_AT_ONE_TIME, MAX_CLOCK_SET_BACK_MS


@dataclass
class HybridClock:
    """`last` is the greatest timestamp a local event may get without a tick, `own` the latest given (ms).

    `at_own` is how often that was given since the clock was made.
    """

    last: int = 0
    own: int = 0
    at_own: int = 0

    def peek(self, wall_ms: int) -> int:
        """The timestamp that a local event written at wall time `wall_ms` would get.

        It follows the wall clock backwards only by more than MAX_CLOCK_SET_BACK_MS: one that was that far
        ahead, and is set right, is believed, or others would hold what is written until that day.
        """
        last = self.last
        if last > wall_ms + MAX_CLOCK_SET_BACK_MS:
            # What was written since it was set right still comes before, whatever is held of the time ahead.
            last = self.own if self.own <= wall_ms + MAX_CLOCK_SET_BACK_MS else wall_ms
        last = max(last, wall_ms)
        return last + 1 if last == self.own and self.at_own >= MAX_AT_ONE_TIME else last

    def tick(self, wall_ms: int) -> int:
        """The timestamp for a local event written at wall time `wall_ms`."""
        self.last = self.peek(wall_ms)
        self.at_own = self.at_own + 1 if self.last == self.own else 1
        self.own = self.last
        return self.last

    def remember(self, ts: int) -> None:
        """Take note of an own event's timestamp."""
        if ts > self.own:
            self.own, self.at_own = ts, 0
        self.last = max(self.last, ts)

    def observe(self, ts: int) -> None:
        """Take note of another device's timestamp (already checked against MAX_CLOCK_AHEAD_MS)."""
        self.last = max(self.last, ts + 1)
