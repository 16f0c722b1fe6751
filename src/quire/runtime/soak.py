"""Many simulations, over all cores: which seeds fail, and how much simulated time that took.

Owns: the processes, and the clock that ends it. Must not know: how a run is judged, terminals.
"""

import os
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import count, islice
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TypeVar

import msgspec

from quire.sim.run import Result, simulate

_T = TypeVar("_T")
_HOUR_MS, _MINUTE_MS = 3_600_000, 60_000


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
) -> Iterator[Outcome]:
    """Run every scenario with seed after seed, `jobs` at a time, and give each outcome as it comes.

    Ends after `seeds` seeds of each, or (0: no such bound) once `minutes` have passed; what has begun then is finished.
    Those (scenario, seed) that are `done` are left out.
    """
    wanted = (pair for pair in pairs(scenarios, first, seeds) if pair not in done)
    end = time.monotonic() + minutes * 60
    # A forked child would share our open files; each begins afresh instead, once for all its runs.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
        running = {pool.submit(_run, *pair) for pair in islice(wanted, jobs)}
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            more = len(ended) if time.monotonic() < end else 0
            running |= {pool.submit(_run, *pair) for pair in islice(wanted, more)}
            yield from _in_order(ended)


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


def _in_order(ended: Iterable[Future[Outcome]]) -> list[Outcome]:
    return sorted((future.result() for future in ended), key=lambda one: (one.seed, one.scenario))


def _run(scenario: str, seed: int) -> Outcome:
    result, cpu_ms = timed(lambda: simulate(scenario, seed))
    return Outcome(scenario, seed, result.faults, result.replay, result.settled_ms, cpu_ms, lived(result))


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = parent_process()

    def wait_for_it() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=wait_for_it, daemon=True).start()
