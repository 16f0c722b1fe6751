"""How long a community takes to agree again: against its size, loss, and strategy (`make sim-report`).

Everyone has the same history; then each writes alone, all start their devices at the same moment on a network
that loses a share of the datagrams, and the virtual time until everyone holds everything is taken.
"""

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median_low
from typing import Any

from quire.runtime.soak import timed
from quire.sim import people
from quire.sim.device import Device
from quire.sim.ground import GroundTruth, SimEvent
from quire.sim.scenario import Conditions
from quire.sim.witness import Held, Witness
from quire.sim.world import World
from quire.sync import STRATEGIES

PEERS = (2, 5, 10, 25, 50, 100)
LOSSES = (0.0, 0.1, 0.3, 0.5)
#: Messages that all have from before, and that are new: so many together, however many write them.
COMMON, NEW = 600, 100
FRONTIER, BESIDE_STREAMS = "frontier", "sketch"
#: Where a cell would take too long, it is left out: `full` pushes everything that it holds to everyone, and a
#: hundred devices in one process take minutes for a second.
MOST_PEERS = {"full": 10}
CROWD, LOSSES_OF_CROWD = 100, (0.0, 0.3)
#: So many runs of each cell, of which the median is taken; one where many take part.
RUNS, MANY = 3, 25
GIVE_UP_MS = 600_000

_TOWN_SEED, _TOWN_STRATEGY = 7, "bloom"
#: The towns' last day, as seen from the day that everyone meets again.
_DAY_MS = 86_400_000
_SPACE = "commons"
_INVITE_MS, _LOOKS = 100, 100
#: Devices act once in so many ms, on all that has come since: it takes a fraction of the time of acting at once.
GRID_MS = 5


@dataclass(frozen=True)
class Cell:
    """One combination, and one run of it: `seed` is the luck of the network."""

    strategy: str
    peers: int
    loss: float
    seed: int = 1


@dataclass(frozen=True)
class Measured:
    """`settled_ms` is virtual, None when it was given up; bytes and datagrams are those a device sent, on average."""

    cell: Cell
    settled_ms: int | None
    bytes_sent: int
    datagrams: int
    cpu_ms: int


def strategies() -> list[str]:
    """Those of datagrams, and the one of streams: what it leaves out goes by the one that nodes begin with."""
    return [*STRATEGIES, FRONTIER]


def grid(peers: Sequence[int] = PEERS, losses: Sequence[float] = LOSSES) -> list[Cell]:
    """Every combination that is measured, by strategy, peers, loss."""
    return [
        Cell(strategy, count, loss, seed)
        for strategy in strategies()
        for count in peers
        if count <= MOST_PEERS.get(strategy, count)
        for loss in losses
        if count < CROWD or loss in LOSSES_OF_CROWD
        for seed in range(1, 1 + (RUNS if count < MANY and strategy not in MOST_PEERS else 1))
    ]


def run_all(cells: Sequence[Cell], folder: Path, jobs: int) -> Iterator[Measured]:
    """Measure in `jobs` processes, the largest first, and give each as it comes."""
    sizes = sorted({cell.peers for cell in cells}, reverse=True)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        towns: dict[Future[Any], int] = {pool.submit(make_town, folder / str(n), n): n for n in sizes}
        running: set[Future[Any]] = set(towns)
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                if future not in towns:
                    yield future.result()
                    continue
                future.result()
                town = folder / str(towns[future])
                running |= {pool.submit(measure, town, cell) for cell in cells if cell.peers == towns[future]}


def make_town(folder: Path, peers: int) -> None:
    """Homes of a community whose members all hold the same, and know each other's addresses.

    Its network is a star around the founder, which takes less time than letting everyone talk to everyone.
    """
    ground = GroundTruth()
    names = [_name(n) for n in range(peers)]
    for n, device in enumerate(names):
        ground.add(0, device, "boot", {"host": _host(n)})
        if n:
            others = [name for name in names[1:] if name != device]
            ground.add(0, "network", "silence", {"groups": [[device], others]})
    founder = {"device": names[0], "space": _SPACE}
    ground.add(0, "person1", "found", founder)
    ground.add(1, "person1", "write", founder | {"to": "#general", "texts": _texts("old", COMMON)})
    for n in range(1, peers):
        at, guest = 2 + n * _INVITE_MS, f"person{n + 1}"
        ground.add(at, "person1", "invite", founder | {"guest": guest})
        ground.add(at + 1, guest, "join", {"device": names[n], "space": _SPACE})
    world = World(ground, folder, _TOWN_SEED, _TOWN_STRATEGY, lambda _: None)
    try:
        while world.now <= world.last_step or not _one_mind(world, peers):
            for _ in range(_LOOKS):
                _go_on(world)
            assert world.now < GIVE_UP_MS, f"a town of {peers} never came together"
    finally:
        world.stop()
        ground.close()


