"""`quire up` in a process of its own, and how long it takes to start; a measurement in a fresh process."""

import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from bench.figures import Figure


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


def apart(run: Callable[[], list[Figure]]) -> list[Figure]:
    """Run in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run)
