"""Blobs whose key is not held yet.

Owns: `locked`. Must not know: keys, or where they come from. An event's id is known only once it is
opened, so what is locked is no part of what an identity holds, and sync goes on asking for it.
"""

from collections.abc import Sequence
from hashlib import sha256

from quire.core.sealing import KEY_ID_BYTES
from quire.limits import MAX_LOCKED
from quire.store.database import Bindings, Database

_FIND = "SELECT 1 FROM locked WHERE account = ? AND space = ? AND key_id = ? AND digest = ?"


class Locked:
    """Waiting blobs of every identity, at most MAX_LOCKED for each in a space."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, account: int, space: int, sealed: Sequence[bytes], source: str) -> tuple[int, int]:
        """Keep `key_id ‖ blob`s that `source` gave: how many are kept that were not before, and how many found no
        room.
        """
        room = max(0, MAX_LOCKED - self.count(account, space))
        new: dict[bytes, Bindings] = {}
        for item in sealed:
            row = (account, space, item[:KEY_ID_BYTES], sha256(item).digest()[:16])
            if not self._db.one(_FIND, row):
                new[item] = (*row, item, source)
        self._db.executemany("INSERT INTO locked VALUES (?, ?, ?, ?, ?, ?)", list(new.values())[:room])
        return min(len(new), room), max(0, len(new) - room)

    def take(self, account: int, space: int, key_ids: Sequence[bytes]) -> list[tuple[str, bytes]]:
        """Take out what waited for any of these keys, as (source, `key_id ‖ blob`)."""
        found: list[tuple[str, bytes]] = []
        for key_id in key_ids:
            rows = self._db.all(
                "DELETE FROM locked WHERE account = ? AND space = ? AND key_id = ? RETURNING source, blob",
                (account, space, key_id),
            )
            found += [(str(source), bytes(blob)) for source, blob in rows]
        return found

    def openable(self) -> list[tuple[int, int, bytes]]:
        """(account, space, key id) of blobs that wait for a key which has come."""
        rows = self._db.all(
            "SELECT DISTINCT l.account, l.space, l.key_id FROM locked AS l JOIN epochs AS e ON e.space = l.space"
            " AND e.key_id = l.key_id JOIN space_keys AS k ON k.account = l.account AND k.epoch = e.n"
            " ORDER BY l.account, l.space, l.key_id"
        )
        return [(account, space, bytes(key_id)) for account, space, key_id in rows]

    def count(self, account: int, space: int) -> int:
        """How many blobs of an identity wait for a key in a space."""
        row = self._db.one("SELECT count(*) FROM locked WHERE account = ? AND space = ?", (account, space))
        return int(row[0]) if row else 0
