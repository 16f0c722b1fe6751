from io import StringIO

import pytest
from rich.console import Console

from quire.cli import simulation, soak
from quire.cli.tables import fitting, table
from quire.runtime.soak import Outcome
from quire.sim.run import DeviceResult
from quire.sim.scenario import every

DEVICE = DeviceResult(
    "device10", ["rosalind", "quincy"], 100_000, 99_990, 412_300, 88_000, 41_000_000, 20_100, 3_100, 12
)


def test_columns_that_find_no_room_are_left_out_in_turn() -> None:
    headings, rows = ["NAME", "A", "B"], [["x" * 10, 12_345, 1]]
    assert fitting(headings, rows, 20, ("A", "B")) == headings
    assert fitting(headings, rows, 19, ("A", "B")) == ["NAME", "B"]
    assert fitting(headings, rows, 12, ("A", "B")) == ["NAME"]
    assert fitting(headings, [], 7, ("B",)) == ["NAME", "A"]


@pytest.mark.parametrize("width", [80, 100, 140])
def test_words_of_simulations_are_not_broken(width: int) -> None:
    written = StringIO()
    out = Console(file=written, width=width)
    simulation.devices_table(out, [DEVICE])
    runs = [Outcome(max(every(), key=len), 1, [], "", 412_300, 12_345, 1_234_567_890)]
    table(out, soak._HEADINGS, [soak._row(runs[0].scenario, runs * 10_000)], "")
    lines = written.getvalue().splitlines()
    assert len(lines) == 4, written.getvalue()
    assert ("CORRUPTED" in lines[0]) == (width == 140)
