"""How far a simulation has come, on a terminal while it runs.

Owns: the display. Must not know: how a simulation runs; it looks at what a witness has noted so far.
"""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from quire.cli.text import clean

if TYPE_CHECKING:
    from rich.table import Table

    from quire.sim.witness import Witness

#: Devices that have a line of their own; of more the rest is left out.
MOST_LINES = 20
_REFRESHES_PER_SECOND = 8


def live_display(witness: "Witness", title: str) -> AbstractContextManager[object]:
    """While this is open, standard error shows the virtual time and what each device holds; then nothing is left."""
    from rich.console import Console
    from rich.live import Live

    return Live(
        get_renderable=lambda: progress(witness, title),
        console=Console(stderr=True, highlight=False, emoji=False),
        refresh_per_second=_REFRESHES_PER_SECOND,
        transient=True,
    )


def progress(witness: "Witness", title: str) -> "Table":
    """The display at this moment: a bar for the time, and one for each device's events."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    # Another thread fills it meanwhile: a copy is whole.
    held = dict(witness.arrived)
    most = max([1, *held.values()])
    planned, now = witness.planned_ms / 1000, witness.now / 1000
    settling = witness.now > witness.planned_ms > 0
    told = f"settling {now - planned:.1f} s" if settling else f"{now:.1f} of {planned:.1f} s"
    share = min(witness.now, witness.planned_ms)
    grid = Table.grid(padding=(0, 2))
    grid.add_row(clean(title), ProgressBar(max(1, witness.planned_ms), share, width=40), told)
    for device in sorted(held, key=lambda name: (len(name), name))[:MOST_LINES]:
        grid.add_row(f"  {device}", ProgressBar(most, held[device], width=40), f"{held[device]:,} events")
    if len(held) > MOST_LINES:
        grid.add_row(f"  and {len(held) - MOST_LINES} more")
    return grid
