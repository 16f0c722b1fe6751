"""What one of two stores that can both be looked into holds and the other does not.

Owns: looking only where their summaries differ. Must not know: why somebody asks, what events are.
"""

from collections.abc import Iterator

from quire.limits import INGEST_BATCH
from quire.sync.index import COARSE, END, FINE, EventIndex, Position, after


def lacking(held: EventIndex, theirs: EventIndex) -> Iterator[list[bytes]]:
    """The ids of what `held` has and `theirs` lacks, in order, in parts."""
    for coarse in _differing(held, theirs, COARSE, 0, (END[0] >> COARSE) + 1):
        first, last = coarse << COARSE - FINE, coarse + 1 << COARSE - FINE
        for fine in _differing(held, theirs, FINE, first, last):
            there = set(_within(theirs, fine))
            if ids := [at[1] for at in _within(held, fine) if at not in there]:
                yield ids


def _differing(held: EventIndex, theirs: EventIndex, level: int, first: int, last: int) -> list[int]:
    there = dict(theirs.buckets(level, first, last, last - first))
    return [n for n, summary in held.buckets(level, first, last, last - first) if there.get(n) != summary]


def _within(index: EventIndex, fine: int) -> Iterator[Position]:
    """All positions in a fine bucket."""
    low, high = (fine << FINE, b""), ((fine + 1) << FINE, b"")
    while page := index.page(low, high, INGEST_BATCH):
        yield from page
        low = after(page[-1])
