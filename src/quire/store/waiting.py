"""Events that wait for something, and what has been provided: the general blocked/unblock mechanism.

Owns: `blocked` and `provided`. A need is a text such as `peer <public key>`; what it means is the
caller's business. Must not know: handlers.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import orjson

from quire.limits import MAX_INTEGER
from quire.store.database import Database

#: Digits of a timestamp in a need: those of MAX_INTEGER, so that text is in the order of time.
_DIGITS = len(str(MAX_INTEGER))


def time_need(ts: int) -> str:
    """The need of an event whose timestamp (ms) is still too far ahead of our clock."""
    return f"time {ts:0{_DIGITS}}"


#: SQL: the first word of a need, as `_kind` gives it.
_KIND = "substr(need, 1, instr(need || ' ', ' ') - 1)"


def _kind(need: str) -> str:
    return need.partition(" ")[0]


class Waiting:
    """Blocked events and provided needs of every identity."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._counts: dict[tuple[int, int], Counter[str]] = {}
        self._met: set[tuple[int, int, str]] = set()
        db.on_rollback(self._forget)

    def _forget(self) -> None:
        self._counts.clear()
        self._met.clear()

    def count(self, account: int, space: int, kind: str | None = None) -> int:
        """How many waits an identity has in a space, or those for one kind of need: the first word of it."""
        counts = self._counted(account, space)
        return counts[kind] if kind is not None else sum(counts.values())

    def _counted(self, account: int, space: int) -> Counter[str]:
        counts = self._counts.get((account, space))
        if counts is None:
            rows = self._db.all(
                f"SELECT {_KIND} AS kind, count(*) FROM blocked WHERE account = ? AND space = ? GROUP BY kind",
                (account, space),
            )
            counts = self._counts[account, space] = Counter(dict(rows))
        return counts

    def block(self, account: int, space: int, waits: Sequence[tuple[str, int]]) -> None:
        """Let events wait, given as (need, event)."""
        if waits:
            self._counted(account, space).update(_kind(need) for need, _ in waits)
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

    def event(self, account: int, space: int, need: str) -> int | None:
        """One that waits for this need, if any does."""
        if not self.count(account, space, _kind(need)):
            return None
        row = self._db.one(
            "SELECT event FROM blocked WHERE account = ? AND space = ? AND need = ? LIMIT 1",
            (account, space, need),
        )
        return None if row is None else int(row[0])

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

    def release_until(self, account: int, space: int, ts: int, limit: int) -> list[int]:
        """Take out events that waited for their own timestamp, up to `ts` (ms): at most so many, the earliest first."""
        if not self.count(account, space, "time"):
            return []
        rows = self._db.all(
            "SELECT need, event FROM blocked WHERE account = ? AND space = ? AND need BETWEEN ? AND ?"
            " ORDER BY need, event LIMIT ?",
            (account, space, time_need(0), time_need(ts), limit),
        )
        return self.remove(account, space, [(need, event) for need, event in rows])

    def remove(self, account: int, space: int, waits: Sequence[tuple[str, int]]) -> list[int]:
        """Take out those of the waits given as (need, event) that there are; the events' numbers, ascending."""
        if not waits:
            return []
        counts = self._counted(account, space)
        removed = self._db.all(
            "DELETE FROM blocked WHERE account = ?1 AND space = ?2 AND (need, event) IN"
            " (SELECT value ->> 0, value ->> 1 FROM json_each(?3)) RETURNING need, event",
            (account, space, orjson.dumps(waits).decode()),
        )
        counts.subtract(_kind(need) for need, _ in removed)
        return sorted(number for _, number in removed)

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
                f"SELECT space, {_KIND} AS kind, count(*)"
                " FROM blocked WHERE account = ? GROUP BY space, kind ORDER BY space, kind",
                (account,),
            )
        ]

    def clear(self, keep_prefix: str) -> None:
        """Forget every wait but those whose need begins with `keep_prefix`, and all that was provided."""
        self._db.execute("DELETE FROM blocked WHERE substr(need, 1, ?) <> ?", (len(keep_prefix), keep_prefix))
        self._db.execute("DELETE FROM provided")
        self._forget()
