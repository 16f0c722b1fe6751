"""Streams in virtual time: reliable and in order, until somebody closes them or the way is cut.

Owns: what is under way on streams. Must not know: nodes, what the network does to datagrams.
"""

import heapq
from collections.abc import Callable, Iterator
from typing import NamedTuple


class End(NamedTuple):
    """One end of a stream: a device by name, and its own number for the stream."""

    device: str
    number: int


#: Bytes that may be under way to one end, as in the buffers of a real one.
WINDOW = 512 * 1024


class Pipes:
    """Times in ms; `bytes_per_ms` is how fast each end is written to (0: at once)."""

    def __init__(self, bytes_per_ms: int = 0) -> None:
        self.bytes_per_ms = bytes_per_ms
        self._other: dict[End, End] = {}
        #: When the last bytes to an end arrive, which later ones do not overtake, and how many are under way.
        self._last: dict[End, int] = {}
        self._under_way: dict[End, int] = {}
        # (when, order, to whom, bytes; None: the stream is closed)
        self._transit: list[tuple[int, int, End, bytes | None]] = []
        self._sent = 0

    def join(self, caller: End, called: End) -> None:
        """A stream is there between two ends."""
        self._other[caller], self._other[called] = called, caller

    def ends(self, device: str) -> list[End]:
        """The ends that a device has."""
        return [end for end in self._other if end.device == device]

    def other(self, end: End) -> End | None:
        """The other end of a stream that is there."""
        return self._other.get(end)

    def has_room(self, end: End) -> bool:
        """Whether more may be written at an end now."""
        return end in self._other and self._under_way.get(self._other[end], 0) < WINDOW

    def write(self, end: End, data: bytes, arrives: int) -> None:
        """Bytes from one end arrive at the other."""
        self._send(self._other[end], data, arrives)

    def close(self, end: End, arrives: int) -> None:
        """One end closes; the other one hears of it after all that was written."""
        other = self._other.pop(end, None)
        if other is not None:
            self._send(other, None, arrives)

    def refuse(self, caller: End, arrives: int) -> None:
        """Nobody took the call."""
        self._send(caller, None, arrives)

    def cut(self, way: Callable[[str, str], bool], now: int) -> None:
        """Break all streams whose way is cut: both ends hear of it."""
        for end, other in list(self._other.items()):
            if not way(end.device, other.device):
                self._other.pop(end, None)
                self._send(end, None, now)

    def drop(self, device: str, now: int) -> None:
        """A device is gone, and what was under way to it."""
        for end in self.ends(device):
            other = self._other.pop(end)
            self._send(other, None, now)
        self._transit = [item for item in self._transit if item[2].device != device]
        heapq.heapify(self._transit)
        for memory in (self._last, self._under_way):
            for end in [end for end in memory if end.device == device]:
                del memory[end]

    def due(self) -> int | None:
        """When something arrives next."""
        return self._transit[0][0] if self._transit else None

    def arrived(self, now: int) -> Iterator[tuple[End, bytes | None]]:
        """What has arrived, in order; None for a stream that is closed."""
        while self._transit and self._transit[0][0] <= now:
            _, _, end, data = heapq.heappop(self._transit)
            if data is None:
                for memory in (self._other, self._last, self._under_way):
                    memory.pop(end, None)
            else:
                self._under_way[end] -= len(data)
            yield end, data

    def _send(self, end: End, data: bytes | None, arrives: int) -> None:
        size = 0 if data is None else len(data)
        self._under_way[end] = self._under_way.get(end, 0) + size
        takes = size // self.bytes_per_ms if self.bytes_per_ms else 0
        self._last[end] = max(arrives, self._last.get(end, 0)) + takes
        self._sent += 1
        heapq.heappush(self._transit, (self._last[end], self._sent, end, data))
