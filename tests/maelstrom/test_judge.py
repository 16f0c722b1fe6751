"""Quire's nodes before the stand-in for Maelstrom, and a bad node before it.

The time to recover is a deadline that only a broken program meets; Maelstrom itself gives ten seconds.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "maelstrom"


def _judge(*words: str, code: int = 0) -> dict[str, Any]:
    here = Path(sys.executable).parent
    variables = os.environ | {"PATH": f"{here}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.maelstrom.judge", "test", *words], cwd=ROOT, env=variables,
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == code, (done.stdout, done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


#: More than Maelstrom's command line offers: three of ten messages between nodes are lost.
LOSSY = ("--loss", "0.3", "--rate", "20")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workload", "more"), [("broadcast", ("--rate", "40")), ("g-set", LOSSY)], ids=["broadcast", "g-set"]
)
def test_quire_keeps_everything_through_partitions(workload: str, more: tuple[str, ...]) -> None:
    """Every request is answered, in partitions too, and all nodes have all of it in the end."""
    found = _judge(
        "-w", workload, "--bin", str(HERE / "node.py"), "--node-count", "4", "--time-limit", "6",
        "--latency", "20", "--nemesis", "partition", "--nemesis-interval", "1.2", "--availability", "total",
        "--recovery", "60", *more,
    )  # fmt: skip
    assert found["stable"] == found["acknowledged"] > 40
    assert found["partitions"] >= 3
    assert found["messages"]["cut"] > 30
    assert (found["messages"]["lost"] > 30) == (more == LOSSY)
    assert found["stable_after_s"]["most"] > 0  # the partitions were felt


def test_a_node_that_keeps_things_to_itself_is_found_out() -> None:
    found = _judge(
        "-w", "g-set", "--bin", str(HERE / "loner.py"), "--node-count", "3", "--time-limit", "1", "--rate", "60",
        "--recovery", "0.1", code=1,
    )  # fmt: skip
    assert found["valid"] is False
    assert found["invented"] == [-1]
    assert found["lost"]
    assert found["vanished"]
    assert found["stable"] <= 1
