"""Streams in virtual time, as TCP is: in order, sent again until it is there, and no more than that is told of an end.

Owns: what is under way on streams, and who hears when one is over. Must not know: nodes, what the network does to
datagrams.

A way that is cut says nothing: what was written is tried again later and later. Who is gone says so if its machine is
there to do it; if not, whoever writes to it finds out when the machine is there again, or after a quarter of an hour.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple


class End(NamedTuple):
    """One end of a stream: a device by name, and its own number for the stream."""

    device: str
    number: int


#: Bytes that may be under way to one end, as in the buffers of a real one.
WINDOW = 512 * 1024
#: What does not get through is sent again after so long, then after twice as long each time, up to the most (ms); it is
#: given up after so long, sooner where whoever wrote it has closed: as Linux does.
AGAIN_MS, _MOST_AGAIN_MS, GIVE_UP_MS, _CLOSED_MS = 200, 120_000, 924_600, 102_200


class _Flow:
    """One direction of a stream. `queue` holds when what arrives (None: that it is closed), `size` how many bytes."""

    def __init__(self, source: End, target: End) -> None:
        self.source = source
        self.target = target
        self.back = self
        self.queue: deque[tuple[int, bytes | None]] = deque()
        self.size = self.last = 0
        #: Since when nothing gets through, and how long is waited before the next try.
        self.stuck: int | None = None
        self.wait = 0
        #: Whether the other machine has another address by now; whether it is about to say that it knows of no stream.
        self.lost = self.unknown = False


class Pipes:
    """Times in ms; `bytes_per_ms` is how fast each end is written to (0: at once). `reaches` tells whether anything
    gets from one device's machine to another's and is answered, `delay` how long it takes.
    """

    def __init__(
        self,
        bytes_per_ms: int = 0,
        reaches: Callable[[str, str], bool] = lambda _, __: True,
        delay: Callable[[], int] = lambda: 1,
    ) -> None:
        self.bytes_per_ms = bytes_per_ms
        self._reaches = reaches
        self._delay = delay
        #: What each end that is there writes to.
        self._flows: dict[End, _Flow] = {}
        # (when, order, what is under way; or who is told that its stream is closed)
        self._transit: list[tuple[int, int, _Flow | End]] = []
        self._order = 0

    def join(self, caller: End, called: End) -> None:
        """A stream is there between two ends."""
        there, back = _Flow(caller, called), _Flow(called, caller)
        there.back, back.back = back, there
        self._flows[caller], self._flows[called] = there, back

    def ends(self, device: str) -> list[End]:
        """The ends that a device has."""
        return [end for end in self._flows if end.device == device]

    def other(self, end: End) -> End | None:
        """The other end of a stream that is there."""
        flow = self._flows.get(end)
        return None if flow is None else flow.target

    def under_way(self, end: End) -> int:
        """How many bytes that were written at an end have not arrived."""
        flow = self._flows.get(end)
        return 0 if flow is None else flow.size

    def has_room(self, end: End) -> bool:
        """Whether more may be written at an end now."""
        return end in self._flows and self.under_way(end) < WINDOW

    def write(self, end: End, data: bytes, arrives: int) -> None:
        """Bytes from one end arrive at the other."""
        self._send(self._flows[end], data, arrives)

    def close(self, end: End, arrives: int) -> None:
        """One end closes; the other one hears of it after all that was written."""
        flow = self._flows.pop(end, None)
        if flow is not None:
            self._send(flow, None, arrives)

    def refuse(self, caller: End, at: int) -> None:
        """Nobody took the call."""
        self._push(at, caller)

    def cut(self, way: Callable[[str, str], bool], now: int) -> None:
        """Break all streams whose way is cut: both ends hear of it."""
        for end, flow in list(self._flows.items()):
            if not way(end.device, flow.target.device):
                self._forget(end)
                self._push(now, end)

    def drop(self, device: str, arrives: int) -> None:
        """A device's program is gone: its machine closes what it had open."""
        for end in self.ends(device):
            self.close(end, arrives)
        self._call_off(device)

    def vanish(self, device: str) -> None:
        """A machine is off: nothing more comes from there, and nobody is told."""
        for end in self.ends(device):
            self._forget(end)
        for flow in self._flowing():
            if flow.source.device == device:
                flow.queue.clear()
        self._call_off(device)

    def move(self, device: str) -> None:
        """A machine that runs nothing has another address: what goes to or comes from its former one is lost."""
        self.vanish(device)
        for flow in (*self._flows.values(), *self._flowing()):
            flow.lost |= flow.target.device == device

    def due(self) -> int | None:
        """When something arrives next, or is tried again."""
        return self._transit[0][0] if self._transit else None

    def arrived(self, now: int) -> Iterator[tuple[End, bytes | None]]:
        """What has arrived, in order; None for a stream that is closed."""
        while self._transit and self._transit[0][0] <= now:
            _, _, item = heapq.heappop(self._transit)
            if isinstance(item, End):
                yield item, None
            elif item.unknown:
                yield from self._hear_unknown(item, now)
            else:
                yield from self._arrive(item, now)

    def _arrive(self, flow: _Flow, now: int) -> Iterator[tuple[End, bytes | None]]:
        while flow.queue and flow.queue[0][0] <= now:
            if not self._gets_through(flow):
                yield from self._try_again(flow, now)
                return
            if self._flows.get(flow.target) is not flow.back:
                flow.unknown = True
                self._push(now + self._delay(), flow)
                return
            flow.stuck, flow.wait = None, 0
            _, data = flow.queue.popleft()
            flow.size -= len(data or b"")
            if data is None:
                self._forget(flow.target)
            yield flow.target, data
        if flow.queue:
            self._push(flow.queue[0][0], flow)

    def _hear_unknown(self, flow: _Flow, now: int) -> Iterator[tuple[End, None]]:
        """Whoever wrote is told that there is no such stream: then it is over."""
        flow.unknown = False
        if self._gets_through(flow):
            yield from self._break(flow)
        else:
            yield from self._try_again(flow, now)

    def _gets_through(self, flow: _Flow) -> bool:
        return not flow.lost and self._reaches(flow.source.device, flow.target.device)

    def _try_again(self, flow: _Flow, now: int) -> Iterator[tuple[End, None]]:
        flow.stuck = now if flow.stuck is None else flow.stuck
        patience = GIVE_UP_MS if self._flows.get(flow.source) is flow else _CLOSED_MS
        if now - flow.stuck >= patience:
            yield from self._break(flow)
        elif flow.queue:
            flow.wait = min(max(AGAIN_MS, 2 * flow.wait), _MOST_AGAIN_MS)
            self._push(now + flow.wait, flow)

    def _break(self, flow: _Flow) -> Iterator[tuple[End, None]]:
        flow.queue.clear()
        if self._flows.get(flow.source) is flow:
            del self._flows[flow.source]
            yield flow.source, None

    def _forget(self, end: End) -> None:
        self._flows.pop(end).queue.clear()

    def _call_off(self, device: str) -> None:
        self._transit = [item for item in self._transit if not self._is_told(item[2], device)]
        heapq.heapify(self._transit)

    def _is_told(self, item: _Flow | End, device: str) -> bool:
        return isinstance(item, End) and item.device == device

    def _flowing(self) -> list[_Flow]:
        return [item for _, _, item in self._transit if isinstance(item, _Flow)]

    def _send(self, flow: _Flow, data: bytes | None, arrives: int) -> None:
        size = len(data or b"")
        takes = size // self.bytes_per_ms if self.bytes_per_ms else 0
        flow.size += size
        flow.last = max(arrives, flow.last) + takes
        if not flow.queue and not flow.unknown:
            self._push(flow.last, flow)
        flow.queue.append((flow.last, data))

    def _push(self, at: int, item: _Flow | End) -> None:
        self._order += 1
        heapq.heappush(self._transit, (at, self._order, item))
