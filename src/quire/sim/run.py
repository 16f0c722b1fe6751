"""One simulation from seed to verdict.

Owns: putting workload, world and checker together, and the summary. Must not know: terminals.
"""

from contextlib import closing
from pathlib import Path
from random import Random

import msgspec

from quire.limits import TICK_MS
from quire.sim import evidence
from quire.sim.checker import MAX_TOLD, Checker
from quire.sim.device import Crashed, Device
from quire.sim.entitled import work_out
from quire.sim.ground import GroundTruth
from quire.sim.homes import NoRoom, is_nearly_full, kept_homes, no_room, temporary_homes
from quire.sim.mixture import drawn
from quire.sim.raised import raised
from quire.sim.scenario import DEFAULT, Scenario, load
from quire.sim.witness import Witness
from quire.sim.workload import write_plan
from quire.sim.world import World

#: How often it is asked who has settled: to 100 ms of virtual time for each ten devices, or 1 % of the time it has
#: taken.
_LOOK_MS, _FEW, _LOOK_SHARE = 100, 10, 100
#: How often nodes' memory is looked at before that (ms); of a long plan, so many times.
_WATCH_MS, _WATCHES = 5_000, 6
#: `full` is what the others are checked against: by it alone hardly anything would be said.
_STRATEGIES = ("sketch", "sketch", "sketch", "bloom")


class DeviceResult(msgspec.Struct):
    """One device at the end; `settled_ms` is since the faults stopped, None when it never did."""

    device: str
    people: list[str]
    events: int
    messages: int
    settled_ms: int | None
    datagrams: int
    bytes_sent: int
    lost: int
    corrupted: int
    crashes: int


class Result(msgspec.Struct):
    """The verdict on one run. Equal for equal seeds, to the last byte."""

    scenario: str
    seed: int
    faults: list[str]
    devices: list[DeviceResult]
    writes: int
    refused: int
    #: Writes that a crash cut off before they were acknowledged.
    interrupted: int
    virtual_ms: int
    settled_ms: int | None
    #: Ticks of every node that it took to settle, and that it may take.
    rounds: int | None
    most_rounds: int
    #: Of every datagram sent and all that was written on streams, and its time.
    fingerprint: str

    @property
    def replay(self) -> str:
        """The command that gives this very run again."""
        return replay(self.scenario, self.seed)


def replay(scenario: str, seed: int) -> str:
    """The command that gives a run again."""
    return f"quire sim run {scenario} --seed {seed}"


def simulate(
    name: str = DEFAULT,
    seed: int = 7,
    keep: Path | None = None,
    witness: Witness | None = None,
    made: Scenario | None = None,
) -> Result:
    """Run a scenario by name; with `keep`, leave `sim.db` and each device's home in that folder.

    A `witness` notes what happens; it changes nothing about the run. `made` is the scenario, if it was read before.

    Raises UserError when there is no such scenario, or the folder cannot be used or is; NoRoom.
    """
    scenario = load(name) if made is None else made
    if keep is not None:
        with kept_homes(keep):
            return run_scenario(name, scenario, seed, keep, keep / "sim.db", witness)
    with temporary_homes() as folder:
        return run_scenario(name, scenario, seed, folder, ":memory:", witness)


def run_scenario(
    name: str,
    scenario: Scenario,
    seed: int,
    folder: Path,
    ground_path: Path | str,
    witness: Witness | None = None,
) -> Result:
    """Run a scenario with its devices' homes in `folder`.

    Whatever goes wrong is a fault of the run that is given, but where the homes have no room: raises NoRoom.
    """
    scenario = drawn(scenario, seed)
    result = _empty(name, scenario, seed)
    try:
        with closing(GroundTruth(ground_path)) as ground:
            run = _Run(scenario, seed, folder, ground)
            with closing(run):
                _watch(run, scenario, witness)
                result.faults = run.to_the_end()
                if witness is not None:
                    witness.end(ground, run.world.devices.values(), run.world.now)
                result = run.result(name, seed, result.faults)
    except NoRoom:
        raise
    except (Exception, Crashed) as error:
        if is_nearly_full(folder):
            raise no_room(folder) from error
        # The simulator's own mistakes too: no run may end without a verdict.
        result.faults.append(f"the simulation raised {raised(error)}")
    return result


def _watch(run: "_Run", scenario: Scenario, witness: Witness | None) -> None:
    if witness is not None:
        witness.begin(run.world.last_step, scenario.settle_s * 1_000)
        run.world.watch = witness.look


def _empty(name: str, scenario: Scenario, seed: int) -> Result:
    """Of a run that has come to nothing yet."""
    most = scenario.settle_s * 1_000 // TICK_MS
    return Result(name, seed, [], [], 0, 0, 0, 0, None, None, most, "")


