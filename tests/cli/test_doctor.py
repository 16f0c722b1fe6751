from pathlib import Path

import pytest

from quire.cli import doctor
from tests.cli.conftest import Quire


def test_a_sound_home(alice: Quire) -> None:
    ran = alice("doctor", "--json")
    assert ran.code == 0
    found = {finding["check"]: finding for finding in ran.json()}
    assert {
        "version",
        "sqlite",
        "clock",
        "udp",
        "home",
        "disk",
        "node",
        "database",
        "encryption",
    } <= found.keys()
    assert {name for name, finding in found.items() if finding["state"] != "ok"} == {"keys"}
    assert "whoever can read the folder can open everything" in found["keys"]["detail"]
    assert "readable" in found["encryption"]["detail"]
    assert "not running" in alice("doctor").out


def test_no_home_yet(quire: Quire, tmp_path: Path) -> None:
    for _ in range(2):
        ran = quire("doctor")
        assert ran.code == 0
        assert "There is no home at" in ran.out
        (tmp_path / "home").mkdir(exist_ok=True)
        (tmp_path / "home" / "lock").touch()  # a creation that was broken off


def test_a_home_that_others_can_read(alice: Quire, tmp_path: Path) -> None:
    (tmp_path / "home").chmod(0o755)
    (tmp_path / "home" / "quire.db").chmod(0o644)
    ran = alice("doctor")
    assert ran.code == 1
    assert "chmod 700" in ran.out
    assert "chmod 600" in ran.out


def test_a_damaged_database(alice: Quire, tmp_path: Path) -> None:
    (tmp_path / "home" / "quire.db").write_bytes(b"not a database at all" * 500)
    ran = alice("doctor")
    assert ran.code == 1
    assert "is damaged" in ran.out
    assert "Traceback" not in ran.out + ran.err


def test_what_the_machine_lacks(alice: Quire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LITTLE_SPACE", 1 << 62)
    monkeypatch.setattr(doctor, "EARLIEST", 1 << 40)
    monkeypatch.setattr(doctor, "SAFE_SQLITE", 1 << 40)
    found = {finding["check"]: finding["state"] for finding in alice("doctor", "--json").json()}
    assert (found["disk"], found["clock"], found["sqlite"]) == ("warning", "problem", "problem")
