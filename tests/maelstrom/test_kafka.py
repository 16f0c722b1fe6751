"""A relay's logs before the stand-in's `kafka`, on both stores, a server of JetStream's three killed meanwhile."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.maelstrom.relays import relays
from tests.relay.cluster import Cluster

ROOT = Path(__file__).resolve().parents[2]
KAFKA = ROOT / "tests" / "maelstrom" / "kafka.py"


def _judge(addresses: str, *words: str, program: Path = KAFKA, code: int = 0) -> dict[str, Any]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "tests.maelstrom.judge", "test", "-w", "kafka", "--bin", str(program), *words],
        cwd=ROOT, env=os.environ | {"PATH": path, "RELAYS": addresses},
        capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
    assert done.returncode == code, (done.stdout, done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_a_relay_on_sqlite_is_a_log(tmp_path: Path) -> None:
    with relays(tmp_path) as addresses:
        found = _judge(addresses, "--node-count", "3", "--time-limit", "3", "--rate", "40")
    assert found["acknowledged"] > 30
    assert found["committed"] > 3
    assert found["answered"] == found["requests"]


@pytest.mark.slow
def test_relays_on_jetstream_are_one_log_while_a_server_is_killed(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster, relays(tmp_path, cluster.url, 2) as addresses:
        faults = [
            threading.Timer(2, cluster.kill, args=[0]),
            threading.Timer(5, cluster.start, args=[0]),
        ]
        for fault in faults:
            fault.start()
        found = _judge(addresses, "--node-count", "4", "--time-limit", "8", "--rate", "30")
        for fault in faults:
            fault.join()
    assert found["acknowledged"] > 50
    assert found["committed"] > 3
