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
    done = _run(*words)
    assert done.returncode == code, (done.stdout, done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    here = Path(sys.executable).parent
    variables = os.environ | {"PATH": f"{here}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        [sys.executable, "-m", "tests.maelstrom.judge", "test", *words], cwd=ROOT, env=variables,
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


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


def test_a_node_that_does_not_speak_the_workload_is_found_out() -> None:
    found = _judge(
        "-w", "broadcast", "--bin", str(HERE / "loner.py"), "--node-count", "2", "--time-limit", "1", "--rate", "20",
        "--recovery", "0.1", code=1,
    )  # fmt: skip
    assert found["valid"] is False
    assert found["silent"] == ["n0", "n1"]
    assert all("answered to `read`" in text for text in found["malformed"])
    assert found["malformed"]


_READS = (
    "import json, sys\nfor line in sys.stdin:\n    message = json.loads(line)\n    body = message['body']\n"
)
_ANSWERS = (
    "    answer = {'type': body['type'] + '_ok', 'in_reply_to': body['msg_id'], 'messages': []}\n"
    "    print(json.dumps({'src': message['dest'], 'dest': message['src'], 'body': answer}), flush=True)\n"
)


def _program(folder: Path, text: str) -> str:
    path = folder / "program"
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o700)
    return str(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'n0 has ended'"),
        (_READS + "    break\n", "'n0 has ended'"),
        (_READS + "    if body['type'] == 'topology': break\n" + _ANSWERS, "answered to `topology`"),
    ],
)
def test_a_program_that_ends_at_once_is_told_of(tmp_path: Path, text: str, said: str) -> None:
    done = _run(
        "-w", "broadcast", "--bin", _program(tmp_path, text), "--node-count", "1", "--time-limit", "1"
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("judge: A node answered to")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["nowhere", "folder", "shut"])
def test_a_program_that_cannot_be_started_is_told_of(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "shut").touch(0o600)
    done = _run("-w", "g-set", "--bin", str(tmp_path / name), "--node-count", "2")
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot be started" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_node_that_talks_nonsense_between_is_judged(tmp_path: Path) -> None:
    nonsense = "".join(
        f"    print({line!r}, flush=True)\n" for line in ("hello", "[]", '{"src": "n0"}', "{}")
    )
    found = _judge(
        "-w", "broadcast", "--bin", _program(tmp_path, _READS + nonsense + _ANSWERS), "--node-count", "1",
        "--time-limit", "1", "--rate", "10", "--recovery", "0.1", code=1,
    )  # fmt: skip
    assert found["valid"] is False
    assert found["malformed"][:2] == ["n0 wrote: b'hello\\n'", "n0 wrote: b'[]\\n'"]
    assert found["lost"]
