"""Sketches of what an identity holds in a space, kept as events arrive: one for each part of the ids.

Owns: `sketches`. Must not know: what they are compared with. Where not everybody can open the same content there
are none: what is compared there differs from peer to peer.
"""

from collections.abc import Callable, Iterable, Sequence

from quire.core import cells
from quire.core.cells import PARTS, Cells
from quire.store.database import Database

#: By (account, space): the key that a space's sketches are made under.
SketchKey = Callable[[int, int], bytes]


class Sketches:
    """Keeps PARTS sketches for each identity in each space."""

    def __init__(self, db: Database, key: SketchKey) -> None:
        self._db = db
        self.key = key
        self._kept: dict[tuple[int, int], list[Cells]] = {}
        db.on_rollback(self._kept.clear)

    def of(self, account: int, space: int) -> Sequence[Cells]:
        """The sketches of all parts, in order."""
        return self._parts(account, space)

    def add(self, account: int, space: int, names: Sequence[int]) -> None:
        """Count events, given by their short names."""
        parts = self._parts(account, space)
        cells.add(self.key(account, space), parts, names)
        self._write(account, space, sorted({cells.part_of(name) for name in names}))

    def recount(self, account: int, space: int, names: Iterable[int]) -> None:
        """These events and no others are held."""
        self._kept[account, space] = cells.parts_of(self.key(account, space), names)
        self._write(account, space, range(PARTS))

    def _parts(self, account: int, space: int) -> list[Cells]:
        found = self._kept.get((account, space))
        if found is None:
            found = cells.parts_of(self.key(account, space), ())
            for part, packed in self._db.execute(
                "SELECT part, cells FROM sketches WHERE account = ? AND space = ?", (account, space)
            ):
                found[part] = cells.unpack(packed)
            self._kept[account, space] = found
        return found

    def _write(self, account: int, space: int, changed: Iterable[int]) -> None:
        parts = self._kept[account, space]
        self._db.executemany(
            "INSERT OR REPLACE INTO sketches VALUES (?, ?, ?, ?)",
            [(account, space, part, cells.pack(parts[part])) for part in changed],
        )
