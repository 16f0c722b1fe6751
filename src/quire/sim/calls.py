"""Streams between simulated devices: who calls whom, and what the network makes of it.

Owns: calls, what is written on streams and waits for the uplink. Must not know: nodes' insides, what streams carry. A
stream loses nothing: where datagrams would be lost it waits. A damaged byte stays damaged, for whoever reads it to see.
"""

import heapq
from collections import Counter, deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from random import Random
from typing import Any, NamedTuple, cast

from quire.core.address import HostPort
from quire.net.streams import Call
from quire.sim.device import Device
from quire.sim.network import Network
from quire.sim.pipes import AGAIN_MS, WINDOW, End, Pipes

#: Bytes that a way carries in a ms, where no uplink is narrow; bytes that a stream puts on a narrow one at a time.
_BYTES_PER_MS, _PIECE = 5_000, 4_000
#: How long a call that nobody answers is waited for (ms), as the runtime does.
_PATIENCE_MS = 3_000


class _Knock(NamedTuple):
    """A call on its way, since when; or, with `called`, the word on its way back that it was taken."""

    caller: End
    address: HostPort
    begun: int
    called: End | None = None


class Calls:
    """Of all `devices` on a network; `mortal` is entered where one of them may die."""

    def __init__(
        self,
        network: Network,
        devices: dict[str, Device],
        seed: int,
        mortal: Callable[[Device], AbstractContextManager[None]],
    ) -> None:
        self._network = network
        self._devices = devices
        self._random = Random(f"{seed} calls")
        self._mortal = mortal
        self._pipes = Pipes(_BYTES_PER_MS, self._reaches, self._delay)
        #: Bytes that each device wrote on streams.
        self.carried: Counter[str] = Counter()
        # (when, order, call)
        self._knocks: list[tuple[int, int, _Knock]] = []
        self._order = 0
        #: Callers who have not heard yet that they were answered.
        self._opening: dict[End, None] = {}
        #: What was written and is not on the uplink, in turns (None: the stream is closed then); when devices go on.
        self._waiting: dict[End, deque[bytes | None]] = {}
        self._turns: dict[str, int] = {}
        #: Ends at which more is written when there is room.
        self._full: dict[End, None] = {}
        #: Machines without power.
        self._off: dict[str, None] = {}

    def due(self) -> int | None:
        """When something happens next (ms)."""
        due = [*self._turns.values(), *(at for at, _, _ in self._knocks[:1])]
        if (at := self._pipes.due()) is not None:
            due.append(at)
        return min(due, default=None)

    def carry(self, device: Device, now: int) -> None:
        """Do what a device wants of its streams, and take what it has to write."""
        while device.calls:
            wanted = device.calls.popleft()
            if isinstance(wanted, Call):
                call = _Knock(End(device.name, wanted.number), cast(HostPort, wanted.address), now)
                self._knock_at(now + self._delay(), call)
            else:
                self._write(device, now)
                self._hang_up(End(device.name, wanted.number), now)
        self._write(device, now)

    def deliver(self, now: int) -> None:
        """Hand over what has arrived, and write what there is room for by now."""
        while self._knocks and self._knocks[0][0] <= now:
            self._hear(heapq.heappop(self._knocks)[-1], now)
        for end, data in list(self._pipes.arrived(now)):
            device = self._devices[end.device]
            if device.running:
                with self._mortal(device):
                    if data is None:
                        device.stream_closed(end.number, now)
                    else:
                        device.receive_stream(end.number, data, now)
        for name in [name for name, at in self._turns.items() if at <= now]:
            self._transmit(name, now)
        for end in [end for end in self._full if self._has_room(end)]:
            device = self._devices[end.device]
            if end in self._full and device.running:
                del self._full[end]
                with self._mortal(device):
                    self._write(device, now)

    def drop(self, device: Device, power: bool, now: int) -> None:
        """A device died. Its machine ends its streams; where it lost `power`, nobody hears of that."""
        device.calls.clear()
        memories: tuple[dict[End, Any], ...] = self._opening, self._waiting, self._full
        for memory in memories:
            for end in [end for end in memory if end.device == device.name]:
                del memory[end]
        self._forget_knocks(lambda end: end.device == device.name)
        if power:
            self._off[device.name] = None
            self._pipes.vanish(device.name)
        else:
            self._pipes.drop(device.name, now + self._delay())

    def boot(self, device: Device, moved: bool) -> None:
        """The machine of a device that died is there again, or has `moved` to another address."""
        self._off.pop(device.name, None)
        if moved:
            self._pipes.move(device.name)

    def _reaches(self, one: str, other: str) -> bool:
        return other not in self._off and self._network.joins(one, other)

    # Calls.

    def _knock_at(self, at: int, knock: _Knock) -> None:
        self._order += 1
        heapq.heappush(self._knocks, (at, self._order, knock))

    def _forget_knocks(self, of: Callable[[End], bool]) -> None:
        self._knocks = [item for item in self._knocks if not of(item[-1].caller)]
        heapq.heapify(self._knocks)

    def _hear(self, knock: _Knock, now: int) -> None:
        if knock.called is not None:
            self._opening.pop(knock.caller, None)
            self._devices[knock.caller.device].due = now
            return
        name = self._network.named(knock.address)
        if name is None or name in self._off or not self._network.lets_call(knock.caller.device, name):
            self._pipes.refuse(knock.caller, max(now, knock.begun + _PATIENCE_MS))
            return
        called, number = self._devices[name], None
        if called.running:
            with self._mortal(called):
                number = called.stream_called(now)
        if number is None:
            self._pipes.refuse(knock.caller, now + self._delay())
        else:
            self._join(knock._replace(called=End(name, number)), End(name, number), now)

    def _join(self, knock: _Knock, called: End, now: int) -> None:
        self._pipes.join(knock.caller, called)
        self._opening[knock.caller] = None
        self._knock_at(now + self._delay(), knock)

    def _hang_up(self, end: End, now: int) -> None:
        self._full.pop(end, None)
        self._opening.pop(end, None)
        self._forget_knocks(lambda caller: caller == end)
        if end in self._waiting:
            self._waiting[end].append(None)
        else:
            self._pipes.close(end, now + self._delay())

    # What is written.

    def _has_room(self, end: End) -> bool:
        waiting = sum(len(data or b"") for data in self._waiting.get(end, ()))
        return end not in self._opening and self._pipes.under_way(end) + waiting < WINDOW

    def _write(self, device: Device, now: int) -> None:
        for end in self._pipes.ends(device.name):
            while device.running and (room := self._has_room(end)):
                data = device.stream_to_send(end.number, now)
                if not data:
                    break
                self.carried[device.name] += len(data)
                on = f"{end} {self._pipes.other(end)}"
                data = self._network.written(device.name, on, data, self._random, now)
                self._waiting.setdefault(end, deque()).append(data)
                self._transmit(device.name, now)
            if not room:
                self._full[end] = None

    def _transmit(self, name: str, now: int) -> None:
        """Put on the uplink of a device what it takes now, of all its streams in turns."""
        self._turns.pop(name, None)
        while (end := next((end for end in self._waiting if end.device == name), None)) is not None:
            if (at := self._network.uplink_takes(name, now)) > now:
                self._turns[name] = at
                return
            queue = self._waiting.pop(end)
            self._send(end, queue, now)
            if queue and self._pipes.other(end) is not None:
                self._waiting[end] = queue

    def _send(self, end: End, queue: deque[bytes | None], now: int) -> None:
        data, other = queue.popleft(), self._pipes.other(end)
        if other is None:
            return
        if data is None:
            self._pipes.close(end, now + self._delay())
            return
        narrow = self._network.conditions.uplink_kb > 0
        if narrow and len(data) > _PIECE:
            queue.appendleft(data[_PIECE:])
            data = data[:_PIECE]
        leaves = self._network.stream_leaves(end.device, other.device, len(data), now)
        self._pipes.write(end, data, leaves + self._delay())

    def _delay(self) -> int:
        is_, wait = self._network.conditions, 0
        while self._random.random() < is_.loss:
            wait += AGAIN_MS
        return wait + is_.delay_ms + self._random.randrange(is_.jitter_ms + 1)
