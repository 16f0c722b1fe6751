"""Streams between simulated devices: who calls whom, and what the network makes of it.

Owns: calls and what is written on them. Must not know: nodes' insides, what streams carry. A stream loses nothing;
where datagrams would be lost it waits, and where the way is cut it falls silent for good.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from random import Random
from typing import cast

from quire.core.address import HostPort
from quire.net.streams import Call
from quire.sim.device import Device
from quire.sim.network import Network
from quire.sim.pipes import End, Pipes

#: How long (ms) what was lost takes to come again, and bytes that a way carries in a ms.
_AGAIN_MS, _BYTES_PER_MS = 200, 5_000


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
        self._pipes = Pipes(_BYTES_PER_MS)
        #: Bytes that each device wrote on streams.
        self.carried: Counter[str] = Counter()
        #: Streams that fell silent, by either end.
        self._dead: dict[End, None] = {}

    def due(self) -> int | None:
        """When something arrives next (ms)."""
        return self._pipes.due()

    def carry(self, device: Device, now: int) -> None:
        """Do what a device wants of its streams, and take what it has to write."""
        while device.calls:
            wanted = device.calls.popleft()
            if isinstance(wanted, Call):
                self._call(device, wanted, now)
            else:
                self._write(device, now)
                self._pipes.close(End(device.name, wanted.number), now + self._delay())
        self._write(device, now)

    def deliver(self, now: int) -> None:
        """Hand over what has arrived."""
        for end, data in list(self._pipes.arrived(now)):
            device = self._devices[end.device]
            other = self._pipes.other(end)
            if data and other is not None and not self._network.joins(end.device, other.device):
                self._dead[end] = self._dead[other] = None
            if device.running and (data is None or end not in self._dead):
                with self._mortal(device):
                    if data is None:
                        device.stream_closed(end.number, now)
                    else:
                        device.receive_stream(end.number, data, now)

    def drop(self, device: Device, now: int) -> None:
        """A device died: its streams end."""
        device.calls.clear()
        self._pipes.drop(device.name, now)
        # Its next run counts its streams from the first again.
        self._dead = {end: None for end in self._dead if end.device != device.name}

    def _call(self, device: Device, call: Call, now: int) -> None:
        end = End(device.name, call.number)
        name = self._network.named(cast(HostPort, call.address))
        called = None if name is None else self._devices.get(name)
        number = None
        if called is not None and called.running and self._network.lets_call(device.name, called.name):
            with self._mortal(called):
                number = called.stream_called(now)
        if called is None or number is None:
            self._pipes.refuse(end, now + self._delay())
        else:
            self._pipes.join(end, End(called.name, number))

    def _write(self, device: Device, now: int) -> None:
        for end in self._pipes.ends(device.name):
            while device.running and self._pipes.has_room(end):
                data = device.stream_to_send(end.number, now)
                if not data:
                    break
                self.carried[device.name] += len(data)
                self._pipes.write(end, data, now + self._delay())

    def _delay(self) -> int:
        is_, wait = self._network.conditions, 0
        while self._random.random() < is_.loss:
            wait += _AGAIN_MS
        return wait + is_.delay_ms + self._random.randrange(is_.jitter_ms + 1)
