import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from quire.cli.stopping import Terminated
from quire.runtime import soak
from quire.runtime.soak import Outcome
from quire.sim.homes import NoRoom
from quire.sim.scenario import every, names
from tests.cli.conftest import Quire

WELL = Outcome("two-peers", 1, [], "quire sim run two-peers --seed 1", 400, 30_000, 3_600_000)
ILL = Outcome("removal", 2, ["ada lacks x"], "quire sim run removal --seed 2", None, 30_000, 0)


class Soak:
    """Stands for the runs, which take a while."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = outcomes
        self.asked: list[tuple[object, ...]] = []

    def __call__(self, *given: object) -> Generator[Outcome, None, None]:
        self.asked.append(given)
        return (one for one in self.outcomes)


def test_the_summary(quire: Quire, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Soak(WELL, WELL)
    monkeypatch.setattr(soak, "soak", run)
    told = quire("sim", "soak", "two-peers", "--seeds", "2", "--jobs", "3")
    assert told.code == 0
    assert run.asked == [(["two-peers"], 1, 2, 10**6, 3, {}.keys())]
    assert "2 runs, 0 failed; 2.0 simulated device-hours per CPU-minute." in told.out
    assert quire("sim", "soak", "--minutes", "1", "--json").json()[0]["seed"] == 1


def test_failures_exit_1_and_say_how_to_see_them_again(quire: Quire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "soak", Soak(WELL, ILL))
    told = quire("sim", "soak", "--minutes", "0.1")
    assert told.code == 1
    assert "FAULT: ada lacks x. Run it again with: quire sim run removal --seed 2" in told.err
    assert "2 runs, 1 failed" in told.out
    assert "FAULT: ada lacks x. Run it again with: quire sim run removal --seed 2" in told.out


def test_heavy_ones_are_run_when_all_are_asked_for(quire: Quire, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Soak()
    monkeypatch.setattr(soak, "soak", run)
    quire("sim", "soak", "--seeds", "1")
    quire("sim", "soak", "--seeds", "1", "--all")
    assert [given[0] for given in run.asked] == [names(), every()]
    assert set(every()) > set(names())


def test_it_goes_on_where_the_ledger_ends(
    quire: Quire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ledger = str(tmp_path / "ledger.jsonl")
    first, second = Soak(WELL, ILL), Soak(replace(WELL, seed=2))
    monkeypatch.setattr(soak, "soak", first)
    assert quire("sim", "soak", "--seeds", "2", "--ledger", ledger).code == 1
    monkeypatch.setattr(soak, "soak", second)
    told = quire("sim", "soak", "two-peers", "removal", "--seeds", "2", "--ledger", ledger)
    assert set(second.asked[0][-1]) == {("two-peers", 1), ("removal", 2)}  # type: ignore[call-overload]
    assert "holds 2 runs of this, and 0 of other code" in told.err
    assert told.code == 1
    assert "3 runs, 1 failed" in told.out
    monkeypatch.setattr(soak, "soak", Soak())
    told = quire("sim", "soak", "two-peers", "--seeds", "1", "--ledger", ledger)
    assert (told.code, "1 run, 0 failed" in told.out) == (0, True)


def test_a_ledger_that_cannot_be_used(quire: Quire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = Soak(WELL)
    monkeypatch.setattr(soak, "soak", run)
    told = quire("sim", "soak", "--seeds", "1", "--ledger", str(tmp_path / "none" / "x"))
    assert told.code == 2
    assert "name a file in a folder that exists" in told.err
    assert run.asked == []


class Broken(Soak):
    """Stands for runs, and for what ends them early."""

    def __init__(self, error: BaseException, *outcomes: Outcome) -> None:
        super().__init__(*outcomes)
        self.error = error

    def __call__(self, *given: object) -> Generator[Outcome, None, None]:
        yield from super().__call__(*given)
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "Stopped before the end"),
        (Terminated(), 143, "Stopped before the end"),
        (NoRoom("The disk is full."), 1, "The disk is full."),
        (KeyError("boom"), 1, "KeyError: 'boom'"),
    ],
)
def test_what_was_done_is_told_though_it_ended_early(
    quire: Quire, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    monkeypatch.setattr(soak, "soak", Broken(error, WELL, ILL))
    told = quire("sim", "soak", "--seeds", "9")
    assert told.code == code
    assert "2 runs, 1 failed" in told.out
    assert "quire sim run removal --seed 2" in told.out
    assert said in told.err


def test_json_says_the_same_of_runs_done_now_and_before(
    quire: Quire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[Any] = []
    for more in ([], ["--ledger", str(tmp_path / "x")], ["--ledger", str(tmp_path / "x")]):
        monkeypatch.setattr(soak, "soak", Soak(*(() if len(told) == 2 else (WELL, ILL))))
        told.append(quire("sim", "soak", "two-peers", "removal", "--seeds", "2", "--json", *more).json())
    assert told[0] == told[1] == told[2]
    assert [(one["passed"], len(one["code"])) for one in told[0]] == [(True, 16), (False, 16)]


def test_a_ledger_that_can_be_written_no_more(
    quire: Quire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "x"
    monkeypatch.setattr(soak, "soak", Soak(WELL, ILL))
    monkeypatch.setattr(os, "fsync", full)
    told = quire("sim", "soak", "two-peers", "--seeds", "2", "--ledger", str(path))
    assert told.code == 1
    assert "1 run, 0 failed" in told.out
    assert "cannot be written any more (the disk is full)" in told.err
    assert path.read_bytes() == b""


def test_scenarios_that_are_named_twice_run_once(quire: Quire, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Soak()
    monkeypatch.setattr(soak, "soak", run)
    quire("sim", "soak", "two-peers", "removal", "two-peers", "--seeds", "1")
    assert run.asked[0][0] == ["two-peers", "removal"]


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_soak_that_is_stopped_leaves_nothing_behind(tmp_path: Path, sent: int, code: int) -> None:
    command = [
        sys.executable,
        "-m",
        "quire",
        "sim",
        "soak",
        "fifty-devices-churn",
        "--seeds",
        "2",
        "--jobs",
        "2",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(tmp_path)},
        process_group=0,
    ) as running:  # fmt: skip
        while len(list(tmp_path.glob("*/device3/quire.db"))) < 2:
            assert running.poll() is None
            time.sleep(0.02)
        os.killpg(running.pid, sent) if sent == signal.SIGINT else running.send_signal(sent)
        out, err = running.communicate()
    assert running.returncode == code
    assert out.startswith("0 runs, 0 failed")
    assert err == "Nothing was run.\nStopped before the end.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "given",
    [
        (),
        ("--minutes", "-1"),
        ("--minutes", "nan"),
        ("--seeds", "-1"),
        ("--seeds", "1", "--jobs", "0"),
        ("moon", "--seeds", "1"),
    ],
)
def test_mistakes_are_told_before_anything_runs(
    quire: Quire, given: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Soak(WELL)
    monkeypatch.setattr(soak, "soak", run)
    told = quire("sim", "soak", *given)
    assert (told.code, told.out) == (2, "")
    assert run.asked == []
