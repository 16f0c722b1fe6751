import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from quire.sim import run
from tests.cli.conftest import Quire

RESULT = run.Result(
    scenario="community", seed=3, faults=[], writes=5, refused=1, interrupted=0, virtual_ms=60_000, settled_ms=500,
    rounds=1, most_rounds=60, fingerprint="abcd",
    devices=[run.DeviceResult("device1", ["ada"], 9, 8, 500, 40, 1_000, 4, 2, 0)],
)  # fmt: skip


def test_the_verdict_is_shown(quire: Quire, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(run, "simulate", lambda *given: asked.append(given) or RESULT)
    told = quire("sim", "run", "--seed", "3")
    assert told.code == 0
    assert "device1" in told.out
    assert "All is well" in told.out
    assert "simulated device-hours per CPU-minute" in told.err
    assert asked[-1] == ("community", 3, None, None)
    assert quire("sim", "run", "two-peers", "--json").json()["fingerprint"] == "abcd"
    assert asked[-1] == ("two-peers", 7, None, None)


def test_faults_exit_1_and_say_how_to_see_them_again(quire: Quire, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = msgspec.structs.replace(RESULT, faults=["ada lacks a message"])
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


@pytest.mark.parametrize("option", ["--picture", "--timeline"])
@pytest.mark.parametrize("name", ["null", "shut/x", "shut-file", "x" * 300, "circle"])
def test_what_is_no_file_or_cannot_be_written_is_refused(
    quire: Quire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, name: str
) -> None:
    os.mkfifo(tmp_path / "null")
    (tmp_path / "shut").mkdir()
    (tmp_path / "shut-file").touch()
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    # For the superuser nothing is shut.
    shut = {str(tmp_path / "shut"), str(tmp_path / "shut-file")}
    monkeypatch.setattr(
        "quire.cli.files.os.access", lambda path, how: how == os.R_OK or str(path) not in shut
    )
    told = quire("sim", "run", "two-peers", option, str(tmp_path / name))
    assert (told.code, told.out) == (2, "")
    assert "cannot be written" in told.err


def test_one_file_for_both_is_refused(quire: Quire, tmp_path: Path) -> None:
    told = quire(
        "sim", "run", "--picture", str(tmp_path / "x"), "--timeline", str(tmp_path / "." / "x"), "--seed", "1"
    )
    assert (told.code, told.out) == (2, "")
    assert "name two" in told.err


@pytest.mark.parametrize("json", [True, False])
def test_the_verdict_is_told_though_what_was_asked_for_cannot_be_written(
    quire: Quire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, json: bool
) -> None:
    def full(draft: Path, *_: object, **__: object) -> int:
        draft.write_bytes(b"<sv")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    kept = tmp_path / "kept"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "t").write_text("old")
    asked = ["--picture", str(tmp_path / "out" / "p"), "--timeline", str(tmp_path / "out" / "t")]
    monkeypatch.setattr(Path, "write_text", full)
    told = quire("sim", "run", "two-peers", "--keep", str(kept), *asked, *(["--json"] if json else []))
    assert told.code == 1
    assert "The picture could not be written to" in told.err
    assert "The timeline could not be written to" in told.err
    assert "the disk is full" in told.err
    assert "mistake of ours" not in told.err
    assert ("All is well" in told.out) is not json
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["t"]
    assert (tmp_path / "out" / "t").read_text() == "old"


def test_a_run_that_came_to_nothing_is_told_of_and_not_drawn(
    quire: Quire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> None:
        raise KeyError("boom")

    monkeypatch.setattr(run, "write_plan", explode)
    told = quire("sim", "run", "two-peers", "--seed", "2", "--picture", str(tmp_path / "p"))
    assert told.code == 1
    assert "FAULT: the simulation raised KeyError: 'boom'" in told.err
    assert "quire sim run two-peers --seed 2" in told.err
    assert "Nothing is drawn" in told.err


@pytest.mark.parametrize("name", ["file", "file/x"])
def test_where_homes_cannot_be_kept(quire: Quire, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    told = quire("sim", "run", "two-peers", "--keep", str(tmp_path / name))
    assert (told.code, told.out) == (2, "")
    assert "cannot be kept in" in told.err


def test_kept_homes_are_their_owners_alone_and_follow_from_the_seed(quire: Quire, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert quire("sim", "run", "two-peers", "--keep", str(tmp_path / name)).code == 0
    kept = sorted((tmp_path / "a").rglob("*"))
    assert {one.stat().st_mode & 0o777 for one in kept if one.is_dir()} == {0o700}
    assert {one.stat().st_mode & 0o777 for one in kept if one.is_file()} == {0o600}
    for one in kept:
        if one.is_file():
            assert one.read_bytes() == (tmp_path / "b" / one.relative_to(tmp_path / "a")).read_bytes(), one


def test_equal_seeds_give_equal_output(quire: Quire) -> None:
    told = [quire("sim", "run", "two-peers", "--seed", "4") for _ in range(2)]
    assert told[0].out == told[1].out
    assert told[0].out.splitlines()[-1].startswith("All is well")


def test_how_to_see_it_again_is_in_json_too(quire: Quire) -> None:
    found = quire("sim", "run", "two-peers", "--seed", "4", "--json").json()
    assert found["replay"] == "quire sim run two-peers --seed 4"


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_stopped_leaves_nothing_behind(tmp_path: Path, sent: int, code: int) -> None:
    command = [sys.executable, "-m", "quire", "sim", "run", "fifty-devices-churn"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(tmp_path)}
    ) as running:  # fmt: skip
        while not list(tmp_path.glob("*/device3/quire.db")):
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(sent)
        out, err = running.communicate()
    assert (running.returncode, out) == (code, "")
    assert err == "Stopped before the end: there is no verdict.\n"
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_drawn_live_where_nobody_looks(quire: Quire) -> None:
    (line,) = quire("sim", "run", "two-peers").err.splitlines()
    assert line.endswith("simulated device-hours per CPU-minute.")
