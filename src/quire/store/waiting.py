"""Events that wait for something, and what has been provided: the general blocked/unblock mechanism.

Owns: `blocked` and `provided`. A need is a text such as `peer <public key>`; what it means is the
caller's business. Must not know: handlers.
"""

from collections.abc import Iterable, Sequence

import orjson

from quire.store.database import Database

#: The need of an event whose timestamp is still too far ahead of our clock.
TIME = "time"


class Waiting:
    """Blocked events and provided needs of every identity."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._counts: dict[tuple[int, int], int] = {}
        self._met: set[tuple[int, int, str]] = set()
        db.on_rollback(self._forget)

    def _forget(self) -> None:
        self._counts.clear()
        self._met.clear()

    def count(self, account: int, space: int) -> int:
        """How many waits an identity has in a space."""
        count = self._counts.get((account, space))
        if count is None:
            row = self._db.one(
                "SELECT count(*) FROM blocked WHERE account = ? AND space = ?", (account, space)
            )
            count = self._counts[account, space] = int(row[0]) if row else 0
        return count

    def block(self, account: int, space: int, waits: Sequence[tuple[str, int]]) -> None:
        """Let events wait, given as (need, event)."""
        if waits:
            self._counts[account, space] = self.count(account, space) + len(waits)
            self._db.executemany(
                "INSERT INTO blocked VALUES (?, ?, ?, ?)",
                [(account, space, need, event) for need, event in waits],
            )

    def waits(self, account: int, space: int, need: str, event: int) -> bool:
        """Whether an event waits for this need."""
        return bool(self.count(account, space)) and (
            self._db.one(
                "SELECT 1 FROM blocked WHERE account = ? AND space = ? AND need = ? AND event = ?",
                (account, space, need, event),
            )
            is not None
        )

    def is_met(self, account: int, space: int, need: str) -> bool:
        """Whether a need has been provided to this identity."""
        key = (account, space, need)
        if key in self._met:
            return True
        row = self._db.one("SELECT 1 FROM provided WHERE account = ? AND space = ? AND need = ?", key)
        if row is not None:
            self._met.add(key)
        return row is not None

    def provide(self, account: int, space: int, needs: Iterable[str]) -> None:
        """Note lasting needs as met, for events that have not come yet."""
        for need in needs:
            key = (account, space, need)
            if key not in self._met:
                self._db.execute("INSERT OR IGNORE INTO provided VALUES (?, ?, ?)", key)
                self._met.add(key)

    def release(self, account: int, space: int, needs: Sequence[str]) -> list[int]:
        """Take the events that waited for any of these needs out of the waiting list; their numbers, ascending."""
        if not needs or not self.count(account, space):
            return []
        rows = self._db.all(
            "SELECT need, event FROM blocked WHERE account = ? AND space = ?"
            " AND need IN (SELECT value FROM json_each(?))",
            (account, space, orjson.dumps(needs).decode()),
        )
        return self.remove(account, space, [(need, event) for need, event in rows])

    def release_until(self, account: int, space: int, ts: int) -> list[int]:
        """Take out the events that waited for their own timestamp, up to `ts` (ms)."""
        if not self.count(account, space):
            return []
        rows = self._db.all(
            "SELECT w.need, w.event FROM blocked AS w CROSS JOIN blobs AS b ON b.n = w.event"
            " WHERE w.account = ? AND w.space = ? AND w.need = ? AND b.ts <= ?",
            (account, space, TIME, ts),
        )
        return self.remove(account, space, [(need, event) for need, event in rows])

    def remove(self, account: int, space: int, waits: Sequence[tuple[str, int]]) -> list[int]:
        """Take out those of the waits given as (need, event) that there are; the events' numbers, ascending."""
        if not waits:
            return []
        before = self.count(account, space)
        removed = self._db.all(
            "DELETE FROM blocked WHERE account = ?1 AND space = ?2 AND (need, event) IN"
            " (SELECT value ->> 0, value ->> 1 FROM json_each(?3)) RETURNING event",
            (account, space, orjson.dumps(waits).decode()),
        )
        self._counts[account, space] = before - len(removed)
        return sorted(number for (number,) in removed)

    def events(self, account: int, space: int) -> list[int]:
        """The numbers of all that waits."""
        if not self.count(account, space):
            return []
        rows = self._db.all(
            "SELECT DISTINCT event FROM blocked WHERE account = ? AND space = ?", (account, space)
        )
        return [event for (event,) in rows]

    def forget(self, account: int, space: int, events: Sequence[int]) -> None:
        """Take events out of the waiting list, whatever they waited for."""
        if not events or not self.count(account, space):
            return
        rows = self._db.all(
            "SELECT need, event FROM blocked WHERE account = ? AND space = ?"
            " AND event IN (SELECT value FROM json_each(?))",
            (account, space, orjson.dumps(events).decode()),
        )
        self.remove(account, space, [(need, event) for need, event in rows])

    def reasons(self, account: int) -> list[tuple[int, str, int]]:
        """(space, kind of need, number of events) that an identity's blocked events wait for."""
        return [
            (space, kind, count)
            for space, kind, count in self._db.all(
                "SELECT space, substr(need, 1, instr(need || ' ', ' ') - 1) AS kind, count(*)"
                " FROM blocked WHERE account = ? GROUP BY space, kind ORDER BY space, kind",
                (account,),
            )
        ]

    def clear(self, keep_prefix: str) -> None:
        """Forget every wait but those whose need begins with `keep_prefix`, and all that was provided."""
        self._db.execute("DELETE FROM blocked WHERE substr(need, 1, ?) <> ?", (len(keep_prefix), keep_prefix))
        self._db.execute("DELETE FROM provided")
        self._forget()
