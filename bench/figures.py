"""A figure: what was measured, and what was wanted of it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """`wanted` is a bound such as ">= 60000", or "" for a figure that only informs."""

    name: str
    value: float
    unit: str
    wanted: str = ""

    def met(self) -> bool | None:
        """Whether the bound holds; None without one."""
        if not self.wanted:
            return None
        sign, bound = self.wanted.split()
        return self.value >= float(bound) if sign == ">=" else self.value <= float(bound)


def show(figures: Sequence[Figure]) -> None:
    """Print the table."""
    table = Table("figure", "value", "unit", "wanted", "")
    marks = {True: "met", False: "missed", None: ""}
    for figure in figures:
        value = f"{figure.value:,.0f}" if figure.value >= 100 else f"{figure.value:.3g}"
        table.add_row(figure.name, value, figure.unit, figure.wanted, marks[figure.met()])
    Console(width=120).print(table)


def write(figures: Sequence[Figure], path: Path) -> None:
    """Write the figures as JSON."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
