"""Datagrams under way to one peer: which arrived, which were lost, when to ask.

Owns: loss, of one that later ones overtook by time (as RFC 8985 and RFC 9002 §6.1.2), of all by a timeout; and which
of those came after all. Must not know: what they carry.
"""

from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

from quire.limits import ACK_BITS, MAX_PROBES, MAX_TIMEOUT_MS
from quire.net.roundtrip import RoundTrip
from quire.net.window import Window

Ref = TypeVar("Ref")


class _Sent(NamedTuple, Generic[Ref]):
    at: int
    refs: list[Ref]
    missed: bool


class Flight(Generic[Ref]):
    """`refs` name what a datagram carried; they come back as delivered or lost, once."""

    def __init__(self) -> None:
        # Insertion order is counter order: the oldest is always first.
        self._out: dict[int, _Sent[Ref]] = {}
        # Those lost lately that may yet be acknowledged: when they were sent, if later ones overtook them.
        self._lost: dict[int, int | None] = {}
        self._window = Window()
        self._trip = RoundTrip()
        self._last_sent = -1
        self._highest_acked = -1
        # A round trip is over when one sent after this is acknowledged.
        self._round = -1
        # The last counter that filled the window: what came before it says whether the path bears more.
        self._full = -1
        self._backoff = 0
        self._probes = 0
        self._probed_at = 0
        self.sent_count = 0
        self.lost_count = 0

    @property
    def window(self) -> int:
        """Datagrams that may be out at once."""
        return int(self._window.size)

    @property
    def room(self) -> int:
        """Datagrams that may be sent now."""
        return int(self._window.size) - len(self._out)

    @property
    def out(self) -> int:
        """Datagrams under way."""
        return len(self._out)

    @property
    def rtt(self) -> int:
        """Smoothed round-trip time (ms); a guess before the first sample."""
        return max(1, round(self._trip.mean))

    def sent(self, counter: int, refs: list[Ref], now: int, missed: bool = True) -> None:
        """Take note of a datagram that wants acknowledgement; `missed`: it is asked after when there is none."""
        self._out[counter] = _Sent(now, refs, missed)
        self._last_sent = counter
        if self.room <= 0:
            self._full = counter
        self.sent_count += 1

    def acked(self, highest: int, seen: int, now: int) -> tuple[list[Ref], list[Ref]]:
        """Take an acknowledgement: refs delivered, refs lost."""
        seen = seen << 1 | 1
        came = _named(self._out, highest, seen)
        if came and came[-1] == highest:
            self._trip.sample(now - self._out[highest].at)
        delivered = [ref for counter in came for ref in self._out.pop(counter).refs]
        found = _named(self._lost, highest, seen)
        if found:
            self._find(found, now)
        if came or found:
            self._highest_acked = max(self._highest_acked, min(highest, self._last_sent))
            self._backoff = self._probes = 0
            self._window.came(len(came), highest <= self._full)
        late = self._overdue(now)
        lost = self._lose(late) if late else []
        if self._highest_acked > self._round:
            self._end_round()
        return delivered, lost

    def timer(self) -> int | None:
        """When `probe`, and if that says no `expired`, should be asked next (ms)."""
        oldest = next(iter(self._out), None)
        if oldest is None:
            return None
        at = self._out[oldest].at
        if oldest < self._highest_acked:
            return at + self._trip.bound
        due = max(at, self._probed_at) + self._backed_off(self._trip.patience)
        probes = self._probes < MAX_PROBES and self._misses
        return due if probes else max(due, at + self._backed_off(self._trip.timeout))

    def probe(self, now: int) -> bool:
        """Whether to ask for an acknowledgement before giving up: it may be all that was lost."""
        if self._probes >= MAX_PROBES or not self._misses or self._overdue(now):
            return False
        self._probes += 1
        self._probed_at = now
        return True

    def expired(self, now: int) -> list[Ref]:
        """Refs of datagrams that are lost by now, whatever is heard."""
        if late := self._overdue(now):
            return self._lose(late)
        timeout = self._backed_off(self._trip.timeout)
        late = [counter for counter, sent in self._out.items() if now - sent.at >= timeout]
        if not late:
            return []
        if not self._misses:  # so silence says nothing
            for counter in late:
                del self._out[counter]
            return []
        self._backoff = min(self._backoff + 1, 8)
        self._probes = 0
        lost = self._lose(late)
        self._window.time_out()
        self._round = self._last_sent
        return lost

    def abandon(self) -> list[Ref]:
        """Refs of everything under way: the peer's run is gone."""
        refs = [ref for sent in self._out.values() for ref in sent.refs]
        self._out.clear()
        return refs

    @property
    def _misses(self) -> bool:
        """Whether anything under way is asked after."""
        return any(sent.missed for sent in self._out.values())

    def _backed_off(self, wait: int) -> int:
        return min(MAX_TIMEOUT_MS, wait << self._backoff)

    def _overdue(self, now: int) -> list[int]:
        latest = now - self._trip.bound
        late: list[int] = []
        for counter, sent in self._out.items():
            if counter >= self._highest_acked or sent.at > latest:
                break
            late.append(counter)
        return late

    def _lose(self, late: list[int]) -> list[Ref]:
        refs: list[Ref] = []
        for counter in late:
            sent = self._out.pop(counter)
            refs += sent.refs
            self._lost[counter] = sent.at if counter < self._highest_acked else None
        while len(self._lost) > ACK_BITS:
            del self._lost[next(iter(self._lost))]
        self.lost_count += len(late)
        self._window.gone(len(late))
        return refs

    def _find(self, counters: list[int], now: int) -> None:
        """These had been taken for lost."""
        for counter in counters:
            if (at := self._lost.pop(counter)) is not None:
                self._trip.overtaken(now - at)
        self._window.came_late(len(counters))

    def _end_round(self) -> None:
        queued, losing = self._trip.queued, self._window.losing
        self._window.end_round(queued)
        self._trip.end_round(losing)
        self._round = self._last_sent
        # No acknowledgement reaches further back.
        for counter in [lost for lost in self._lost if lost < self._highest_acked - ACK_BITS]:
            del self._lost[counter]


def _named(counters: Iterable[int], highest: int, seen: int) -> list[int]:
    """Those, of some in order, that an acknowledgement names: bit i of `seen` is `highest - i`."""
    named: list[int] = []
    for counter in counters:
        if counter > highest:
            break
        if seen >> highest - counter & 1:
            named.append(counter)
    return named
