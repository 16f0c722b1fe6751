"""An EventIndex in memory: what the conformance suites and demonstrations run on.

Owns: a sorted list and two dicts of sums. Must not know: strategies.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence

from quire.core import cells
from quire.core.cells import Sketch
from quire.sync.index import COARSE, EMPTY, FINE, Position, Summary

SKETCH_KEY = b"s" * 32


class MemoryIndex:
    """Holds `(ts, id) → key_id ‖ blob`; adding an id again changes nothing."""

    def __init__(self) -> None:
        self._order: list[Position] = []
        self._blobs: dict[bytes, bytes] = {}
        self._sums: dict[int, dict[int, Summary]] = {COARSE: {}, FINE: {}}
        self._whole = EMPTY
        self._parts = cells.parts_of(SKETCH_KEY, ())

    def add(self, ts: int, event_id: bytes, blob: bytes = b"") -> bool:
        """Hold one event; whether it was new."""
        if event_id in self._blobs:
            return False
        self._blobs[event_id] = blob
        if self._order and (ts, event_id) < self._order[-1]:
            insort(self._order, (ts, event_id))
        else:
            self._order.append((ts, event_id))
        self._whole = _plus(self._whole, event_id)
        cells.add(SKETCH_KEY, self._parts, [cells.name_of(event_id)])
        for level, sums in self._sums.items():
            sums[ts >> level] = _plus(sums.get(ts >> level, EMPTY), event_id)
        return True

    def __len__(self) -> int:
        return len(self._order)

    def positions(self) -> list[Position]:
        """Everything held, in order."""
        return list(self._order)

    def whole(self) -> Summary:
        """Summary of everything held."""
        return self._whole

    def count(self) -> int:
        """How many events are held."""
        return self._whole.count

    def buckets(self, level: int, first: int, last: int, limit: int) -> list[tuple[int, Summary]]:
        """Non-empty buckets of a level in `[first, last)`, ascending, at most `limit`."""
        sums = self._sums[level]
        span = range(first, last)
        near = (
            (at for at in span if at in sums) if len(span) < len(sums) else (at for at in sums if at in span)
        )
        return [(at, sums[at]) for at in sorted(near)[:limit]]

    def page(self, low: Position, high: Position, limit: int) -> list[Position]:
        """Held positions in `[low, high)`, in order, at most `limit`."""
        first = bisect_left(self._order, low)
        return self._order[first : min(bisect_left(self._order, high), first + limit)]

    def sketch(self) -> Sketch:
        """The sketches of everything held."""
        return Sketch(SKETCH_KEY, self._parts)

    def called(self, names: Sequence[int]) -> list[Position]:
        """Held positions of these short names, in order."""
        wanted = set(names)
        return [(ts, event_id) for ts, event_id in self._order if cells.name_of(event_id) in wanted]

    def blobs(self, ids: Sequence[bytes]) -> list[bytes]:
        """`key_id ‖ blob` of each id held, in the order asked."""
        return [self._blobs[event_id] for event_id in ids if event_id in self._blobs]


def _plus(summary: Summary, event_id: bytes) -> Summary:
    return Summary(summary.count + 1, (summary.total + int.from_bytes(event_id, "big")) % 2**256)
