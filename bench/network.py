"""Separate processes over loopback, each with a node inside as an application has it: cold sync, small differences,
live latency, and what they cost in bytes and memory.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench import payload
from bench.children import Child, running
from bench.figures import Figure
from bench.homes import fill, founder, reopened
from bench.processes import node
from quire.handlers import invite

CHARACTERS = 200
COMMON, NEW = 10_000, 100
#: Seconds in which a node indexes 100,000 messages that were written before it ran.
_REST_S = 5.0


class Embedded(Child):
    """A process of `bench.embedded`."""

    def __init__(self, role: str, home: Path, *given: object, listen: str = "127.0.0.1:0") -> None:
        super().__init__([sys.executable, "-m", "bench.embedded", listen, role, str(home), *map(str, given)])

    def rest(self) -> "Embedded":
        """Give it the time to index what it holds: that is no part of what is measured."""
        time.sleep(_REST_S)
        return self


def cold(folder: Path, count: int, name: str) -> list[Figure]:
    """A newcomer that holds nothing but its membership fetches `count` messages."""
    _two(folder, 0)
    author = reopened(folder / "left")
    fill(author, count, payload.texts(5_000))
    author.home.close()
    left = Embedded("hold", folder / "left", count).rest()
    right = Embedded("hold", folder / "right", count)
    with running(left, right):
        took = (right.next()["done"] - right.ready["at"]) / 1e9
        wire = right.next()["bytes_in"] / count
        memory = max(left.peak_mb(), right.peak_mb())
    return [
        Figure(f"cold sync of {name} between processes, listable", count / took, "events/s", ">= 60000"),
        Figure(
            f"wire bytes per message of {CHARACTERS} characters, cold sync of {name}", wire, "bytes", "<= 480"
        ),
        Figure(f"peak memory of either side, cold sync of {name}", memory, "MB", "<= 150"),
    ]


def small(folder: Path) -> list[Figure]:
    """Two who share much, and wrote a little each while they were apart."""
    _two(folder, COMMON)
    sizes = []
    for side in ("left", "right"):
        ctx = reopened(folder / side)
        before = ctx.home.store.db.one("SELECT sum(length(sealed)) FROM blobs")
        fill(ctx, NEW, payload.texts(NEW))
        after = ctx.home.store.db.one("SELECT sum(length(sealed)) FROM blobs")
        assert before is not None
        assert after is not None
        sizes.append(after[0] - before[0])
        ctx.home.close()
    left = Embedded("hold", folder / "left", COMMON + 2 * NEW).rest()
    right = Embedded("hold", folder / "right", COMMON + 2 * NEW)
    with running(left, right):
        ends = [child.next()["done"] for child in (left, right)]
        costs = [child.next() for child in (left, right)]
    took = (max(ends) - right.ready["at"]) / 1e6
    carried = costs[1]["bytes_in"] + costs[1]["bytes_out"]
    name = f"{NEW} new on each side of {COMMON:,}, between processes"
    return [
        Figure(f"{name}: time from the second's start", took, "ms", "<= 10"),
        Figure(f"{name}: bytes", carried, "bytes"),
        Figure(f"{name}: bytes beyond the events' own", 100 * (carried / sum(sizes) - 1), "%", "<= 5"),
    ]


def live(folder: Path) -> list[Figure]:
    """From a message's writing in one process to its being listable in the other."""
    _two(folder, 0)
    reader = Embedded("read", folder / "right")
    writer = Embedded("write", folder / "left")
    with running(reader, writer):
        took = reader.next()["took"]
    return [
        Figure("live latency between processes, median", took[len(took) // 2], "ms", "<= 0.9"),
        Figure("live latency between processes, p99", took[len(took) * 99 // 100], "ms", "<= 4"),
    ]


def _two(folder: Path, common: int) -> None:
    """Homes `left` and `right` of two members who know each other's address and hold the same."""
    author = founder(folder / "left")
    fill(author, common, payload.texts(5_000))
    link = invite.create(author).link
    author.home.close()
    with node(folder / "left") as first:
        link = first.call("createInvite")["link"]
        (folder / "right").mkdir()
        join = [
            sys.executable,
            "-m",
            "quire",
            "--home",
            str(folder / "right"),
            "join",
            link,
            "--name",
            "bob",
            "--json",
        ]
        subprocess.run(join, check=True, stdout=subprocess.DEVNULL)
        with node(folder / "right") as second:
            while second.count() < common or not _settled(second):
                pass


def _settled(running: Any) -> bool:
    spaces = running.call("getStatus")["identities"][0]["spaces"]
    return all(peer["state"] == "in-sync" for space in spaces for peer in space["peers"]) and bool(
        spaces[0]["peers"]
    )
