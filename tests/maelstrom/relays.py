"""Relay processes for `kafka`: over one SQLite file, or several in front of one JetStream store."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def relays(folder: Path, store: str = "", count: int = 1) -> Iterator[str]:
    """Addresses of so many relays with one key and one store, with blanks between; they end with the block."""
    with ExitStack() as stack:
        yield " ".join(stack.enter_context(_relay(folder, number, store)) for number in range(count))


@contextmanager
def _relay(folder: Path, number: int, store: str) -> Iterator[str]:
    command = [
        *(sys.executable, "-m", "quire", "relay", "serve", "--json", "--listen", "127.0.0.1:0"),
        *("--store", store or f"sqlite:{folder / 'relay.db'}", "--key", str(folder / "relay.key")),
    ]
    with (folder / f"relay-{number}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=os.environ)
    assert process.stdout is not None
    try:
        said = b""
        while not said.endswith(b"\n}\n") and (line := process.stdout.readline()):
            said += line
        yield json.loads(said)["url"]
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()
