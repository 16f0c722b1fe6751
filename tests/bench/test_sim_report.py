import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import sim_report
from bench.convergence import COMMON, GRID_MS, LOSSES, NEW, PEERS, RUNS, Cell, Measured, strategies
from bench.sim_report import BEGIN, END, PAGE, PLOT, plot, table, with_table
from quire.sim.history import MAX_TEXT, MAX_TEXTS


def measured(strategy: str, peers: int, loss: float, settled_ms: int | None) -> Measured:
    return Measured(Cell(strategy, peers, loss), settled_ms, 12_345, 50, 30_000)


FOUND = [
    measured("sketch", 2, 0.0, 250),
    measured("sketch", 2, 0.3, 4_000),
    measured("sketch", 100, 0.0, 1_500),
    measured("full", 2, 0.5, None),
]


def test_a_row_for_each_strategy_and_size() -> None:
    rows = table(FOUND, 0.5).splitlines()
    assert "| `sketch` | 2 | 0.25 s, 12 kB | – | 4.00 s, 12 kB | – |" in rows
    assert "| `sketch` | 100 | 1.50 s, 12 kB | – | – | – |" in rows
    assert any(row.startswith("| `full` | 2 |") and "over 600 s" in row for row in rows)
    assert "0.5 minutes of CPU time" in rows[-1]


def test_only_what_is_between_the_marks_changes() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert with_table(page, "new \\1\n") == f"before\n{BEGIN}\n\nnew \\1\n\n{END}\nafter\n"
    assert with_table(with_table(page, "x"), "y") == with_table(page, "y")
    with pytest.raises(ValueError, match="no single place"):
        with_table("nothing", "x")


def test_a_chart_for_each_strategy_with_a_line_for_each_loss() -> None:
    drawn = ElementTree.fromstring(plot(FOUND))
    lines = [e for e in drawn.iter() if e.get("data-line")]
    assert len([e for e in drawn.iter() if e.get("class") == "chart"]) == len(strategies())
    assert sorted(e.get("data-last") or "" for e in lines) == ["100 1.5", "2 4"]
    assert len([e for e in drawn.iter() if (e.get("class") or "").startswith("dot")]) == 3


def test_the_command_writes_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}{END}")
    for name, value in {"ROOT": tmp_path, "PAGE": page, "PLOT": tmp_path / "plot.svg"}.items():
        monkeypatch.setattr(sim_report, name, value)
    monkeypatch.setattr(sim_report, "OUT", tmp_path / "out" / "measured.json")
    monkeypatch.setattr(sim_report, "run_all", lambda *_: iter(FOUND))
    monkeypatch.setattr("sys.argv", ["sim_report"])
    sim_report.main()
    first = page.read_text()
    assert "| `sketch` | 2 | 0.25 s, 12 kB |" in first
    assert (tmp_path / "plot.svg").read_text().startswith("<svg")
    monkeypatch.setattr("sys.argv", ["sim_report", "--drawn-from-last"])
    sim_report.main()
    assert page.read_text() == first


def test_a_part_is_printed_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("PAGE", "PLOT", "OUT"):
        monkeypatch.setattr(sim_report, name, tmp_path / "out" / name)
    asked: list[Cell] = []
    monkeypatch.setattr(sim_report, "run_all", lambda cells, *_: asked.extend(cells) or iter(FOUND))
    monkeypatch.setattr("sys.argv", ["sim_report", "--peers", "2", "5"])
    sim_report.main()
    assert {cell.peers for cell in asked} == {2, 5}
    assert "| `sketch` | 2 | 0.25 s, 12 kB |" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


# --- What is committed. -----------------------------------------------------------------------------------


def test_the_committed_table_and_plot_tell_the_same() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert {strategy for strategy, _, _ in rows} <= set(strategies())
    assert {"sketch", "bloom", "full"} <= {strategy for strategy, _, _ in rows}
    sizes = {int(peers) for _, peers, _ in rows}
    assert {2, 50} <= sizes <= set(PEERS)
    last: dict[tuple[str, int], str] = {}
    for strategy, peers, cells in rows:
        for n, cell in enumerate(cells.split(" | ")):
            if re.match(r"[\d.]+ s", cell):
                last[strategy, n] = f"{peers} {float(cell.split()[0]):.2f}"
    drawn = ElementTree.fromstring(PLOT.read_text("utf-8"))
    ends = [(e.get("data-last") or "").split() for e in drawn.iter() if e.get("data-line")]
    assert sorted(f"{peers} {float(seconds):.2f}" for peers, seconds in ends) == sorted(last.values())
    assert len(ends) == len(LOSSES) * len({strategy for strategy, _ in last})


def test_the_page_tells_what_is_done() -> None:
    told = " ".join(PAGE.read_text("utf-8").split())
    assert f"the same {COMMON} messages" in told
    assert f"{NEW} messages together" in told
    assert f"act every {GRID_MS} ms" in told
    assert RUNS == 3
    assert "in the middle of three" in told
    assert f"after {MAX_TEXT} characters, and after {MAX_TEXTS} written at once" in told
