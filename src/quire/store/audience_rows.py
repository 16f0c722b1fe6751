"""Audiences as rows: their keys, the events that wait for one, and who may be shown in them.

Owns: `audience_keys`, `unopened`, `audience_spans`. Must not know: how bodies are sealed, or rules.
"""

from collections.abc import Iterable, Sequence

import orjson

from quire.store.database import Database
from quire.store.names import Names


class AudienceRows:
    """The tables of audiences, by identity and space. Callers hold the transaction."""

    def __init__(self, db: Database, names: Names) -> None:
        self._db = db
        self._names = names

    def add_key(self, account: int, space: int, audience: str, name: str, key: bytes) -> None:
        """Keep a key (32 bytes) of an audience, if it is new."""
        self._db.execute(
            "INSERT OR IGNORE INTO audience_keys VALUES (?, ?, ?, ?, ?)",
            (account, space, audience, name, key),
        )

    def keys(self, account: int, space: int) -> list[tuple[str, str, bytes]]:
        """(audience, name, key) of every key that an identity holds in a space."""
        rows = self._db.all(
            "SELECT audience, name, key FROM audience_keys WHERE account = ? AND space = ?"
            " ORDER BY audience, name",
            (account, space),
        )
        return [(str(audience), str(name), bytes(key)) for audience, name, key in rows]

    def set_unopened(self, account: int, space: int, waits: Iterable[tuple[str, int]]) -> None:
        """Let events wait for keys, given as (key name, event)."""
        self._db.executemany(
            "INSERT OR IGNORE INTO unopened VALUES (?, ?, ?, ?)",
            [(account, space, name, event) for name, event in waits],
        )

    def take_unopened(self, account: int, space: int, names: Sequence[str]) -> list[int]:
        """Take out the events that waited for any of these keys; their numbers, ascending."""
        rows = self._db.all(
            "DELETE FROM unopened WHERE account = ? AND space = ?"
            " AND key_name IN (SELECT value FROM json_each(?)) RETURNING event",
            (account, space, orjson.dumps(names).decode()),
        )
        return sorted({int(event) for (event,) in rows})

    def set_spans(
        self, account: int, space: int, audience: str, spans: Iterable[tuple[str, int, int]]
    ) -> None:
        """What is shown in an audience, as (device, first seq, last seq)."""
        key = (account, space, audience)
        self._db.execute("DELETE FROM audience_spans WHERE account = ? AND space = ? AND audience = ?", key)
        self._db.executemany(
            "INSERT INTO audience_spans VALUES (?, ?, ?, ?, ?, ?)",
            [(*key, self._names.device_number(space, device), first, last) for device, first, last in spans],
        )

    def clear(self) -> None:
        """Forget everything that was read from events; keys are no such thing."""
        self._db.execute("DELETE FROM unopened")
        self._db.execute("DELETE FROM audience_spans")
