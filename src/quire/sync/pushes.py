"""Ranges that a peer seems to lack something of, walked lazily.

Owns: the bounded queue of ranges and where each has been walked to. Must not know: messages.
A queue of ranges, never of ids: an empty peer costs one entry, whatever the store holds.

What a peer says describes its store as it was, and our own pushes change that store. So a range that
overlaps a fresh one is refused, and one that overlaps an old one replaces that part of it. Filters, which
tell precisely, go before ranges that the peer holds nothing of; one that still waited too long for its
turn is dropped: the peer asks again. A peer says many ranges a second, so each costs what it touches alone.
"""

from bisect import bisect_left, bisect_right, insort
from collections import deque
from dataclasses import dataclass

from quire.limits import (
    FRESH_MS,
    MAX_PUSH_JOBS,
    STALE_MS,
    SYNC_PAGE,
    SYNC_PAGES_PER_SECOND,
    SYNC_PAGES_PER_STEP,
)
from quire.sync.allowance import Allowance
from quire.sync.filter import Bloom
from quire.sync.index import EventIndex, Position, after


@dataclass
class _Job:
    low: Position
    high: Position
    held: Bloom | None
    since: int
    #: How many were queued before; what is left of a job keeps its turn.
    nth: int
    begun: bool = False

    def turn(self) -> tuple[bool, int, Position]:
        """Filters first; in the order in which they came."""
        return self.held is None, self.nth, self.low

    def without(self, low: Position, high: Position) -> "list[_Job]":
        """What is left of the job outside `[low, high)`."""
        parts = (self.low, min(self.high, low)), (max(self.low, high), self.high)
        return [
            _Job(*part, self.held, self.since, self.nth, self.begun) for part in parts if part[0] < part[1]
        ]


def _low(job: _Job) -> Position:
    return job.low


def _high(job: _Job) -> Position:
    return job.high


class Pushes:
    """What is still to be looked at for one peer; times in ms."""

    def __init__(self) -> None:
        #: The same, by place, of which none overlap, and by turn.
        self._jobs: list[_Job] = []
        self._turns: list[_Job] = []
        self._added = 0
        self._ready: deque[bytes] = deque()
        #: When the peer said what `next` gave last, or the earliest of it (ms).
        self.asked_at = 0
        # Filters that contain everything would otherwise have us test all ids as fast as we can.
        self._walking = Allowance()

    @property
    def active(self) -> bool:
        """Whether `next` has something left to look at."""
        return bool(self._ready or self._jobs)

    def add(self, low: Position, high: Position, held: Bloom | None, now: int) -> bool:
        """Queue `[low, high)` less what `held` contains; False when full, or too early to say it again."""
        if any(now - job.since < FRESH_MS for job in self._jobs[self._overlapping(low, high)]):
            return False
        self.settle(low, high)
        if len(self._jobs) >= MAX_PUSH_JOBS:
            return False
        if low < high:
            self._added += 1
            self._insert(_Job(low, high, held, now, self._added))
        return True

    def settle(self, low: Position, high: Position) -> None:
        """The peer holds all of `[low, high)`, or said something newer about it."""
        for job in self._jobs[self._overlapping(low, high)]:
            self._remove(job)
            for part in job.without(low, high):
                self._insert(part)
        while len(self._turns) > MAX_PUSH_JOBS:
            self._remove(self._turns[-1])

    def _overlapping(self, low: Position, high: Position) -> slice:
        first = bisect_right(self._jobs, low, key=_high)
        return slice(first, bisect_left(self._jobs, high, lo=first, key=_low))

    def _insert(self, job: _Job) -> None:
        insort(self._jobs, job, key=_low)
        insort(self._turns, job, key=_Job.turn)

    def _remove(self, job: _Job) -> None:
        place = bisect_left(self._jobs, job.low, key=_low)
        while self._jobs[place] is not job:  # one that was just walked to its end may have the same low
            place += 1
        del self._jobs[place]
        del self._turns[bisect_left(self._turns, job.turn(), key=_Job.turn)]

    def clear(self) -> None:
        """Forget everything: the peer lacks nothing."""
        self._jobs.clear()
        self._turns.clear()
        self._ready.clear()

    def next(self, index: EventIndex, limit: int, now: int) -> list[bytes]:
        """At most `limit` ids, in order; may be empty while still active (work per call is bounded)."""
        ready = self._ready
        for _ in range(SYNC_PAGES_PER_STEP):
            if len(ready) >= limit or not self._jobs or not self._walking.take(SYNC_PAGES_PER_SECOND, now):
                break
            self._walk(index, now)
        return [ready.popleft() for _ in range(min(limit, len(ready)))]

    def _walk(self, index: EventIndex, now: int) -> None:
        job = self._turns[0]
        if job.held is not None and not job.begun and now - job.since >= STALE_MS:
            self._remove(job)
            return
        job.begun = True
        self.asked_at = min(self.asked_at, job.since) if self._ready else job.since
        page = index.page(job.low, job.high, SYNC_PAGE)
        self._ready.extend([event_id for _, event_id in page] if job.held is None else job.held.missing(page))
        if len(page) < SYNC_PAGE:
            self._remove(job)
        else:
            job.low = after(page[-1])
