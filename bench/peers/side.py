"""The same measurements of any peer whose program has the roles make, fill, hold, write and read, and of Quire.

Each gives its values in the order of `MEASUREMENTS`. The clock starts when the second process has its store open
and is about to reach for the first: what Node and Python take to start is in none of them.
"""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import network, payload
from bench.children import Child, running
from bench.embedded import GAP_S, LIVE
from bench.figures import Figure
from bench.processes import apart

COLD = 100_000
#: Name and unit of each value that a measurement gives.
MEASUREMENTS: dict[str, list[tuple[str, str]]] = {
    "live": [("live latency, median", "ms"), ("live latency, p99", "ms")],
    "small": [
        (f"{network.NEW} new on each side of {network.COMMON:,}: time", "ms"),
        (f"{network.NEW} new on each side of {network.COMMON:,}: bytes", "bytes"),
    ],
    "cold": [
        (f"cold sync of {COLD:,}", "messages/s"),
        (f"cold sync of {COLD:,}: bytes for each message", "bytes"),
        (f"cold sync of {COLD:,}: peak memory of either side", "MB"),
    ],
}


@dataclass(frozen=True)
class Side:
    """One of those that are compared: what it is called, and each of `MEASUREMENTS` in a new folder."""

    name: str
    runs: dict[str, Callable[[Path], list[float]]]


def quire() -> Side:
    """The measurements of `make bench`."""
    cold = partial(network.cold, count=COLD, name=f"{COLD:,}")
    runs: dict[str, Callable[[Path], list[Figure]]] = {
        "live": network.live,
        "small": network.small,
        "cold": cold,
    }
    return Side("Quire", {name: partial(_values, run, len(MEASUREMENTS[name])) for name, run in runs.items()})


def peer(name: str, program: Path) -> Side:
    """A program for Node."""
    runs = {"live": _live, "small": _small, "cold": _cold}
    return Side(name, {what: partial(run, _Program(program)) for what, run in runs.items()})


def _values(run: Callable[[Path], list[Figure]], count: int, folder: Path) -> list[float]:
    return [figure.value for figure in apart(partial(run, folder))][:count]


@dataclass(frozen=True)
class _Program:
    path: Path

    def command(self, role: str, *given: object) -> list[str]:
        return ["node", str(self.path), role, *map(str, given)]

    def do(self, role: str, *given: object) -> None:
        """A role that ends by itself; its input stays open until then."""
        with subprocess.Popen(self.command(role, *given), stdin=subprocess.PIPE) as process:
            if process.wait():
                raise RuntimeError(f"{self.path.name} {role} failed")

    def start(self, role: str, *given: object) -> Child:
        return Child(self.command(role, *given))

    def homes(self, folder: Path) -> tuple[Path, Path]:
        """Of two who know each other, and what texts they may write."""
        left, right = folder / "left", folder / "right"
        for home in (left, right):
            home.mkdir(parents=True)
        (folder / "texts").write_text(json.dumps(payload.texts(5_000)))
        self.do("make", left, right)
        return left, right

    def fill(self, home: Path, count: int) -> None:
        self.do("fill", home, count, home.parent / "texts")

    def sync(self, left: Path, right: Path, count: int) -> tuple[float, int, int, float]:
        """Until both hold so many: the time (ms), bytes that the right one got and gave, the larger memory (MB)."""
        first = self.start("hold", left, 0, count)
        time.sleep(1)
        second = self.start("hold", right, first.ready["port"], count)
        with running(first, second):
            ends = [child.next() for child in (first, second)]
            memory = max(first.peak_mb(), second.peak_mb())
        took = (max(end["done"] for end in ends) - second.ready["at"]) / 1e6
        return took, ends[1]["bytes_in"], ends[1]["bytes_out"], memory


def _live(program: _Program, folder: Path) -> list[float]:
    left, right = program.homes(folder)
    writer = program.start("write", left, 0, LIVE, int(GAP_S * 1_000))
    reader = program.start("read", right, writer.ready["port"], LIVE)
    with running(reader, writer):
        took = sorted(reader.next()["took"])
    return [took[len(took) // 2], took[len(took) * 99 // 100]]


def _small(program: _Program, folder: Path) -> list[float]:
    left, right = program.homes(folder)
    program.fill(left, network.COMMON)
    program.sync(left, right, network.COMMON)
    for home in (left, right):
        program.fill(home, network.NEW)
    took, came, went, _ = program.sync(left, right, network.COMMON + 2 * network.NEW)
    return [took, came + went]


def _cold(program: _Program, folder: Path) -> list[float]:
    left, right = program.homes(folder)
    program.fill(left, COLD)
    took, came, _, memory = program.sync(left, right, COLD)
    return [COLD / took * 1_000, came / COLD, memory]