def has_streams(scenario: Scenario, seed: int) -> bool:
    """Whether nodes can call each other in a run: in every other one, where the scenario does not say.

    What datagrams do alone is to be looked at as well.
    """
    return Random(f"{seed} streams").random() < 0.5 if scenario.streams is None else scenario.streams


def strategy_of(scenario: Scenario, seed: int) -> str:
    """How nodes sync in a run: as they do by themselves, but in one of four by `bloom` alone, if nothing is said."""
    return scenario.strategy or Random(f"{seed} sync").choice(_STRATEGIES)


class _Run:
    def __init__(self, scenario: Scenario, seed: int, folder: Path, ground: GroundTruth) -> None:
        write_plan(ground, scenario, seed)
        self._scenario = scenario
        self._ground = ground
        self.world = World(
            ground,
            folder,
            seed,
            strategy_of(scenario, seed),
            self._restarted,
            has_streams(scenario, seed),
        )
        self._checker = Checker(ground, self.world.devices)
        self._settled: dict[str, int] = {}
        self._end: int | None = None
        self._folder = folder
        self._full = False

    def to_the_end(self) -> list[str]:
        """Carry it out and wait until all have settled, or should have; what is wrong. Raises NoRoom."""
        try:
            faults = self._judged()
        except (Exception, Crashed) as error:
            told = f"at {self.world.now / 1000:.3f} s something raised {raised(error)}"
            faults = [*self._checker.lost[:MAX_TOLD], told]
        self._look_for_room()
        if faults and self._full:
            raise no_room(self._folder)
        return faults

    def _judged(self) -> list[str]:
        rest = next(step.at_ms for step in self._ground.plan() if step.action == "rest")
        end = rest + self._scenario.settle_s * 1_000
        watch_ms = max(_WATCH_MS, self.world.last_step // _WATCHES)
        # What has to be tried again may come after the faults, and is a part of settling.
        while (until := min(self.world.last_step, end)) > self.world.now:
            self.world.run(min(self.world.now + watch_ms, until))
            self._checker.watch()
            self._look_for_room()
        self._checker.expect()
        self._settle(rest, end)
        faults = self._checker.judge()
        if self._end is None:
            faults.append(f"not all had settled {self._scenario.settle_s} s after the faults stopped")
        return faults

    def _look_for_room(self) -> None:
        """What a full disk does to a device looks like a fault of the device, also later on."""
        self._full = self._full or is_nearly_full(self._folder)

    def close(self) -> None:
        """End all that runs."""
        self.world.stop()

    def result(self, name: str, seed: int, faults: list[str]) -> Result:
        """The verdict with its numbers."""
        truth = work_out(self._ground)
        return Result(
            scenario=name,
            seed=seed,
            faults=faults,
            devices=[self._device_result(device, truth.devices, truth.names) for device in self._running()],
            writes=sum(write.happened is True for write in truth.writes),
            refused=sum(write.happened is False for write in truth.writes),
            interrupted=sum(write.happened is None for write in truth.writes),
            virtual_ms=self.world.now,
            settled_ms=self._end,
            rounds=None if self._end is None else -(-self._end // TICK_MS),
            most_rounds=self._scenario.settle_s * 1_000 // TICK_MS,
            fingerprint=self.world.network.fingerprint(),
        )

    def _settle(self, start: int, end: int) -> None:
        look_ms = _LOOK_MS * -(-len(self.world.devices) // _FEW)
        while self.world.now < end:
            self.world.run(self.world.now + max(look_ms, (self.world.now - start) // _LOOK_SHARE))
            for device in self.world.devices.values():
                if not self._checker.settled(device):
                    self._settled.pop(device.name, None)
                else:
                    self._settled.setdefault(device.name, self.world.now - start)
            if len(self._settled) == len(self.world.devices):
                self._end = self.world.now - start
                return

    def _restarted(self, device: Device) -> None:
        self._checker.check_restart(device)

    def _running(self) -> list[Device]:
        return [device for device in self.world.devices.values() if device.running]

    def _device_result(self, device: Device, lives_on: dict[str, str], names: dict[str, str]) -> DeviceResult:
        people = [identity for identity, where in lives_on.items() if where == device.name]
        tally = self.world.network.tally(device.name)
        with device.sound():
            events = sum(evidence.count_held(device.home, identity) for identity in people)
            messages = sum(evidence.count_messages(device.home, identity) for identity in people)
        return DeviceResult(
            device=device.name,
            people=[names[identity] for identity in people],
            events=events,
            messages=messages,
            settled_ms=self._settled.get(device.name),
            datagrams=tally.sent,
            bytes_sent=device.bytes_sent,
            lost=tally.lost,
            corrupted=tally.corrupted,
            crashes=device.crashes,
        )