def measure(town: Path, cell: Cell) -> Measured:
    """Let everyone write alone and then meet."""
    folder = town.with_name(f"{town.name}-{cell.strategy}-{cell.loss}-{cell.seed}")
    shutil.copytree(town, folder)
    try:
        done, cpu_ms = timed(lambda: _meet(folder, cell))
    finally:
        shutil.rmtree(folder)
    settled, sent, datagrams = done
    return Measured(cell, settled, sent // cell.peers, datagrams // cell.peers, cpu_ms)


def _meet(folder: Path, cell: Cell) -> tuple[int | None, int, int]:
    """(time until everyone held everything; bytes, datagrams of all)."""
    ground, witness = GroundTruth(), Witness()
    world = World(ground, folder, cell.seed, _datagrams(cell), lambda _: None, cell.strategy == FRONTIER)
    world.network.conditions = Conditions(loss=cell.loss)
    world.watch = witness.look
    try:
        devices = [_start(world, folder, n, cell) for n in range(cell.peers)]
        goal = _held(devices[0])
        for n, device in enumerate(devices):
            count = NEW // cell.peers + (n < NEW % cell.peers)
            _write(device, n, count)
            goal += count
        while world.now < GIVE_UP_MS and any(len(held) < goal for held in _notes(witness, cell.peers)):
            _go_on(world)
        tallies = [world.network.tally(device.name) for device in devices]
        sent = sum(tally.bytes_sent for tally in tallies) + world.calls.carried.total()
        return _settled(witness, goal), sent, sum(tally.sent for tally in tallies)
    finally:
        world.stop()
        ground.close()


def summary(measured: Sequence[Measured]) -> list[Measured]:
    """One for each cell: the run whose time is the median."""
    runs: dict[Cell, list[Measured]] = {}
    for one in measured:
        runs.setdefault(Cell(one.cell.strategy, one.cell.peers, one.cell.loss), []).append(one)
    middle = [median_low(sorted(map(_key, found))) for found in runs.values()]
    return [one for _, _, one in sorted(middle, key=lambda key: _place(key[2].cell))]


def _key(one: Measured) -> tuple[int, int, Measured]:
    return GIVE_UP_MS if one.settled_ms is None else one.settled_ms, one.cell.seed, one


def _place(cell: Cell) -> tuple[int, int, float]:
    return strategies().index(cell.strategy), cell.peers, cell.loss


def _go_on(world: World) -> None:
    world.now += GRID_MS
    world.run(world.now)


def _notes(witness: Witness, peers: int) -> list[list[Held]]:
    return list(witness.held.values()) if len(witness.held) == peers else [[]]


def _start(world: World, folder: Path, n: int, cell: Cell) -> Device:
    streams = cell.strategy == FRONTIER
    device = Device(_name(n), folder / _name(n), _host(n), _TOWN_SEED, _datagrams(cell), streams=streams)
    # What the device draws must differ from what it drew in the town, and from run to run.
    device.crashes, device.ahead = cell.seed, _DAY_MS
    world.devices[device.name] = device
    world.network.place(device.name, device.address)
    device.start(0)
    return device


def _datagrams(cell: Cell) -> str:
    return BESIDE_STREAMS if cell.strategy == FRONTIER else cell.strategy


def _write(device: Device, n: int, count: int) -> None:
    detail = {"device": device.name, "space": _SPACE, "to": "#general", "texts": _texts(f"new {n}", count)}
    if count:
        people.act(device, SimEvent(0, 0, f"person{n + 1}", "write", detail), {}, 0)
        device.committed(0)


def _texts(mark: str, count: int) -> list[str]:
    return [f"{mark}, no. {number}: {'words ' * 20}" for number in range(count)]


def _held(device: Device) -> int:
    """Events of the space that are valid there."""
    row = device.home.store.db.one(
        "SELECT count(*) FROM received AS r JOIN memberships AS m ON m.account = r.account AND m.space = r.space"
        " WHERE m.kind <> 'home' AND r.state = 0"
    )
    return int(row[0]) if row else 0


def _one_mind(world: World, peers: int) -> bool:
    """Whether everyone is in, holds the same number of events, and knows where everyone is."""
    devices = list(world.devices.values())
    tables = ("SELECT count(*) FROM members", "SELECT count(DISTINCT device) FROM addresses")
    known = {tuple(device.home.store.db.one(sql) for sql in tables) for device in devices}
    return known == {((peers,), (peers,))} and len({_held(device) for device in devices}) == 1


def _settled(witness: Witness, goal: int) -> int | None:
    """When the last device came to hold everything; None when one never did."""
    sets = [frozenset(one.event_id for one in held) for held in witness.held.values()]
    if {len(found) for found in sets} != {goal} or len(set(sets)) > 1:
        return None
    return max(held[-1].at_ms for held in witness.held.values())


def _name(n: int) -> str:
    return f"device{n + 1}"


def _host(n: int) -> str:
    return f"10.0.0.{n + 1}"
