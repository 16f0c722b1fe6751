"""The world: carries out `sim_events` on devices and network, in virtual time.

Owns: the order in which things happen, and noting what came of what was planned. Must not know: what was
meant to come of it (that is the checker's), where the plan came from.
"""

from bisect import insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from quire.errors import Damaged, HomeError, NotFound, NotIn, QuireError
from quire.sim import people
from quire.sim.calls import Calls
from quire.sim.device import Crashed, Device
from quire.sim.faults import DEATHS
from quire.sim.gathering import gather
from quire.sim.ground import CRASHED, DONE, DOWN, REFUSED, GroundTruth, SimEvent
from quire.sim.network import Network
from quire.sim.scenario import Conditions

#: A node that has something to do so often within one millisecond will never be done.
MAX_TURNS_AT_ONCE = 10_000
#: When something happens that does not (ms).
_NEVER = 2**63
#: Who cannot invite or join yet (it is not let in itself, has no link, its device is down) tries again so often, and
#: for so long after the end of the plan (ms): what keeps it from it may be mended no earlier.
TRY_AGAIN_MS, PATIENCE_MS = 1_000, 120_000


class Stuck(Exception):
    """Virtual time stands still."""


class World:
    """`restarted` is called for each device that has just come back from a crash; `streams`: nodes can call others."""

    def __init__(
        self,
        ground: GroundTruth,
        folder: Path,
        seed: int,
        strategy: str,
        restarted: Callable[[Device], None],
        streams: bool = False,
    ) -> None:
        self.now = 0
        self.devices: dict[str, Device] = {}
        self.network = Network(seed)
        self._streams = streams
        self.calls = Calls(self.network, self.devices, seed, self._mortal)
        self._ground = ground
        self._folder = folder
        self._seed = seed
        self._strategy = strategy
        self._restarted = restarted
        self._plan = ground.plan()
        self._give_up = max((step.at_ms for step in self._plan), default=0) + PATIENCE_MS
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
                if self._turn(device) <= self.now:
                    self._pump(device)
        self.now = until

    def stop(self) -> None:
        """End all runs cleanly."""
        for device in self.devices.values():
            device.stop()

    def _running(self) -> list[Device]:
        return [device for device in self.devices.values() if device.running]

    def _due(self) -> int:
        due = [self._turn(device) for device in self._running()]
        if self._next < len(self._plan):
            due.append(self._plan[self._next].at_ms)
        arrivals = self.network.next_arrival(), self.calls.due()
        return min([*due, *(at for at in arrivals if at is not None)], default=_NEVER)

    def _turn(self, device: Device) -> int:
        """When a device acts next: as datagrams are, all of one moment are done together."""
        return device.due + -device.due % self.network.conditions.together_ms

    def _happen(self) -> None:
        while self._next < len(self._plan) and self._plan[self._next].at_ms <= self.now:
            event = self._plan[self._next]
            self._next += 1
            if event.action in people.ACTIONS:
                self._act(event)
            elif event.actor == "network":
                self._change_network(event)
            elif event.action == "gather":
                self._gather(event)
            elif event.action != "rest":
                self._change_device(event)

    def _deliver(self) -> None:
        for arrival in self.network.arrivals(self.now):
            device = self.devices[arrival.target]
            if device.running:
                with self._mortal(device):
                    device.receive(arrival.data, arrival.source, self.now)
        self.calls.deliver(self.now)

    def _pump(self, device: Device) -> None:
        with self._mortal(device):
            for data, target in device.pump(self.now):
                self.network.send(data, device.name, device.address, target, self.now)
            self.calls.carry(device, self.now)
        if self.watch is not None and device.running:
            self.watch(device, self.now)

    @contextmanager
    def _mortal(self, device: Device) -> Iterator[None]:
        """The device may die in here."""
        try:
            yield
        except Crashed:
            power = device.losing_power
            device.crash()
            self.calls.drop(device, power, self.now)
            detail = {"of": self._crash_of.pop(device.name), "kept_ms": device.kept_ms}
            self._ground.add(self.now, device.name, CRASHED, detail)

    # People.

    def _gather(self, event: SimEvent) -> None:
        host = self.devices[event.actor]
        gather(host, [one for one in self._running() if one is not host], event.detail["space"], self.now)
        for device in self._running():
            device.committed(self.now)

    def _act(self, event: SimEvent) -> None:
        device = self.devices[event.detail["device"]]
        if not device.running:
            self._not_done(event, DOWN, "the device is down")
            return
        told = False
        with self._mortal(device):
            try:
                with device.home.store.db.plain_errors(), device.home.store.transaction():  # as the API does
                    done = people.act(device, event, self._links, self.now)
            except QuireError as error:
                self._not_done(event, error.code, self._words(error))
                return
            self._note(event, DONE, done)
            told = True
            if event.action == "invite":
                self._links[event.detail["space"], event.detail["guest"]] = done["link"]
            device.committed(self.now)
        if not told and event.action != "write":  # it died on it: nothing of it was kept
            self._try_again(event)

    def _words(self, error: QuireError) -> str:
        """The text of an error; where this run keeps its files says nothing of it."""
        return str(error).replace(str(self._folder), "homes")

    def _not_done(self, event: SimEvent, why: str, words: str) -> None:
        # Who was to invite may not have come to join yet, and have no identity.
        passing = why in (DOWN, NotIn.code, NotFound.code, HomeError.code, Damaged.code)
        if event.action != "write" and passing and self.now < self._give_up:
            self._try_again(event)
        else:
            self._note(event, REFUSED, {"why": why, "words": words})

    def _try_again(self, event: SimEvent) -> None:
        again = event._replace(at_ms=self.now + TRY_AGAIN_MS)
        insort(self._plan, again, self._next, key=lambda one: one.at_ms)

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
        elif event.action in DEATHS:
            self._doom(device, event)
        elif event.action == "lie":
            self._lie(device, event)
        elif event.action == "disk" and device.disk is not None:
            device.disk.full, device.disk.failing = event.detail["full"], event.detail["failing"]
        elif event.action == "restart":
            self._restart(device, event)
        elif event.action == "offline":
            self.network.unplug(device.name)
        else:
            self.network.plug(device.name)

    def _boot(self, event: SimEvent) -> None:
        host = event.detail["host"]
        told = event.detail
        kind = told.get("bad_disk", False), told.get("lying", False), self._streams, told.get("power", True)
        device = Device(event.actor, self._folder / event.actor, host, self._seed, self._strategy, *kind)
        self.devices[device.name] = device
        self.network.place(device.name, device.address)
        device.start(self.now)

    def _lie(self, device: Device, event: SimEvent) -> None:
        if not device.running:
            self._note(event, REFUSED, {"why": DOWN, "words": "the device is down"})
            return
        with self._mortal(device):
            try:
                self._note(event, DONE, device.lie(event.detail["how"], self.now))
            except QuireError as error:
                self._note(event, REFUSED, {"why": error.code, "words": self._words(error)})

    def _doom(self, device: Device, event: SimEvent) -> None:
        if not device.running:  # its disk did not let it start again yet
            return
        self._crash_of[device.name] = event.n
        if event.action == "crash":
            device.crash_after(event.detail["after_statements"])
        elif event.action == "power":
            device.lose_power_after(event.detail["after_statements"])
        else:
            device.tear_after(event.detail["after_writes"])

    def _restart(self, device: Device, event: SimEvent) -> None:
        with self._mortal(device):
            if (
                device.name in self._crash_of
            ):  # it had too little to do to come to the statement it was to die at
                raise Crashed
        if device.running:
            return
        self.calls.boot(device, device.host != event.detail["host"])
        device.host = event.detail["host"]
        self.network.place(device.name, device.address)
        try:
            device.start(self.now)
        except HomeError as error:  # its disk fails
            self._not_done(event, error.code, self._words(error))
            return
        with device.sound():
            self._restarted(device)
