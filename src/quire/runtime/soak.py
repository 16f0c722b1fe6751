"""Many simulations, over all cores: which seeds fail, and how much simulated time that took.

Owns: what is run, and the clock that ends it. Must not know: how a run is judged, terminals.
"""

import time
from collections.abc import Callable, Container, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import count
from typing import TypeVar

import msgspec

from quire.runtime.workers import Died, work
from quire.sim.homes import NoRoom
from quire.sim.raised import raised
from quire.sim.run import Result, replay, simulate
from quire.sim.scenario import Scenario, load

_T = TypeVar("_T")
_HOUR_MS, _MINUTE_MS = 3_600_000, 60_000
#: Seconds after which a run is taken to have no end. The longest takes a minute or two.
MOST_S = 600.0


class Outcome(msgspec.Struct):
    """One run: its verdict, the CPU time that it took (ms), and the time that its devices lived (ms, together)."""

    scenario: str
    seed: int
    faults: list[str]
    replay: str
    settled_ms: int | None
    cpu_ms: int
    lived_ms: int


def soak(
    scenarios: Sequence[str],
    first: int,
    seeds: int,
    minutes: float,
    jobs: int,
    done: Container[tuple[str, int]] = (),
) -> Generator[Outcome, None, None]:
    """Run every scenario with seed after seed, `jobs` at a time, and give each outcome as it comes.

    Ends after `seeds` seeds of each, or (0: no such bound) once `minutes` have passed; what has begun then is finished.
    Those (scenario, seed) that are `done` are left out. Whatever goes wrong in a run is a fault of that run, that it
    has no end too, but where its homes have no room: raises NoRoom. Closing this ends what runs.
    """
    wanted = (pair for pair in pairs(scenarios, first, seeds) if pair not in done)
    end = time.monotonic() + minutes * 60
    # Once: whoever notes for which code an outcome is speaks of the files as they were at the beginning.
    made = {name: load(name) for name in scenarios}
    working = work(partial(_run, made), wanted, jobs, lambda: time.monotonic() < end, MOST_S)
    with closing(working):
        for ended in working:
            outcomes = [_failed(pair, said) if isinstance(said, Died) else said for pair, said in ended]
            yield from sorted(outcomes, key=lambda one: (one.seed, one.scenario))


def pairs(scenarios: Sequence[str], first: int, seeds: int) -> Iterator[tuple[str, int]]:
    """(scenario, seed), all scenarios by one seed after the other; without end for 0 seeds."""
    numbers = range(first, first + seeds) if seeds else count(first)
    return ((name, seed) for seed in numbers for name in scenarios)


def timed(work: Callable[[], _T]) -> tuple[_T, int]:
    """What some work gives, and the CPU time (ms) that it took."""
    begun = time.process_time()
    done = work()
    return done, round((time.process_time() - begun) * 1_000)


def pace(lived_ms: int, cpu_ms: int) -> float:
    """Simulated device-hours per CPU-minute, of devices that lived so long together."""
    return lived_ms / _HOUR_MS / max(cpu_ms / _MINUTE_MS, 1e-9)


def lived(result: Result) -> int:
    """The virtual time (ms) that the devices of a run lived, together."""
    return result.virtual_ms * len(result.devices)


def _run(made: Mapping[str, Scenario], pair: tuple[str, int]) -> Outcome:
    scenario, seed = pair
    try:
        result, cpu_ms = timed(lambda: simulate(scenario, seed, made=made[scenario]))
    except NoRoom:
        raise
    except Exception as error:
        return _failed(pair, f"raised {raised(error)}")
    return Outcome(scenario, seed, result.faults, result.replay, result.settled_ms, cpu_ms, lived(result))


def _failed(pair: tuple[str, int], how: str) -> Outcome:
    return Outcome(*pair, [f"the process that ran it {how}"], replay(*pair), None, 0, 0)
