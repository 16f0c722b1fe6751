"""Datagrams under way to one peer: what was acknowledged, what was lost, how many may be out.

Owns: round-trip time and timeout (RFC 6298), loss by later acknowledgements (as RFC 9002 §6), and a window counted in
datagrams: it grows as TCP's, and loss takes it down by half, but to no less than what the path is seen to bear.
Must not know: what they carry.
"""

from typing import Generic, NamedTuple, TypeVar

from quire.limits import (
    ACK_BITS,
    FIRST_RTT_MS,
    FIRST_WINDOW,
    LOST_AFTER,
    MAX_PROBES,
    MAX_TIMEOUT_MS,
    MAX_WINDOW,
    MIN_TIMEOUT_MS,
    MIN_WINDOW,
    QUEUE_SHARE,
    QUEUE_SLACK_MS,
    WINDOW_GAIN,
)

Ref = TypeVar("Ref")


class _Sent(NamedTuple, Generic[Ref]):
    at: int
    refs: list[Ref]


class Flight(Generic[Ref]):
    """`refs` name what a datagram carried; they come back as delivered or lost, once."""

    def __init__(self) -> None:
        # Insertion order is counter order: the oldest is always first.
        self._out: dict[int, _Sent[Ref]] = {}
        self._window = float(FIRST_WINDOW)
        self._growing_fast = True
        self._last_sent = -1
        self._highest_acked = -1
        self._recovery = -1
        # What came of datagrams in this round trip, which is over when one is acknowledged that was sent in it.
        self._came = self._gone = 0
        self._round = -1
        self._least_rtt = 0
        # The last counter that filled the window: what came before it says whether the path bears more.
        self._full = -1
        self._backoff = 0
        self._probes = 0
        self._probed_at = 0
        self._srtt: float | None = None
        self._var = 0.0
        self.sent_count = 0
        self.lost_count = 0

    @property
    def window(self) -> int:
        """Datagrams that may be out at once."""
        return int(self._window)

    @property
    def room(self) -> int:
        """Datagrams that may be sent now."""
        return int(self._window) - len(self._out)

    @property
    def out(self) -> int:
        """Datagrams under way."""
        return len(self._out)

    @property
    def rtt(self) -> int:
        """Smoothed round-trip time (ms); a guess before the first sample."""
        return FIRST_RTT_MS if self._srtt is None else max(1, round(self._srtt))

    def sent(self, counter: int, refs: list[Ref], now: int) -> None:
        """Take note of a datagram that wants acknowledgement."""
        self._out[counter] = _Sent(now, refs)
        self._last_sent = counter
        if self.room <= 0:
            self._full = counter
        self.sent_count += 1

    def acked(self, highest: int, seen: int, now: int) -> tuple[list[Ref], list[Ref]]:
        """Take an acknowledgement: refs delivered, refs lost."""
        delivered: list[Ref] = []
        count = 0
        for behind in range(ACK_BITS + 1):
            if behind and not seen:
                break
            if behind == 0 or seen & 1:
                sent = self._out.pop(highest - behind, None)
                if sent is not None:
                    delivered += sent.refs
                    count += 1
                    if behind == 0:
                        self._sample(now - sent.at)
            if behind:
                seen >>= 1
        if count:
            self._highest_acked = max(self._highest_acked, min(highest, self._last_sent))
            self._backoff = self._probes = 0
            self._came += count
            if highest <= self._full:
                self._grow(count)
        lost = self._lost_before(self._highest_acked - LOST_AFTER + 1)
        if self._highest_acked > self._round:
            self._judge()
        return delivered, lost

    def timer(self) -> int | None:
        """When `probe`, and if that says no `expired`, should be asked next (ms)."""
        oldest = next(iter(self._out.values()), None)
        return None if oldest is None else max(oldest.at, self._probed_at) + self._timeout()

    def probe(self, now: int) -> bool:
        """Whether to ask for an acknowledgement before giving up: it may be all that was lost."""
        if self._probes >= MAX_PROBES:
            return False
        self._probes += 1
        self._probed_at = now
        return True

    def expired(self, now: int) -> list[Ref]:
        """Refs of datagrams that waited longer than the timeout."""
        timeout = self._timeout()
        late = [counter for counter, sent in self._out.items() if now - sent.at >= timeout]
        if not late:
            return []
        self._backoff = min(self._backoff + 1, 8)
        self._probes = 0
        return self._lose(late, full=True)

    def abandon(self) -> list[Ref]:
        """Refs of everything under way: the peer's run is gone."""
        refs = [ref for sent in self._out.values() for ref in sent.refs]
        self._out.clear()
        return refs

    def _timeout(self) -> int:
        base = self.rtt + max(4 * self._var, 10) if self._srtt is not None else FIRST_RTT_MS * 2
        return min(MAX_TIMEOUT_MS, int(max(MIN_TIMEOUT_MS, base)) << self._backoff)

    def _sample(self, rtt: int) -> None:
        self._least_rtt = min(self._least_rtt or rtt, rtt)
        if self._srtt is None:
            self._srtt, self._var = float(rtt), rtt / 2
        else:
            self._var += (abs(self._srtt - rtt) - self._var) / 4
            self._srtt += (rtt - self._srtt) / 8

    def _grow(self, count: int) -> None:
        step = count if self._growing_fast else count / self._window
        self._window = min(MAX_WINDOW, self._window + step)

    def _lost_before(self, counter: int) -> list[Ref]:
        late: list[int] = []
        for out in self._out:
            if out >= counter:
                break
            late.append(out)
        queue = self.rtt > QUEUE_SHARE * self._least_rtt + QUEUE_SLACK_MS
        return self._lose(late, full=queue) if late else []

    def _judge(self) -> None:
        """A round trip is over: take the window down to WINDOW_GAIN times what came through of it.

        A path that loses a share of all that is sent brings as large a share of a larger window: less would not help.
        One that is full brings no more than before, and so is sent no more than WINDOW_GAIN times what it carries.
        """
        if self._gone:
            self._narrow(WINDOW_GAIN * self._window * self._came / (self._came + self._gone))
        self._came = self._gone = 0
        self._round = self._last_sent

    def _narrow(self, window: float) -> None:
        window = max(float(MIN_WINDOW), self._window / 2, window)
        if window < self._window:
            self._growing_fast = False
            self._window = window

    def _lose(self, late: list[int], full: bool) -> list[Ref]:
        refs: list[Ref] = []
        for counter in late:
            refs += self._out.pop(counter).refs
        self.lost_count += len(late)
        self._gone += len(late)
        # A path that is full: halve once per round trip, only for a datagram sent after the last halving.
        if full and late[-1] > self._recovery:
            self._recovery = self._round = self._last_sent
            self._came = self._gone = 0
            self._narrow(0.0)
        return refs
