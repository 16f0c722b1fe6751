"""The plan of what goes wrong: crashes, bad disks, absences, partitions and bad clocks.

Owns: when each fault begins and ends, and so which device is up when. Must not know: what people do,
how faults are carried out.
"""

from random import Random
from typing import Any, NamedTuple

from quire.sim.scenario import Faults

#: Virtual time (ms) before which nothing goes wrong, so that there is something to go wrong.
FIRST_FAULT_MS = 1_000
#: The longest that something lasts (ms), and the share of the run that it may take.
_LONGEST_MS, _LONGEST_SHARE = 20_000, 3
#: What a device dies of; it lasts until its `restart`.
DEATHS = ("crash", "tear", "power")
#: A crash comes before one of so many next SQL statements: in the midst of whatever the node does then.
_MOST_STATEMENTS = 400
#: A tear is in one of so many next writes to the log; one read or write of so many fails on a failing disk.
_MOST_WRITES = 60
_FAILING = (10, 40, 200)


class Step(NamedTuple):
    """A row of the plan."""

    at: int
    actor: str
    action: str
    detail: dict[str, Any]


class FaultPlan:
    """`hosts` are the devices' first addresses by name; everything is mended at `end` (ms)."""

    def __init__(self, faults: Faults, hosts: dict[str, str], end: int, random: Random) -> None:
        self.steps: list[Step] = []
        #: When each device does not run, as [from, to] in order.
        self.down: dict[str, list[tuple[int, int]]] = {name: [] for name in hosts}
        self._hosts = dict(hosts)
        self._end = end
        self._longest = min(_LONGEST_MS, end // _LONGEST_SHARE)
        self._random = random
        self.bad_disks = random.sample(list(hosts), min(faults.bad_disks, len(hosts)))
        self._crashes(faults, "crash", faults.crashes)
        self._tears(faults)
        self._disks(faults)
        self._absences(faults)
        self._partitions(faults)
        self._clogs(faults)
        self._clocks(faults)
        self._crashes(faults, "power", faults.power_cuts)

    def is_up(self, device: str, at: int) -> bool:
        """Whether a device runs at this time."""
        return not any(start <= at <= end for start, end in self.down[device])

    def when_up(self, device: str, at: int) -> int:
        """The first time from `at` at which a device runs."""
        for start, end in sorted(self.down[device]):
            if start <= at <= end:
                at = end + 1
        return at

    def keep_in_place(self, device: str) -> None:
        """A device comes back where it was: people who never reached it yet know no other address."""
        for step in self.steps:
            if step.actor == device and step.action == "restart":
                step.detail["host"] = self._hosts[device]

    def _crashes(self, faults: Faults, how: str, times: int) -> None:
        devices = list(self._hosts)
        for number in range(times):
            device = self._random.choice(devices)
            after = self._random.choice(
                (0, self._random.randrange(20), self._random.randrange(_MOST_STATEMENTS))
            )
            moves = faults.moves and self._random.random() < 0.5
            host = f"10.0.{number + 1}.{devices.index(device) + 1}" if moves else self._hosts[device]
            self._die(device, how, {"after_statements": after}, host)

    def _tears(self, faults: Faults) -> None:
        for _ in range(faults.tears if self.bad_disks else 0):
            device = self._random.choice(self.bad_disks)
            after = {"after_writes": self._random.randrange(_MOST_WRITES)}
            self._die(device, "tear", after, self._hosts[device])

    def _die(self, device: str, how: str, detail: dict[str, Any], host: str) -> None:
        """Let a device die and start again, unless it is down about then."""
        start, end = self._window()
        if not any(start <= other[1] + 1 and other[0] <= end + 1 for other in self.down[device]):
            self.down[device].append((start, end))
            self.steps += [Step(start, device, how, detail), Step(end, device, "restart", {"host": host})]

    def _disks(self, faults: Faults) -> None:
        bad: dict[str, list[tuple[int, int]]] = {name: [] for name in self.bad_disks}
        for number in range(faults.disk_faults if bad else 0):
            device = self._random.choice(self.bad_disks)
            start, end = self._window()
            failing = 0.0 if number % 2 else 1 / self._random.choice(_FAILING)
            if not any(begun <= end and start <= ended for begun, ended in bad[device]):
                bad[device].append((start, end))
                fault = {"full": not failing, "failing": failing}
                self.steps.append(Step(start, device, "disk", fault))
                self.steps.append(Step(end, device, "disk", {"full": False, "failing": 0.0}))

    def _absences(self, faults: Faults) -> None:
        away: dict[str, list[tuple[int, int]]] = {name: [] for name in self._hosts}
        for _ in range(faults.absences):
            device = self._random.choice(list(self._hosts))
            start, end = self._window()
            if not any(start <= other[1] and other[0] <= end for other in away[device]):
                away[device].append((start, end))
                self.steps += [Step(start, device, "offline", {}), Step(end, device, "online", {})]

    def _partitions(self, faults: Faults) -> None:
        slot = (self._end - FIRST_FAULT_MS) // max(1, faults.partitions)
        for number in range(faults.partitions):
            first = FIRST_FAULT_MS + number * slot
            start = first + self._random.randrange(max(1, slot // 3))
            devices = list(self._hosts)
            self._random.shuffle(devices)
            cut = 1 + self._random.randrange(len(devices) - 1)
            groups = [sorted(devices[:cut]), sorted(devices[cut:])]
            action = "silence" if number < faults.one_way else "partition"
            self.steps.append(Step(start, "network", action, {"groups": groups}))
            self.steps.append(Step(first + slot, "network", "heal", {}))

    def _clogs(self, faults: Faults) -> None:
        for _ in range(faults.clogs):
            device = self._random.choice(list(self._hosts))
            start, end = self._window()
            self.steps.append(Step(start, "network", "clog", {"device": device, "until_ms": end}))

    def _clocks(self, faults: Faults) -> None:
        for device in self._hosts if faults.skew_s else ():
            self.steps.append(Step(0, device, "clock", {"ahead_ms": self._skew(faults.skew_s)}))
        for _ in range(faults.jumps):
            device = self._random.choice(list(self._hosts))
            # In the second half, when all have joined: who is minutes behind an inviter cannot join.
            at = self._end // 2 + self._random.randrange(self._end // 2)
            self.steps.append(Step(at, device, "clock", {"ahead_ms": self._skew(faults.jump_s)}))

    def _skew(self, most_s: int) -> int:
        return self._random.randrange(-most_s * 1_000, most_s * 1_000 + 1)

    def _window(self) -> tuple[int, int]:
        start = FIRST_FAULT_MS + self._random.randrange(self._end - FIRST_FAULT_MS)
        return start, min(self._end, start + 1 + self._random.randrange(self._longest))
