"""The membership graph as rows: its events, and what they come to.

Owns: `graph_events`, `members`, `member_devices`, `hidden`, `disowned`. Must not know: rules, or what a change means.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from quire.store.database import Database
from quire.store.names import Names


def shown(row: str, device: str = "device") -> str:
    """SQL: what a row of the table `row` (account, space, `device`, seq, event) is about was written with the right to.

    The rest is kept, and not shown.
    """
    return (
        f"NOT EXISTS (SELECT 1 FROM hidden AS h WHERE h.account = {row}.account AND h.space = {row}.space"
        f" AND h.device = {row}.{device} AND {row}.seq BETWEEN h.first AND h.last)"
        f" AND NOT EXISTS (SELECT 1 FROM disowned AS x WHERE x.account = {row}.account AND x.event = {row}.event)"
    )


class GraphRow(NamedTuple):
    """An event of the graph; `parents` and `change` as JSON."""

    event: int
    event_id: str
    device: str
    seq: int
    ts: int
    parents: str
    change: str


class DeviceRow(NamedTuple):
    """A device as the graph knows it: public keys as text, and the places of its log that are not shown."""

    device: str
    wrap: str
    standing: bool
    hidden: Sequence[tuple[int, int]]


class GraphRows:
    """The graph's tables, by identity and space. Callers hold the transaction."""

    def __init__(self, db: Database, names: Names) -> None:
        self._db = db
        self._names = names

    def events(self, account: int, space: int) -> list[GraphRow]:
        """Every event of the graph, in the order in which it was taken in."""
        rows = self._db.execute(
            "SELECT event, event_id, device, seq, ts, parents, change FROM graph_events"
            " WHERE account = ? AND space = ? ORDER BY place",
            (account, space),
        )
        return [GraphRow(*row) for row in rows]

    def add(self, account: int, space: int, first: int, rows: Sequence[GraphRow]) -> None:
        """Append events at `first` and the places after it."""
        self._db.executemany(
            "INSERT INTO graph_events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
            [(account, space, first + number, *row) for number, row in enumerate(rows)],
        )

    def is_hidden(self, account: int, space: int, device: int, seq: int) -> bool:
        """Whether a place of a log is not shown: written without the right to."""
        sql = (
            "SELECT 1 FROM hidden WHERE account = ? AND space = ? AND device = ? AND ? BETWEEN first AND last"
        )
        return self._db.one(sql, (account, space, device, seq)) is not None

    def set_counts(self, account: int, space: int, counts: bool, places: Iterable[int]) -> None:
        """Note which events count, or do not."""
        self._db.executemany(
            "UPDATE graph_events SET counts = ? WHERE account = ? AND space = ? AND place = ?",
            [(counts, account, space, place) for place in places],
        )

    def event_at(self, account: int, space: int, place: int) -> int:
        """The number of the event at a place."""
        row = self._db.one(
            "SELECT event FROM graph_events WHERE account = ? AND space = ? AND place = ?",
            (account, space, place),
        )
        if row is None:
            raise KeyError(place)
        return int(row[0])

    def set_member(
        self,
        account: int,
        space: int,
        member: str,
        role: int | None,
        since: int,
        devices: Sequence[DeviceRow],
    ) -> None:
        """What a member is now (`role` None: was never let in), with all devices it ever had."""
        key = (account, space, member)
        self._db.execute("DELETE FROM members WHERE account = ? AND space = ? AND member = ?", key)
        if role is not None:
            self._db.execute("INSERT INTO members VALUES (?, ?, ?, ?, ?)", (*key, role, since))
        self._db.execute("DELETE FROM member_devices WHERE account = ? AND space = ? AND member = ?", key)
        for row in devices:
            self._set_device(account, space, member, row)

    def _set_device(self, account: int, space: int, member: str, row: DeviceRow) -> None:
        key = (account, space, self._names.device_number(space, row.device))
        self._db.execute(
            "INSERT OR REPLACE INTO member_devices VALUES (?, ?, ?, ?, ?, ?)",
            (*key, member, row.wrap, row.standing),
        )
        self._db.execute("DELETE FROM hidden WHERE account = ? AND space = ? AND device = ?", key)
        self._db.executemany(
            "INSERT INTO hidden VALUES (?, ?, ?, ?, ?)", [(*key, first, last) for first, last in row.hidden]
        )

    def set_disowned(self, account: int, device: int, events: Iterable[int]) -> None:
        """Which events of a log are not of the history that counts, all of them."""
        self._db.execute("DELETE FROM disowned WHERE account = ? AND device = ?", (account, device))
        self._db.executemany(
            "INSERT INTO disowned VALUES (?, ?, ?)", [(account, event, device) for event in events]
        )

    def count_devices(self, account: int, space: int) -> int:
        """How many devices are, or were, members', as far as an identity knows: anybody can make up others."""
        sql = "SELECT count(*) FROM member_devices WHERE account = ? AND space = ?"
        row = self._db.one(sql, (account, space))
        return int(row[0]) if row else 0

    def member_of(self, account: int, space: int, device: int) -> str | None:
        """Whose device it is, by its number, as far as an identity knows."""
        row = self._db.one(
            "SELECT member FROM member_devices WHERE account = ? AND space = ? AND device = ?",
            (account, space, device),
        )
        return None if row is None else str(row[0])

    def clear(self) -> None:
        """Forget everything that was read from events."""
        for table in ("graph_events", "members", "member_devices", "hidden", "disowned"):
            self._db.execute(f"DELETE FROM {table}")
