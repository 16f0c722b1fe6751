"""Datagrams under way to one peer: what was acknowledged, what was lost, how many may be out.

Owns: round-trip time and timeout (RFC 6298), loss by later acknowledgements (as RFC 9002 §6), and an
additive-increase, multiplicative-decrease window counted in datagrams. Must not know: what they carry.
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
            if highest <= self._full:
                self._grow(count)
        return delivered, self._lost_before(self._highest_acked - LOST_AFTER + 1)

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
        return self._lose(late)

    def abandon(self) -> list[Ref]:
        """Refs of everything under way: the peer's run is gone."""
        refs = [ref for sent in self._out.values() for ref in sent.refs]
        self._out.clear()
        return refs

    def _timeout(self) -> int:
        base = self.rtt + max(4 * self._var, 10) if self._srtt is not None else FIRST_RTT_MS * 2
        return min(MAX_TIMEOUT_MS, int(max(MIN_TIMEOUT_MS, base)) << self._backoff)

    def _sample(self, rtt: int) -> None:
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
        return self._lose(late) if late else []

    def _lose(self, late: list[int]) -> list[Ref]:
        refs: list[Ref] = []
        for counter in late:
            refs += self._out.pop(counter).refs
        self.lost_count += len(late)
        # Halve once per round trip: only for a datagram sent after the last halving.
        if late[-1] > self._recovery:
            self._recovery = self._last_sent
            self._growing_fast = False
            self._window = max(float(MIN_WINDOW), self._window / 2)
        return refs
