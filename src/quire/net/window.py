"""How many datagrams may be under way to one peer at once.

Owns: a window that grows as TCP's, and shrinks by what round trips lose. Must not know: which datagrams, time.

A path that is full lets datagrams wait, or loses more than it carries: then the window is halved. One that loses some
of few as of many is not helped by fewer: there it shrinks by an eighth, and not below what was sent at first.
"""

from typing import NamedTuple

from quire.limits import FIRST_WINDOW, MAX_WINDOW, MIN_WINDOW


class _Cut(NamedTuple):
    """What the window was when it was cut, and why."""

    size: float
    came: float
    gone: float
    queued: bool


class Window:
    """In datagrams."""

    def __init__(self) -> None:
        self.size = float(FIRST_WINDOW)
        self._growing_fast = True
        # What became of datagrams in this round trip, with half of what did in the one before, and so on: a few alone
        # say little of a path.
        self._came = self._gone = 0.0
        #: Whether some were lost in this round trip.
        self.losing = False
        self._cut: _Cut | None = None

    def came(self, count: int, full: bool) -> None:
        """So many arrived; `full`: they were sent when all that may be was under way, so the path bears more."""
        self._came += count
        if full:
            step = count if self._growing_fast and not self.losing else count / self.size
            self.size = min(MAX_WINDOW, self.size + step)

    def gone(self, count: int) -> None:
        """So many were lost."""
        self._gone += count
        self.losing = True

    def came_late(self, count: int) -> None:
        """So many that were taken for lost had arrived: the last cut is judged anew."""
        self._came += count
        self._gone = max(0.0, self._gone - count)
        if self._cut is not None:
            self._cut = self._cut._replace(came=self._cut.came + count, gone=self._cut.gone - count)
            self.size = max(self.size, _after(self._cut))

    def end_round(self, queued: bool) -> None:
        """A round trip is over; `queued`: its datagrams waited on the way."""
        if self.losing and self._gone:
            self._shrink(queued)
        elif queued:
            self._growing_fast = False
        self.losing = False
        self._came /= 2
        self._gone /= 2

    def time_out(self) -> None:
        """All that was under way is gone, and nothing is heard."""
        self._came = 0.0
        self._shrink(queued=False)
        self.losing = False
        self._gone = 0.0

    def _shrink(self, queued: bool) -> None:
        self._cut = _Cut(self.size, self._came, self._gone, queued)
        self.size = _after(self._cut)
        self._growing_fast = False


def _after(cut: _Cut) -> float:
    """The size that a window is cut to."""
    if cut.gone <= 0:
        return cut.size
    if cut.queued or cut.gone > cut.came:
        return max(float(MIN_WINDOW), cut.size / 2)
    return max(min(cut.size, FIRST_WINDOW), cut.size * 7 / 8)
