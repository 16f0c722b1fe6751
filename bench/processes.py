"""Separate processes over loopback: start-up, cold sync over UDP, and live latency."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from bench import payload
from bench.figures import Figure
from bench.homes import fill, founder

SYNCED = 20_000
LIVE = 300
PATIENCE_S = 180


@dataclass
class Running:
    """A node in a process of its own."""

    connection: HTTPConnection
    token: str
    pid: int

    def call(self, name: str, **params: Any) -> Any:
        """An operation of its API."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        self.connection.close()  # a node ends connections that were idle for some seconds
        self.connection.request("POST", f"/api/{name}", json.dumps(params), headers)
        answer = json.loads(self.connection.getresponse().read())
        if "result" not in answer:
            raise RuntimeError(answer)
        return answer["result"]

    def count(self) -> int:
        """Messages that can be listed."""
        sql = "SELECT count(*) AS n FROM message_rows"
        return int(self.call("query", statement=sql)["rows"][0]["n"])


@contextmanager
def node(folder: Path) -> Iterator[Running]:
    """Run `quire up` on a home until the block ends."""
    command = [
        sys.executable,
        "-m",
        "quire",
        "--home",
        str(folder),
        "--json",
        "up",
        "--listen",
        "127.0.0.1:0",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        lines = ""
        while "}" not in lines:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("the node ended before it was ready")
            lines += line
        ready = json.loads(lines)
        host, port = ready["api"].split(":")
        yield Running(
            HTTPConnection(host, int(port), timeout=60), ready["page"].partition("token=")[2], ready["pid"]
        )
    finally:
        process.terminate()
        process.wait(timeout=30)


def start_up(home: Path, name: str) -> list[Figure]:
    """From the command to a node that listens and serves."""
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        with node(home):
            taken.append(time.perf_counter() - start)
    return [Figure(f"start-up on a home of {name}", sorted(taken)[1], "s", "<= 1")]


def sync(folder: Path) -> list[Figure]:
    """A newcomer fetches everything over UDP by Bloom filters; then live messages, one at a time."""
    author = founder(folder / "a")
    fill(author, SYNCED, payload.texts(5_000))
    author.home.close()
    with node(folder / "a") as first:
        link = first.call("createInvite")["link"]
        (folder / "b").mkdir()
        subprocess.run(
            [sys.executable, "-m", "quire", "--home", str(folder / "b"), "join", link, "--name", "bob"],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        start = time.perf_counter()
        with node(folder / "b") as second:
            _until(lambda: second.count() >= SYNCED)
            rate = SYNCED / (time.perf_counter() - start)
            memory = _peak_mb(second.pid)
            waits = sorted(_live(first, second, place) for place in range(LIVE))
    return [
        Figure(f"cold sync of {SYNCED:,} over UDP, from the start of the process", rate, "events/s"),
        Figure(f"peak memory of the node that received {SYNCED:,}", memory, "MB", "<= 120"),
        Figure("live latency through both APIs, median", waits[LIVE // 2], "ms"),
        Figure("live latency through both APIs, p99", waits[LIVE * 99 // 100], "ms"),
    ]


def _peak_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1_000


def _live(first: Running, second: Running, place: int) -> float:
    text = f"live message {place}"
    start = time.perf_counter()
    first.call("sendMessage", target="live", text=text)
    _until(
        lambda: any(
            found["body_text"] == text for found in second.call("getMessages", target="live", limit=1)
        )
    )
    return (time.perf_counter() - start) * 1_000


def _until(true: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError("what was waited for did not come")
        time.sleep(0.0005)
