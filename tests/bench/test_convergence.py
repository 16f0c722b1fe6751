from pathlib import Path

import pytest

from bench import convergence
from bench.convergence import (
    LOSSES,
    MOST_PEERS,
    PEERS,
    Cell,
    Measured,
    grid,
    make_town,
    measure,
    run_all,
    strategies,
    summary,
)  # fmt: skip
from quire.sync import STRATEGIES


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("towns") / "3"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convergence, "COMMON", 40)
        make_town(folder, 3)
    return folder


@pytest.mark.parametrize("strategy", strategies())
def test_everyone_comes_to_hold_everything(town: Path, strategy: str) -> None:
    found = measure(town, Cell(strategy, 3, 0.1))
    assert found.settled_ms is not None
    assert 0 < found.settled_ms < 60_000
    assert found.bytes_sent > 2 * 100 * convergence.NEW / 3  # each gives what it wrote to somebody
    assert sorted(path.name for path in town.parent.iterdir()) == ["3"]


def test_a_cell_gives_the_same_again_and_another_seed_something_else(town: Path) -> None:
    def facts(seed: int) -> tuple[int | None, int, int]:
        found = measure(town, Cell("sketch", 3, 0.3, seed))
        return found.settled_ms, found.bytes_sent, found.datagrams

    assert facts(1) == facts(1)
    assert facts(1) != facts(2)


def test_who_never_agrees_is_given_up(town: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convergence, "GIVE_UP_MS", 500)
    found = measure(town, Cell("sketch", 3, 1.0))
    assert found.settled_ms is None


def test_the_grid_has_every_strategy_and_both_ends() -> None:
    cells = grid()
    assert {cell.strategy for cell in cells} == {*STRATEGIES, "frontier"}
    assert {cell.loss for cell in cells} == set(LOSSES)
    assert (PEERS[0], PEERS[-1], LOSSES[0], LOSSES[-1]) == (2, 100, 0.0, 0.5)
    for strategy in strategies():
        most = max(cell.peers for cell in cells if cell.strategy == strategy)
        assert most == MOST_PEERS.get(strategy, PEERS[-1])
    assert len(set(cells)) == len(cells)


@pytest.mark.slow
def test_cells_are_measured_in_processes(tmp_path: Path) -> None:
    cells = [Cell("sketch", 2, 0.0), Cell("bloom", 2, 0.5)]
    found = list(run_all(cells, tmp_path, 2))
    assert {one.cell for one in found} == set(cells)
    assert all(one.settled_ms and one.cpu_ms > 0 for one in found)


def test_the_run_in_the_middle_stands_for_a_cell() -> None:
    runs = [Measured(Cell("sketch", 2, 0.1, seed), at, 1, 1, 1) for seed, at in enumerate((30, None, 20), 1)]
    assert summary(runs) == [runs[0]]
    other = Measured(Cell(strategies()[0], 5, 0.0), 9, 1, 1, 1)
    assert len(summary([*runs, other])) == 2


def test_streams_carry_what_datagrams_do_not(town: Path) -> None:
    by_streams, by_datagrams = (measure(town, Cell(strategy, 3, 0.0)) for strategy in ("frontier", "sketch"))
    assert by_streams.datagrams < by_datagrams.datagrams
    assert by_streams.bytes_sent > 2 * 100 * convergence.NEW / 3
