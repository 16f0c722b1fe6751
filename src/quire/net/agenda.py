"""Which of many have something to do: those whose time has come, and those that were stirred.

Owns: when each is next due, in order. Must not know: what they are, what is to be done.

What is asked of it costs what is due, and not what there is. Whoever is due or was stirred is named again
and again until a new time is planned for it: what fails half-way is not forgotten.
"""

from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

One = TypeVar("One")

#: Times that hold no more are thrown away once there are so many beside those that hold.
_SPARE = 64


class Agenda(Generic[One]):
    """Times in ms; those on it must be ordered."""

    def __init__(self) -> None:
        self._due: dict[One, int] = {}
        # Times that were planned, those that hold no more among them.
        self._times: list[tuple[int, One]] = []
        #: Who may have something to do whatever its time says, in the order in which that came about.
        self.stirred: dict[One, None] = {}

    def __len__(self) -> int:
        return len(self._due.keys() | self.stirred.keys())

    def stir(self, one: One) -> None:
        """It may have something to do now, and be due at another time than was planned."""
        self.stirred[one] = None

    def plan(self, one: One, due: int) -> None:
        """It has nothing to do before this time."""
        self.stirred.pop(one, None)
        if self._due.get(one) != due:
            self._due[one] = due
            heappush(self._times, (due, one))
            if len(self._times) > 2 * len(self._due) + _SPARE:
                self._times = [(at, known) for known, at in self._due.items()]
                heapify(self._times)

    def drop(self, one: One) -> None:
        """It is no more."""
        self.stirred.pop(one, None)
        self._due.pop(one, None)

    def next(self) -> int | None:
        """The earliest time of all that were not stirred."""
        times = self._times
        while times and self._due.get(times[0][1]) != times[0][0]:
            heappop(times)
        return times[0][0] if times else None

    def busy(self, now: int) -> list[One]:
        """Who was stirred, in that order, then whose time has come, the longest due first."""
        while (due := self.next()) is not None and due <= now:
            one = heappop(self._times)[1]
            del self._due[one]
            self.stirred[one] = None
        return list(self.stirred)
