"""When one session's next heartbeat is due, and how much it may send until then.

Owns: the heartbeat's schedule, and the bytes per second of one peer. Must not know: what a heartbeat says.
"""

from quire.limits import (
    HEARTBEAT_GAP_MS,
    HEARTBEAT_MS,
    IDLE_HEARTBEAT_MS,
    MAX_DATAGRAM,
    NUDGE_MS,
    UNREACHABLE_HEARTBEAT_MS,
)
from quire.sync.strategy import Entropy


class Pulse:
    """Times in ms. The first heartbeat is due at once."""

    def __init__(self, entropy: Entropy, now: int) -> None:
        self._entropy = entropy
        self._interval = HEARTBEAT_MS
        self._last = now - HEARTBEAT_GAP_MS
        self.due = now

    def beat(self, now: int, *, reachable: bool, busy: bool) -> None:
        """A heartbeat goes out now: plan the next one, later and later while nothing happens."""
        most = IDLE_HEARTBEAT_MS if reachable else UNREACHABLE_HEARTBEAT_MS
        self._interval = HEARTBEAT_MS if busy and reachable else min(self._interval * 2, most)
        # Jitter of a quarter, so that many sessions that lost one network do not dial in step.
        jitter = 0 if reachable else self._interval * self._entropy(1)[0] // 1024
        self._last = now
        self.due = now + self._interval + jitter

    def nudge(self, now: int) -> None:
        """Something changed: bring the next heartbeat forward."""
        self._interval = HEARTBEAT_MS // 2
        self.due = min(self.due, max(now + NUDGE_MS, self._last + HEARTBEAT_GAP_MS))

    def rest(self, now: int) -> None:
        """There is no hope for now: do not try often."""
        self._interval = UNREACHABLE_HEARTBEAT_MS
        self.due = now + UNREACHABLE_HEARTBEAT_MS

    def at_once(self, now: int) -> None:
        """The peer was just met."""
        self._interval = HEARTBEAT_MS // 2
        self.due = min(self.due, now)


class ByteBudget:
    """A token bucket: `rate` bytes per second, 50 ms of them at once."""

    def __init__(self, rate: int, now: int) -> None:
        self._rate = rate
        # In thousandths of a byte: whole bytes would lose what a millisecond adds, to whoever asks each of them.
        self._burst = 1_000 * max(rate // 20, 2 * MAX_DATAGRAM)
        self._level = self._burst
        self._at = now

    def allows(self, now: int) -> bool:
        """Whether another datagram may go now."""
        if now > self._at:
            self._level = min(self._burst, self._level + self._rate * (now - self._at))
            self._at = now
        return self._level > 0

    def spend(self, size: int) -> None:
        """Take note of bytes sent."""
        self._level -= 1_000 * size

    def ready_at(self) -> int:
        """When `allows` will be true again."""
        return self._at + max(1, -(-(1 - self._level) // self._rate))
