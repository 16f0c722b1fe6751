"""Lines, notes and plain tables on a terminal or pipe.

Owns: where output goes and how wide it is. Must not know: any operation.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from quire.cli.text import clean

if TYPE_CHECKING:
    from rich.console import Console

Params = Mapping[str, Any]
#: How the result of an operation is shown, given what was asked.
Present = Callable[["Console", Any, Params], None]
#: Columns of a pipe, where nobody's terminal limits a line.
_PIPE_WIDTH = 100_000
#: Characters between columns.
_GAP = 2


def console() -> "Console":
    """Standard output; without colours and with lines of any length when it is not a terminal."""
    from rich.console import Console  # 20 ms that `--json` need not wait for

    is_terminal = sys.stdout.isatty()
    return Console(highlight=False, emoji=False, width=None if is_terminal else _PIPE_WIDTH)


def note(text: str) -> None:
    """Something beside the result, on standard error."""
    print(text, file=sys.stderr)


def line(out: "Console", text: str) -> None:
    """One line, never broken."""
    from rich.text import Text

    out.print(Text(text), soft_wrap=True)


def table(out: "Console", headings: list[str], rows: list[list[Any]], nothing: str) -> None:
    """A plain table, or `nothing` on standard error."""
    if not rows:
        note(nothing)
        return
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
    for heading in headings:
        grid.add_column(heading, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(clean("" if cell is None else cell)) for cell in row))
    out.print(grid)


def fitting(headings: list[str], rows: list[list[Any]], width: int, spare: Sequence[str]) -> list[str]:
    """The headings of the columns that find room in `width` characters: those in `spare` go first, in turn."""
    kept = list(headings)
    wide = {
        heading: max(len(heading), *(len(clean("" if row[place] is None else row[place])) for row in rows), 0)
        for place, heading in enumerate(headings)
    }
    for heading in spare:
        if sum(wide[one] + _GAP for one in kept) - _GAP > width:
            kept.remove(heading)
    return kept
