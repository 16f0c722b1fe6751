from pathlib import Path

import pytest

from quire.sim import run
from tests.cli.conftest import Quire

RESULT = run.Result(
    scenario="community", seed=3, faults=[], writes=5, refused=1, interrupted=0, virtual_ms=60_000, settled_ms=500,
    rounds=1, most_rounds=60, fingerprint="abcd",
    devices=[run.DeviceResult("device1", ["ada"], 9, 8, 500, 40, 1_000, 4, 2, 0)],
)  # fmt: skip


def test_the_verdict_is_shown(quire: Quire, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(run, "simulate", lambda *given: asked.append(given) or RESULT)
    told = quire("sim", "run", "--seed", "3")
    assert told.code == 0
    assert "device1" in told.out
    assert "All is well" in told.out
    assert "simulated device-hours per CPU-minute" in told.out
    assert asked[-1] == ("community", 3, None, None)
    assert quire("sim", "run", "two-peers", "--json").json()["fingerprint"] == "abcd"
    assert asked[-1] == ("two-peers", 7, None, None)


def test_faults_exit_1_and_say_how_to_see_them_again(quire: Quire, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = run.msgspec.structs.replace(RESULT, faults=["ada lacks a message"])
    monkeypatch.setattr(run, "simulate", lambda *_: wrong)
    told = quire("sim", "run")
    assert told.code == 1
    assert "FAULT: ada lacks a message" in told.err
    assert "quire sim run community --seed 3" in told.err


def test_an_unknown_scenario(quire: Quire) -> None:
    told = quire("sim", "run", "moon")
    assert (told.code, told.out) == (2, "")
    assert "two-peers" in told.err


def test_kept_homes_open(quire: Quire, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    told = quire("sim", "run", "two-peers", "--keep", str(kept), "--json")
    assert told.code == 0
    for device in told.json()["devices"]:
        listed = quire("--home", str(kept / device["device"]), "identity", "list", "--json").json()
        assert [one["name"] for one in listed] == device["people"]


def test_pictures_are_drawn_beside_the_same_verdict(quire: Quire, tmp_path: Path) -> None:
    picture, page = tmp_path / "run.svg", tmp_path / "run.html"
    drawn = quire("sim", "run", "two-peers", "--picture", str(picture), "--timeline", str(page), "--json")
    assert drawn.code == 0
    assert drawn.json() == quire("sim", "run", "two-peers", "--json").json()
    assert picture.read_text("utf-8").startswith("<svg")
    assert "two-peers, seed 7" in page.read_text("utf-8")


@pytest.mark.parametrize("option", ["--picture", "--timeline"])
def test_where_nothing_can_be_written_nothing_is_run(quire: Quire, tmp_path: Path, option: str) -> None:
    for path in (tmp_path, tmp_path / "nowhere" / "x"):
        told = quire("sim", "run", "two-peers", option, str(path))
        assert (told.code, told.out) == (2, "")
        assert "cannot be written" in told.err


def test_nothing_is_drawn_live_where_nobody_looks(quire: Quire) -> None:
    assert quire("sim", "run", "two-peers").err == ""
