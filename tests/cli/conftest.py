import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from quire.cli import main


class Ran(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Quire = Callable[..., Ran]


@pytest.fixture
def quire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Quire:
    """Run `quire` in this process on a home of its own."""
    monkeypatch.setenv("QUIRE_HOME", str(tmp_path / "home"))

    def run(*words: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["quire", *words])
        capsys.readouterr()
        try:
            main()
            code: Any = 0
        except SystemExit as stop:
            code = stop.code
        return Ran(int(code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def alice(quire: Quire) -> Quire:
    """The same, in a home with Alice in one space."""
    assert quire("identity", "create", "alice").code == 0
    assert quire("space", "create", "garden").code == 0
    return quire
