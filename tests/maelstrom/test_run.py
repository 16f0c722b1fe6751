"""`make maelstrom`: what it runs when Maelstrom is there, and what it says when not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.maelstrom import run

ROOT = Path(__file__).resolve().parents[2]


def _run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "MAELSTROM"}
    return subprocess.run(
        [sys.executable, "-m", "tests.maelstrom.run", *words], cwd=ROOT, env=kept | variables,
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def test_that_maelstrom_is_missing_is_told(tmp_path: Path) -> None:
    done = _run(PATH=str(tmp_path))
    assert done.returncode == 2
    assert "Maelstrom was not found" in done.stderr
    assert "Traceback" not in done.stderr
    done = _run(MAELSTROM=str(tmp_path))
    assert done.returncode == 2
    assert "no program to run there" in done.stderr


def test_that_java_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "maelstrom.jar").touch()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(FileNotFoundError, match="needs Java"):
        run.check_java(str(tmp_path / "maelstrom"))


@pytest.mark.slow
def test_all_workloads_are_run_by_whatever_has_maelstroms_command_line(tmp_path: Path) -> None:
    """The stand-in has it: its verdict on each workload is what comes of the whole."""
    program = tmp_path / "maelstrom"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m tests.maelstrom.judge "$@"\n'
    )
    program.chmod(0o755)
    short = ("--node-count", "2", "--time-limit", "1", "--rate", "20")
    done = _run(*short, MAELSTROM=str(tmp_path))
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert done.stdout.count('"valid": true') == len(run.WORKLOADS)
    assert all(f'"workload": "{workload}"' in done.stdout for workload in run.WORKLOADS)
    done = _run(*short, "--bin", shutil.which("false") or "false", MAELSTROM=str(program))
    assert done.returncode != 0
    assert "has ended" in done.stderr
