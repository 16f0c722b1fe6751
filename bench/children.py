"""Processes that are measured: each says in lines of JSON when it is ready, and then what it found."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class Child:
    """A process that runs until its standard input ends; `ready` is the first line that it said."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ready = self.next()

    @property
    def pid(self) -> int:
        return self._process.pid

    def next(self) -> Any:
        """What it says next."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process ended before it said what was waited for")
        return json.loads(line)

    def peak_mb(self) -> float:
        """The most resident memory that it had (MB)."""
        with open(f"/proc/{self.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1_000

    def end(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)


@contextmanager
def running(*children: Child) -> Iterator[None]:
    """End them after the block."""
    try:
        yield
    finally:
        for child in children:
            child.end()
