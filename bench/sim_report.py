"""`python -m bench.sim_report` (`make sim-report`): measure convergence, and write it into docs/simulation.md.

With `--peers`, which is a part of it, the table is printed and nothing is written.

The table goes between two marks of that page, the plot beside it; nothing else of the page is touched.
"""

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.convergence import GIVE_UP_MS, LOSSES, PEERS, Cell, Measured, grid, run_all, strategies, summary
from quire.sim.chart import Axis, Chart, Line, picture

ROOT = Path(__file__).resolve().parents[1]
PAGE, PLOT = ROOT / "docs" / "simulation.md", ROOT / "docs" / "images" / "convergence.svg"
OUT = Path(__file__).parent / "out" / "convergence.json"
BEGIN, END = "<!-- Written by `make sim-report`: -->", "<!-- until here. -->"


def main() -> None:
    """Measure what is asked for, and write page and plot; a part is only printed."""
    parser = argparse.ArgumentParser(prog="bench.sim_report", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--peers", type=int, nargs="+", help="only these numbers of peers; nothing is written")
    what.add_argument(
        "--drawn-from-last", action="store_true", help="measure nothing, use the last whole run"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    given = parser.parse_args()
    if given.peers:
        print(_told_of(_measure(grid(tuple(given.peers)), given.jobs, None))[0])
        return
    if not given.drawn_from_last:
        _measure(grid(PEERS), given.jobs, OUT)
    made, drawn = _told_of(msgspec.json.decode(OUT.read_bytes(), type=list[Measured]))
    PAGE.write_text(with_table(PAGE.read_text("utf-8"), made), "utf-8")
    PLOT.write_text(drawn, "utf-8")
    print(f"{PAGE.relative_to(ROOT)} and {PLOT.relative_to(ROOT)} are written.")


def _told_of(measured: Sequence[Measured]) -> tuple[str, str]:
    """Table and plot."""
    found, minutes = summary(measured), sum(one.cpu_ms for one in measured) / 60_000
    return table(found, minutes), plot(found)


def _measure(cells: Sequence[Cell], jobs: int, out: Path | None) -> list[Measured]:
    """What has been measured is in `out`, if one is named, whenever this is broken off."""
    measured: list[Measured] = []
    if out is not None:
        out.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="quire-report-") as name:
        for one in run_all(cells, Path(name), jobs):
            measured.append(one)
            if out is not None:
                out.write_bytes(msgspec.json.format(msgspec.json.encode(measured)))
            told = json.dumps(msgspec.to_builtins(one))
            print(f"{len(measured)} of {len(cells)}: {told}", file=sys.stderr, flush=True)
    return measured


def with_table(page: str, made: str) -> str:
    """The page with its generated part replaced. Raises ValueError when it has no place for it."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError("the page has no single place for the table")
    return re.sub(
        f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: f"{BEGIN}\n\n{made}\n{END}", page, flags=re.DOTALL
    )


def table(found: Sequence[Measured], minutes: float) -> str:
    """A row for each strategy and number of peers, a column for each share of loss."""
    by_cell = {(one.cell.strategy, one.cell.peers, one.cell.loss): one for one in found}
    head = " | ".join(f"{loss:.0%} lost" for loss in LOSSES)
    rows = [f"| strategy | peers | {head} |", f"|---|---{'|---' * len(LOSSES)}|"]
    for strategy in strategies():
        for peers in PEERS:
            cells = [by_cell.get((strategy, peers, loss)) for loss in LOSSES]
            if any(cells):
                rows.append(f"| `{strategy}` | {peers} | {' | '.join(map(_told, cells))} |")
    told = f"Measuring it took {minutes:.1f} minutes of CPU time, without making the communities."
    return "\n".join([*rows, "", told, ""])


def _told(one: Measured | None) -> str:
    if one is None:
        return "–"
    time = f"over {GIVE_UP_MS // 1000} s" if one.settled_ms is None else f"{one.settled_ms / 1000:.2f} s"
    return f"{time}, {one.bytes_sent / 1000:,.0f} kB"


def plot(found: Sequence[Measured]) -> str:
    """A chart for each strategy, with a line for each share of loss."""
    times = [one.settled_ms / 1000 for one in found if one.settled_ms]
    low, high = 10**-1.0, max(10.0, *(2 * time for time in times))
    charts = []
    for strategy in strategies():
        lines = [
            Line(f"{loss:.0%} of datagrams lost", _points(found, strategy, loss, low)) for loss in LOSSES
        ]
        charts.append(
            Chart(
                strategy,
                Axis("peers", PEERS[0], PEERS[-1], log=True, marks=PEERS),
                Axis("time until everyone holds everything (s)", low, high, log=True),
                lines,
                width=340,
                height=360,
                dots=True,
            )
        )
    return picture("Everyone wrote alone, and all meet: convergence by peers, loss and strategy", charts)


def _points(found: Sequence[Measured], strategy: str, loss: float, low: float) -> list[tuple[float, float]]:
    return [
        (one.cell.peers, max(low, one.settled_ms / 1000))
        for one in found
        if (one.cell.strategy, one.cell.loss) == (strategy, loss) and one.settled_ms is not None
    ]


if __name__ == "__main__":
    main()
