"""`python -m bench.peers [--rounds N] [--only live,cold]`: print the table, write bench/out/peers.json."""

import argparse
import os
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.figures import Figure, write
from bench.peers.side import MEASUREMENTS, Side, peer, quire

HERE = Path(__file__).parent
OUT = HERE.parent / "out" / "peers.json"
PEERS = {"hypercore": "hypercore.mjs", "Jazz": "jazz.mjs"}

#: The values of each round, by side and what was measured.
Found = dict[tuple[str, str], list[float]]


def main() -> None:
    """Take turns: in each round everybody does the same once, one after the other."""
    parser = argparse.ArgumentParser(prog="bench.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(MEASUREMENTS), help="some of live,small,cold")
    given = parser.parse_args()
    if shutil.which("node") is None or not (HERE / "node_modules").is_dir():
        raise SystemExit("The peers need Node and their packages: make bench-peers installs these.")
    os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"  # no keys in a person's keyring
    sides = [quire(), *(peer(name, HERE / program) for name, program in PEERS.items())]
    found: Found = defaultdict(list)
    loads = [os.getloadavg()[0]]
    for place in range(given.rounds):
        for what in given.only.split(","):
            for side in sides:
                _measure(side, what, found)
        loads.append(os.getloadavg()[0])
        Console().print(f"round {place + 1} of {given.rounds}, load {loads[-1]:.1f}")
    _show(found)
    least, most = min(loads), max(loads)
    Console().print(
        f"{given.rounds} rounds; load between them {least:.1f} to {most:.1f}, this run's own included"
    )
    write([*figures(found), Figure("load between rounds, most", most, "processes")], OUT)


def _measure(side: Side, what: str, found: Found) -> None:
    with tempfile.TemporaryDirectory(prefix="quire-peers-") as name:
        values = side.runs[what](Path(name) / what)
    for (figure, _), value in zip(MEASUREMENTS[what], values, strict=True):
        found[side.name, figure].append(value)


def figures(found: Found) -> list[Figure]:
    """Median, least and most of each side, and Quire's median over each peer's."""
    made = []
    for name, unit in (entry for entries in MEASUREMENTS.values() for entry in entries):
        for side in ("Quire", *PEERS):
            if values := found.get((side, name)):
                made += [
                    Figure(f"{name}: {side}, median", median(values), unit),
                    Figure(f"{name}: {side}, least", min(values), unit),
                    Figure(f"{name}: {side}, most", max(values), unit),
                ]
                if side in PEERS:
                    made.append(Figure(f"{name}: Quire's over {side}'s", _ratio(found, side, name), "times"))
    return made


def _ratio(found: Found, side: str, name: str) -> float:
    return median(found["Quire", name]) / median(found[side, name])


def _show(found: Found) -> None:
    table = Table(
        "median (least to most)", "unit", "Quire", *(text for name in PEERS for text in (name, "ratio"))
    )
    for name, unit in (entry for entries in MEASUREMENTS.values() for entry in entries):
        if ("Quire", name) in found:
            cells = [_spread(found["Quire", name])]
            for side in PEERS:
                cells += [_spread(found[side, name]), f"{_ratio(found, side, name):.2f}"]
            table.add_row(name, unit, *cells)
    Console(width=160).print(table)


def _spread(values: list[float]) -> str:
    return f"{_short(median(values))} ({_short(min(values))} to {_short(max(values))})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
