"""How a set of events is summed up and ordered, for reconciliation.

Owns: the words that the store (which keeps the sums) and sync (which compares them) share.
"""

from typing import NamedTuple

#: `(ts ms, event id)`. As a bound the id may be any bytes: shorter sorts first, as in SQLite and Python.
Position = tuple[int, bytes]

#: Bucket levels: `ts >> level`, 12.4 days and 70 minutes.
COARSE = 30
FINE = 22


class Summary(NamedTuple):
    """How many ids, and their sum as big-endian integers modulo 2^256."""

    # mypy: a field may not hide tuple.count, which nobody needs here.
    count: int  # type: ignore[assignment]
    total: int
