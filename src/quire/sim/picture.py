"""Convergence as a picture: the events that each device held, over virtual time.

Owns: what of a history becomes lines and shades. Must not know: how a chart is drawn.
"""

from quire.sim.chart import Axis, Chart, Line, Shade, picture
from quire.sim.history import History


def convergence(history: History) -> str:
    """SVG with a line for each device, which ends at the events it held at last; bands tell what went wrong."""
    end = max(history.end_ms / 1000, 0.001)
    most = max([count for lane in history.lanes for _, count in lane.held], default=0)
    lines = [
        Line(
            f"{lane.device} ({', '.join(lane.people)})",
            [*((at / 1000, count) for at, count in lane.held), (end, lane.held[-1][1])],
            stepped=True,
        )
        for lane in history.lanes
    ]
    shades = [
        Shade(band.start_ms / 1000, band.end_ms / 1000, band.words)
        for band in history.bands
        if not band.device
    ]
    calm = history.calm_ms / 1000
    shades.append(Shade(calm, calm, "nobody writes and nothing goes wrong from here on"))
    chart = Chart(
        "Events held by each device. Shaded: the network was divided; the thin bar: writing and faults stop.",
        Axis("virtual time (s)", 0, end),
        Axis("events held", 0, max(most, 1) * 1.04),
        lines,
        shades,
    )
    return picture(f"{history.scenario}, seed {history.seed}", [chart])
