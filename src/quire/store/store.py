"""A home's database, opened and ready: the parts of the store on one connection.

Owns: how the parts are put together. Must not know: handlers, keys' meaning, the network.
"""

from contextlib import AbstractContextManager
from pathlib import Path

from quire.core.vault import Vault
from quire.store.audience_rows import AudienceRows
from quire.store.blobs import Blobs
from quire.store.buckets import Buckets, ClosedEpochs, StoreIndex, nothing_closed
from quire.store.database import Database
from quire.store.graph_rows import GraphRows
from quire.store.ids import Ids
from quire.store.locked import Locked
from quire.store.logs import StoreLogs
from quire.store.memberships import Memberships
from quire.store.migrations import migrate
from quire.store.names import Names
from quire.store.power import Power
from quire.store.rejections import Rejections
from quire.store.relays import Relays
from quire.store.schema import MIGRATIONS
from quire.store.sketches import Sketches
from quire.store.waiting import Waiting


class Store:
    """The event store of one home (`:memory:` for tests); `vault` seals its private keys, `vfs` as for Database."""

    def __init__(self, path: Path | str, vault: Vault, vfs: str | None = None) -> None:
        """Open the database, migrating it if needed. Raises HomeError or Damaged."""
        self.db = Database(path, vault.database_key, vfs=vfs)
        with self.db.plain_errors(), self.db.closed_unless_done():
            migrate(self.db, MIGRATIONS)
        self.names = Names(self.db)
        self.ids = Ids(self.db)
        self.blobs = Blobs(self.db, self.ids)
        self.waiting = Waiting(self.db)
        self.memberships = Memberships(self.db, self.names, vault)
        self.sketches = Sketches(self.db, self.memberships.sketch_key)
        self.buckets = Buckets(self.db, self.memberships.apart, self.sketches)
        self.rejections = Rejections(self.db)
        self.locked = Locked(self.db)
        self.relays = Relays(self.db)
        self.power = Power(self.db)
        self.graph = GraphRows(self.db, self.names)
        self.audiences = AudienceRows(self.db, self.names)

    def transaction(self) -> AbstractContextManager[None]:
        """Everything inside commits together, or not at all."""
        return self.db.transaction()

    def log_end(self, device: int) -> tuple[int, str | None]:
        """After which place a log of this home's goes on, and the event that is cited there: see `Power`."""
        seq, last = self.blobs.head(device)
        return max(seq, self.power.floor), last

    def index(self, account: int, space: int, closed: ClosedEpochs = nothing_closed) -> StoreIndex:
        """What an identity holds in a space, as reconciliation sees it, but for content of `closed` epochs."""
        return StoreIndex(self.db, self.blobs, self.ids, self.names, self.buckets, account, space, closed)

    def logs(self, account: int, space: int) -> StoreLogs:
        """The logs that an identity holds in a space."""
        return StoreLogs(self.db, account, space)

    def close(self) -> None:
        """Close the database."""
        self.db.close()
