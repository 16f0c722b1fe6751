from collections.abc import Iterator

import pytest

from quire.runtime import soak
from quire.runtime.soak import Outcome
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
    assert run.asked == [(["two-peers"], 1, 2, 10**6, 3)]
    assert "2 runs, 0 failed; 2.0 simulated device-hours per CPU-minute." in told.out
    assert quire("sim", "soak", "--minutes", "1", "--json").json()[0]["seed"] == 1


def test_failures_exit_1_and_say_how_to_see_them_again(quire: Quire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "soak", Soak(WELL, ILL))
    told = quire("sim", "soak", "--minutes", "0.1")
    assert told.code == 1
    assert "FAULT: ada lacks x. Run it again with: quire sim run removal --seed 2" in told.err
    assert "2 runs, 1 failed" in told.out


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
