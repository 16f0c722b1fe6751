"""Milliseconds that hold more events than one page: their ids in order, kept as events are counted.

Owns: what is remembered of them, within a bound. Must not know: tables, who asks.
The database keeps events in the order of their numbers within a millisecond, and a member gives as many events one
timestamp as it likes: a page of them is to cost its own size all the same.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from quire.limits import MAX_CROWD_IDS

_ID = 32

#: An identity, a space and a timestamp.
Place = tuple[int, int, int]


class Crowds:
    """By place and the epochs that are left out; the one that was kept first is forgotten first."""

    def __init__(self) -> None:
        self._kept: dict[Place, dict[frozenset[int], bytearray]] = {}
        self._size = 0

    def keep(self, place: Place, closed: frozenset[int], ids: Sequence[bytes]) -> None:
        """Remember all ids of a millisecond, given in order; not more than MAX_CROWD_IDS together."""
        if len(ids) <= MAX_CROWD_IDS:
            self._kept.setdefault(place, {})[closed] = bytearray().join(ids)
            self._size += len(ids)
            self._shrink()

    def knows(self, place: Place, closed: frozenset[int]) -> bool:
        """Whether a millisecond is remembered."""
        return closed in self._kept.get(place, ())

    def page(self, place: Place, closed: frozenset[int], low: bytes, limit: int) -> Iterator[bytes]:
        """Ids of a millisecond that is remembered, from the bound `low` on, at most `limit`."""
        ids = self._kept[place][closed]
        at = _ID * _rank(ids, low)
        return (bytes(ids[one : one + _ID]) for one in range(at, min(at + _ID * limit, len(ids)), _ID))

    def add(self, account: int, space: int, events: Iterable[tuple[int, bytes, int]]) -> None:
        """Events have been counted, given as (ts in ms, id, epoch)."""
        if not self._kept:
            return
        for ts, event_id, epoch in events:
            for closed, ids in self._kept.get((account, space, ts), {}).items():
                if epoch not in closed:
                    at = _ID * _rank(ids, event_id)
                    ids[at:at] = event_id
                    self._size += 1
        self._shrink()

    def clear(self) -> None:
        """Forget all: what was counted may have been undone."""
        self._kept.clear()
        self._size = 0

    def _shrink(self) -> None:
        while self._size > MAX_CROWD_IDS:
            place = next(iter(self._kept))
            self._size -= sum(len(ids) // _ID for ids in self._kept.pop(place).values())


def _rank(ids: bytearray, bound: bytes) -> int:
    return bisect_left(range(len(ids) // _ID), bound, key=lambda n: bytes(ids[_ID * n : _ID * (n + 1)]))
