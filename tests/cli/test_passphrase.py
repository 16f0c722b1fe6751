"""Prompts on a real terminal (a pseudo-terminal), and what is said without one."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quire.cli.passphrase import ask
from quire.errors import UserError
from tests.cli.conftest import Quire

WORDS = "correct horse battery"
PATIENCE = 60


class Terminal:
    """A command on a terminal of its own; `answers` are typed, each when a prompt has come."""

    def __init__(self, home: Path, *words: str) -> None:
        ours, theirs = pty.openpty()
        self._ours = ours
        self._process = subprocess.Popen(
            [sys.executable, "-m", "quire", "--home", str(home), *words],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        os.close(theirs)
        self.said = ""

    def until(self, text: str) -> None:
        end = time.monotonic() + PATIENCE
        while text not in self.said:
            assert time.monotonic() < end, self.said
            if not self._read():
                break
        assert text in self.said, self.said

    def type(self, line: str) -> None:
        os.write(self._ours, line.encode() + b"\n")

    def code(self) -> int:
        while self._read():
            pass
        os.close(self._ours)
        return self._process.wait(PATIENCE)

    def _read(self) -> bool:
        if not select.select([self._ours], [], [], PATIENCE)[0]:
            raise AssertionError(f"silence after {self.said!r}")
        try:
            data = os.read(self._ours, 4_096)
        except OSError:  # Linux: the other end is closed
            return False
        self.said += data.decode(errors="replace")
        return bool(data)


@pytest.mark.slow
def test_a_home_is_made_and_opened_with_a_typed_passphrase(tmp_path: Path) -> None:
    home = tmp_path / "home"
    made = Terminal(home, "identity", "create", "alice", "--passphrase", "--encrypt")
    made.until("New passphrase: ")
    made.type(WORDS)
    made.until("The same once more: ")
    made.type(WORDS)
    assert made.code() == 0
    assert "alice" in made.said
    opened = Terminal(home, "identity", "list")
    opened.until("Passphrase of this home: ")
    opened.type(WORDS)
    assert opened.code() == 0
    assert "alice" in opened.said
    wrong = Terminal(home, "doctor")
    wrong.until("Passphrase of this home: ")
    wrong.type("something else")
    assert wrong.code() == 1
    assert wrong.said.count("Passphrase of this home: ") == 1
    for terminal in (made, opened, wrong):
        assert WORDS not in terminal.said, "it is not shown"
        assert "Traceback" not in terminal.said


def test_typed_differently_nothing_is_made(tmp_path: Path) -> None:
    made = Terminal(tmp_path / "home", "identity", "create", "alice", "--passphrase")
    made.until("New passphrase: ")
    made.type(WORDS)
    made.until("The same once more: ")
    made.type(WORDS + "!")
    assert made.code() == 2
    assert "not the same" in made.said
    assert not (tmp_path / "home" / "home.key").exists()


def test_a_terminal_that_ends(tmp_path: Path) -> None:
    made = Terminal(tmp_path / "home", "identity", "create", "alice", "--passphrase")
    made.until("New passphrase: ")
    made.type("\x04")
    assert made.code() == 2
    assert "Traceback" not in made.said
    assert not (tmp_path / "home" / "home.key").exists()


def test_without_a_terminal_it_is_said_what_to_do(
    quire: Quire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: SIM115
    ran = quire("identity", "create", "alice", "--passphrase")
    assert (ran.code, ran.out) == (2, "")
    assert "no terminal to ask on. Set QUIRE_" in ran.err
    monkeypatch.setenv("QUIRE_PASSPHRASE", WORDS)
    assert quire("identity", "create", "alice").code == 0
    monkeypatch.delenv("QUIRE_PASSPHRASE")
    ran = quire("identity", "list")
    assert (ran.code, ran.out) == (2, "")
    assert "Set QUIRE_PASSPHRASE, or run this on a terminal." in ran.err
    monkeypatch.setenv("QUIRE_PASSPHRASE", "wrong " + WORDS)
    ran = quire("identity", "list")
    assert (ran.code, ran.out) == (2, "")
    assert "The passphrase is wrong." in ran.err
    with pytest.raises(UserError, match="A new passphrase is wanted"):
        ask(True)
    sys.stdin.close()
