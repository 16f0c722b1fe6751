"""The world: carries out `sim_events` on devices and network, in virtual time.

Owns: the order in which things happen, and noting what came of what was planned. Must not know: what was
meant to come of it (that is the checker's), where the plan came from.
"""

from bisect import insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from quire.errors import NotFound, NotIn, UserError
from quire.sim import people
from quire.sim.device import Crashed, Device
from quire.sim.ground import CRASHED, DONE, DOWN, REFUSED, GroundTruth, SimEvent
from quire.sim.network import Network
from quire.sim.scenario import Conditions

#: A node that has something to do so often within one millisecond will never be done.
MAX_TURNS_AT_ONCE = 10_000
#: Who cannot invite or join yet (it is not let in itself, has no link, its device is down) tries again so often,
#: for so long (ms).
TRY_AGAIN_MS, PATIENCE_MS = 1_000, 120_000


class Stuck(Exception):
    """Virtual time stands still."""


class World:
    """`restarted` is called for each device that has just come back from a crash."""

    def __init__(
        self, ground: GroundTruth, folder: Path, seed: int, strategy: str, restarted: Callable[[Device], None]
    ) -> None:
        self.now = 0
        self.devices: dict[str, Device] = {}
        self.network = Network(seed)
        self._ground = ground
        self._folder = folder
        self._seed = seed
        self._strategy = strategy
        self._restarted = restarted
        self._plan = ground.plan()
        self._next = 0
        self._links: people.Links = {}
        self._crash_of: dict[str, int] = {}
        #: Called with each device that has just acted, and the time (ms).
        self.watch: Callable[[Device, int], None] | None = None

    @property
    def last_step(self) -> int:
        """When the last planned thing happens (ms); later than it was if something has to be tried again."""
        return self._plan[-1].at_ms

    def run(self, until: int) -> None:
        """Let everything happen up to and including this time (ms). Raises Stuck."""
        turns = 0
        while (due := self._due()) <= until:
            turns = turns + 1 if due == self.now else 0
            if turns > MAX_TURNS_AT_ONCE:
                raise Stuck(f"nodes are busy without end at {self.now} ms")
            self.now = max(self.now, due)
            self._happen()
            self._deliver()
            for device in self._running():
                if device.due <= self.now:
                    self._pump(device)
        self.now = until

    def stop(self) -> None:
        """End all runs cleanly."""
        for device in self.devices.values():
            device.stop()

    def _running(self) -> list[Device]:
        return [device for device in self.devices.values() if device.running]

    def _due(self) -> int:
        due = [device.due for device in self._running()]
        if self._next < len(self._plan):
            due.append(self._plan[self._next].at_ms)
        arrival = self.network.next_arrival()
        return min(due if arrival is None else [*due, arrival])

    def _happen(self) -> None:
        while self._next < len(self._plan) and self._plan[self._next].at_ms <= self.now:
            event = self._plan[self._next]
            self._next += 1
            if event.action in people.ACTIONS:
                self._act(event)
            elif event.actor == "network":
                self._change_network(event)
            elif event.action != "rest":
                self._change_device(event)

    def _deliver(self) -> None:
        for arrival in self.network.arrivals(self.now):
            device = self.devices[arrival.target]
            if device.running:
                with self._mortal(device):
                    device.receive(arrival.data, arrival.source, self.now)

    def _pump(self, device: Device) -> None:
        with self._mortal(device):
            for data, target in device.pump(self.now):
                self.network.send(data, device.name, device.address, target, self.now)
        if self.watch is not None and device.running:
            self.watch(device, self.now)

    @contextmanager
    def _mortal(self, device: Device) -> Iterator[None]:
        """The device may die in here."""
        try:
            yield
        except Crashed:
            device.crash()
            self._ground.add(self.now, device.name, CRASHED, {"of": self._crash_of[device.name]})

    # People.

    def _act(self, event: SimEvent) -> None:
        device = self.devices[event.detail["device"]]
        if not device.running:
            self._not_done(event, DOWN, "the device is down")
            return
        with self._mortal(device):
            try:
                done = people.act(device, event, self._links, self.now)
            except UserError as error:
                self._not_done(event, error.code, str(error))
                return
            self._note(event, DONE, done)
            device.committed(self.now)

    def _not_done(self, event: SimEvent, why: str, words: str) -> None:
        again = event._replace(at_ms=self.now + TRY_AGAIN_MS, tries=event.tries + 1)
        # Who was to invite may not have come to join yet, and have no identity.
        passing = why in (DOWN, NotIn.code, NotFound.code)
        if event.action != "write" and passing and again.tries * TRY_AGAIN_MS < PATIENCE_MS:
            insort(self._plan, again, self._next, key=lambda one: one.at_ms)
        else:
            self._note(event, REFUSED, {"why": why, "words": words})

    def _note(self, event: SimEvent, outcome: str, detail: dict[str, object]) -> None:
        self._ground.add(self.now, event.actor, outcome, {"of": event.n, **detail})

    # Network and devices.

    def _change_network(self, event: SimEvent) -> None:
        if event.action == "conditions":
            self.network.conditions = msgspec.convert(event.detail, Conditions)
        elif event.action == "partition":
            self.network.partition(event.detail["groups"])
        elif event.action == "silence":
            self.network.silence(*event.detail["groups"])
        elif event.action == "clog":
            self.network.clog(event.detail["device"], event.detail["until_ms"])
        elif event.action == "shield":
            self.network.shield(event.detail["device"])
        else:
            self.network.heal()

    def _change_device(self, event: SimEvent) -> None:
        if event.action == "boot":
            self._boot(event)
            return
        device = self.devices[event.actor]
        if event.action == "clock":
            device.ahead = event.detail["ahead_ms"]
            device.due = self.now
        elif event.action == "crash":
            self._crash_of[device.name] = event.n
            device.crash_after(event.detail["after_statements"])
        elif event.action == "restart":
            self._restart(device, event)
        elif event.action == "offline":
            self.network.unplug(device.name)
        else:
            self.network.plug(device.name)

    def _boot(self, event: SimEvent) -> None:
        host = event.detail["host"]
        device = Device(event.actor, self._folder / event.actor, host, self._seed, self._strategy)
        self.devices[device.name] = device
        self.network.place(device.name, device.address)
        device.start(self.now)

    def _restart(self, device: Device, event: SimEvent) -> None:
        with self._mortal(device):
            if device.running:  # it had so little to do that it never came to the statement it was to die at
                raise Crashed
        device.host = event.detail["host"]
        self.network.place(device.name, device.address)
        device.start(self.now)
        self._restarted(device)
