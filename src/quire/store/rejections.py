"""What was refused, from whom and why: counts that a person can read in `quire status`.

Owns: `rejections`. Must not know: what the reasons mean.
"""

from quire.limits import MAX_REJECTIONS_KEPT
from quire.store.database import Database


class Rejections:
    """Counts by identity, source (a peer's public key, or `local`) and reason."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def count(self, account: int, source: str, reason: str, now: int, number: int = 1) -> None:
        """Add `number` rejections at `now` (ms); the oldest of more than MAX_REJECTIONS_KEPT are forgotten."""
        self._db.execute(
            "INSERT INTO rejections VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET count = count + excluded.count, last_ts = excluded.last_ts",
            (account, source, reason, number, now),
        )
        self._db.execute(
            "DELETE FROM rejections WHERE (account, source, reason) IN (SELECT account, source, reason"
            " FROM rejections ORDER BY last_ts DESC, account, source, reason LIMIT -1 OFFSET ?)",
            (MAX_REJECTIONS_KEPT,),
        )

    def of(self, account: int) -> list[tuple[str, str, int, int]]:
        """(source, reason, count, last time in ms) of an identity, the newest first."""
        return [
            (source, reason, count, last)
            for source, reason, count, last in self._db.all(
                "SELECT source, reason, count, last_ts FROM rejections WHERE account = ?"
                " ORDER BY last_ts DESC, source, reason",
                (account,),
            )
        ]
