"""Where events are found by their ids.

Owns: `ids` and `ids_behind`. Must not know: what is in a row of `blobs` beside its number and id.

Ids are random, so that each one changes another page of their index: kept for every batch, it would cost more than
all else as soon as it is large. So what comes in bulk is sorted in together, later: at the latest before the next look.
"""

from collections.abc import Sequence
from typing import Any

from quire.limits import IDS_BEHIND
from quire.store.database import Database

#: From so many events on they are sorted in later.
_MANY = 100


class Ids:
    """The first 66 bits of each event's id, in order; whoever looks there compares the whole id after."""

    def __init__(self, db: Database) -> None:
        self._db = db
        #: The number of the first event that is not sorted in yet, 0 where there is none; None: not looked yet.
        self._first: int | None = None
        db.on_rollback(self._forget)

    def _forget(self) -> None:
        self._first = None

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Rows of `blobs` were stored, by ascending number."""
        first = self._behind()
        if not first and len(rows) < _MANY:
            self._db.executemany(
                "INSERT INTO ids VALUES (substr(?, 1, 11), ?)", [(row[1], row[0]) for row in rows]
            )
        elif not first:
            self._first = rows[0][0]
            self._db.execute("INSERT INTO ids_behind VALUES (?)", (self._first,))
        elif rows and rows[-1][0] - first >= IDS_BEHIND:
            self.catch_up()

    def catch_up(self) -> bool:
        """Sort in what is not yet, before anything is looked up by its id; whether there was any."""
        first = self._behind()
        if first:
            with self._db.transaction():
                self._sort_in(first)
        return bool(first)

    def make_anew(self) -> None:
        """Work all of it out from the events that are stored."""
        self._db.execute("DELETE FROM ids")
        self._sort_in(0)

    def missing(self) -> int:
        """How many events are not found by their ids: none, unless the table is damaged."""
        self.catch_up()
        row = self._db.one(
            "SELECT count(*) FROM blobs AS b WHERE NOT EXISTS"
            " (SELECT 1 FROM ids AS i WHERE i.short = substr(b.event_id, 1, 11) AND i.event = b.n)"
        )
        return int(row[0]) if row else 0

    def _sort_in(self, first: int) -> None:
        self._db.execute(
            "INSERT INTO ids SELECT substr(event_id, 1, 11) AS short, n FROM blobs WHERE n >= ? ORDER BY short",
            (first,),
        )
        self._db.execute("DELETE FROM ids_behind")
        self._first = 0

    def _behind(self) -> int:
        if self._first is None:
            row = self._db.one("SELECT event FROM ids_behind")
            self._first = row[0] if row else 0
        return self._first
