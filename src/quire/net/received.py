"""Counters received from one run of the peer: the replay window, and what to acknowledge when.

Owns: the highest counter and a bitmap behind it (RFC 4303 §3.4.3). Must not know: packets.
"""

from quire.limits import ACK_DELAY_MS, ACK_EVERY, ACK_EVERY_OF_HOLES, REPLAY_WINDOW

_MASK = (1 << REPLAY_WINDOW) - 1


class Received:
    """Takes every counter once; times in ms."""

    def __init__(self) -> None:
        #: When an acknowledgement should go by itself; None: nothing to acknowledge.
        self.ack_at: int | None = None
        self._unacked = 0
        self.highest = self._first = -1
        self._seen = 0

    def add(self, counter: int) -> bool:
        """Whether this counter is new; one that fell behind the window never is."""
        ahead = counter - self.highest
        if ahead > 0:
            if not self._seen:
                self._first = counter
            # A leap must not shift by what a peer chose: 2**63 bits would not fit in memory.
            self._seen = (self._seen << ahead | 1) & _MASK if ahead < REPLAY_WINDOW else 1
            self.highest = counter
            return True
        if -ahead >= REPLAY_WINDOW or self._seen >> -ahead & 1:
            return False
        self._seen |= 1 << -ahead
        return True

    def wants_ack(self, now: int) -> None:
        """A frame asked for acknowledgement."""
        self._unacked += 1
        if self.ack_at is None:
            self.ack_at = now + ACK_DELAY_MS

    @property
    def ack_overdue(self) -> bool:
        """Whether so much is unacknowledged that it should not wait for anything."""
        if self._unacked < ACK_EVERY_OF_HOLES:
            return False
        # Where some of the latest did not come, an acknowledgement may be lost as well.
        latest = (1 << min(ACK_EVERY, self.highest - self._first + 1)) - 1
        return self._unacked >= ACK_EVERY or self._seen & latest != latest

    def ack_due(self, now: int) -> bool:
        """Whether an acknowledgement should go now, by itself if need be."""
        return self.ack_at is not None and self.ack_at <= now

    def postpone_ack(self, now: int, until: int) -> None:
        """What is due now could not go."""
        if self.ack_due(now):
            self.ack_at = until

    def acked(self) -> None:
        """An acknowledgement goes out."""
        self.ack_at = None
        self._unacked = 0

    def seen(self) -> int:
        """Bit i: `highest - 1 - i` was received."""
        return self._seen >> 1
