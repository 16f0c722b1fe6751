from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from quire.runtime import soak
from quire.runtime.soak import Outcome
from quire.sim.scenario import every, names
from tests.cli.conftest import Quire

WELL = Outcome("two-peers", 1, [], "quire sim run two-peers --seed 1", 400, 30_000, 3_600_000)
ILL = Outcome("removal", 2, ["ada lacks x"], "quire sim run removal --seed 2", None, 30_000, 0)


class Soak:
    """Stands for the runs, which take a while."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = outcomes
        self.asked: list[tuple[object, ...]] = []

    def __call__(self, *given: object) -> Iterator[Outcome]:
        self.asked.append(given)
        return iter(self.outcomes)


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


@pytest.mark.parametrize(
    "given",
    [(), ("--minutes", "-1"), ("--seeds", "-1"), ("--seeds", "1", "--jobs", "0"), ("moon", "--seeds", "1")],
)
def test_mistakes_are_told_before_anything_runs(
    quire: Quire, given: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Soak(WELL)
    monkeypatch.setattr(soak, "soak", run)
    told = quire("sim", "soak", *given)
    assert (told.code, told.out) == (2, "")
    assert run.asked == []
