"""What power cuts may have taken: where the logs of this home go on after one.

Owns: `power`. Must not know: what a boot is, what is in a log.

SQLite in this mode (see `Database`) loses the last commits in a power cut, or when the system crashes; peers may have
had them. A log that went on at its last place that is left would then have two histories. So after an end that may have
been one, logs go on in their next part, at places that were never used: what was lost, and comes back from peers, finds
its own free. What tells of it is in the database, whose commits are lost from the end: where the mark of a tidy end is
left, so is all before it.
"""

from quire.limits import LOG_PART
from quire.store.database import Database


class Power:
    """On a home's database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._cuts: int | None = None
        db.on_rollback(self._forget)

    def _forget(self) -> None:
        self._cuts = None

    @property
    def floor(self) -> int:
        """Places of own logs up to this one, and arrivals, may have been used and lost."""
        if self._cuts is None:
            row = self._db.one("SELECT cuts FROM power")
            assert row is not None
            self._cuts = int(row[0])
        return self._cuts * LOG_PART

    def came_back(self, boot: str) -> bool:
        """Look at how the last run ended; True when its last commits may be lost.

        `boot` names the present run of the operating system; "" where there is no telling it from another.
        """
        if self._db.one("SELECT 1 FROM power WHERE tidy OR (boot = ? AND boot <> '')", (boot,)):
            return False
        with self._db.transaction():
            self._db.execute("UPDATE power SET tidy = 1, cuts = cuts + 1")
            self._forget()
            # Whoever follows what arrives may have been told of more than is left: numbers do not come twice.
            self._db.execute(
                "INSERT INTO arrivals (cursor, account, event, counted) VALUES (?, 0, 0, 1)", (self.floor,)
            )
        return True

    def begin(self, boot: str) -> None:
        """From here on what is written may be handed out. Raises HomeError where the disk does not keep that."""
        with self._db.transaction():
            self._db.execute("UPDATE power SET boot = ?, tidy = 0", (boot,))
        self._db.sync()

    def end(self) -> None:
        """Nothing is handed out any more."""
        with self._db.transaction():
            self._db.execute("UPDATE power SET tidy = 1")
