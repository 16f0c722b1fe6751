"""Starts and kills `appender.py`, and judges what it leaves."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw

from quire.relay.sqlite_log import SqliteLog
from tests.relay.appender import DEVICES, MAILBOXES, device_name, mailbox_name
from tests.relay.conformance import whole_log
from tests.relay.log_model import records

ROOT = Path(__file__).resolve().parents[2]
#: (mailbox, device) and the last local number that was acknowledged.
Acknowledged = dict[tuple[int, int], int]


class Appender:
    """One run of the program."""

    def __init__(self, path: Path, size: int = 0) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.relay.appender", str(path), str(size)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment,
            text=True,
        )
        self.pid = self._process.pid
        self.acknowledged: Acknowledged = {}
        self.refusals: list[str] = []
        assert self._line() == "begin"

    def next(self, count: int) -> None:
        """Take in so many lines."""
        for _ in range(count):
            self._note(self._line())

    def kill(self) -> None:
        """SIGKILL; then take in what it had said. A line that was cut short counts for nothing."""
        self._process.kill()
        assert self._process.stdout is not None
        rest, _, _ = self._process.stdout.read().rpartition("\n")
        for line in filter(None, rest.split("\n")):
            self._note(line)
        self._process.stdout.close()
        self._process.wait(30)

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.endswith("\n"), "it has ended by itself"
        return line[:-1]

    def _note(self, line: str) -> None:
        if line.startswith("unavailable"):
            self.refusals.append(line)
        else:
            mailbox, device, local = map(int, line.split())
            self.acknowledged[mailbox, device] = local


@contextmanager
def appending(path: Path, size: int = 0) -> Iterator[Appender]:
    """A run that is killed at the end."""
    run = Appender(path, size)
    try:
        yield run
    finally:
        run.kill()


def examine(path: Path, acknowledged: Acknowledged, pruned: bool = False) -> int:
    """Everything acknowledged is there exactly once, chain and file are whole; how many records are."""
    count = asyncio.run(_examine(path, acknowledged, pruned))
    with closing(apsw.Connection(str(path))) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        counted = "SELECT count(*), coalesce(sum(length(data)), 0) FROM log"
        assert db.execute("SELECT records, size FROM totals").fetchall() == db.execute(counted).fetchall()
        apart = db.execute(
            "SELECT d.n FROM devices AS d LEFT JOIN log AS l ON l.device = d.n GROUP BY d.n"
            " HAVING d.records != count(l.n) OR d.size != coalesce(sum(length(l.data)), 0)"
        )
        assert apart.fetchall() == []
    return count


async def _examine(path: Path, acknowledged: Acknowledged, pruned: bool) -> int:
    store = SqliteLog(path)
    count = 0
    for mailbox in range(MAILBOXES):
        log = await whole_log(store, mailbox_name(mailbox))
        positions = await store.positions(mailbox_name(mailbox))
        count += len(log)
        for device in range(DEVICES):
            name = device_name(device)
            last = positions[name].local if name in positions else 0
            assert last >= acknowledged.get((mailbox, device), 0)
            kept = [one.record for one in log if one.device == name]
            right = records(1, last, size=300, seed=device)
            assert kept == (right[len(right) - len(kept) :] if pruned else right)
    await store.close()
    return count
