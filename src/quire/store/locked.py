"""Blobs whose key is not held yet.

Owns: `locked`. Must not know: keys, or where they come from. An event's id is known only once it is
opened, so what is locked is no part of what an identity holds, and sync goes on asking for it.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

import orjson

from quire.core.sealing import KEY_ID_BYTES
from quire.limits import MAX_LOCKED
from quire.store.database import Database

_FIND = (
    "SELECT l.key_id, l.digest FROM json_each(?) AS j CROSS JOIN locked AS l ON l.account = ? AND l.space = ?"
    " AND l.key_id = unhex(j.value ->> 0) AND l.digest = unhex(j.value ->> 1)"
)

#: A key's id, and the digest of what waits for it.
_Place = tuple[bytes, bytes]


class Locked:
    """Waiting blobs of every identity, at most MAX_LOCKED for each in a space."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._counts: dict[tuple[int, int], int] = {}
        db.on_rollback(self._counts.clear)

    def add(self, account: int, space: int, sealed: Sequence[bytes], source: str) -> tuple[int, int]:
        """Keep `key_id ‖ blob`s that `source` gave: how many are kept that were not before, and how many found no
        room.
        """
        given = {_place(item): item for item in sealed}
        kept = self._kept(account, space, given)
        new = [(account, space, *place, item, source) for place, item in given.items() if place not in kept]
        count = self.count(account, space)
        rows = new[: max(0, MAX_LOCKED - count)]
        self._db.executemany("INSERT INTO locked VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._counts[account, space] = count + len(rows)
        return len(rows), len(new) - len(rows)

    def _kept(self, account: int, space: int, places: Iterable[_Place]) -> set[_Place]:
        asked = [(key_id.hex(), digest.hex()) for key_id, digest in places]
        rows = self._db.all(_FIND, (orjson.dumps(asked).decode(), account, space))
        return {(bytes(key_id), bytes(digest)) for key_id, digest in rows}

    def take(self, account: int, space: int, key_ids: Sequence[bytes]) -> list[tuple[str, bytes]]:
        """Take out what waited for any of these keys, as (source, `key_id ‖ blob`)."""
        found: list[tuple[str, bytes]] = []
        for key_id in key_ids:
            rows = self._db.all(
                "DELETE FROM locked WHERE account = ? AND space = ? AND key_id = ? RETURNING source, blob",
                (account, space, key_id),
            )
            found += [(str(source), bytes(blob)) for source, blob in rows]
        self._counts.pop((account, space), None)
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
        count = self._counts.get((account, space))
        if count is None:
            sql = "SELECT count(*) FROM locked WHERE account = ? AND space = ?"
            row = self._db.one(sql, (account, space))
            count = self._counts[account, space] = int(row[0]) if row else 0
        return count


def _place(item: bytes) -> _Place:
    return item[:KEY_ID_BYTES], sha256(item).digest()[:16]
