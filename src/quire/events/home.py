"""A home: the store, the handlers' views and the clocks, put together.

Owns: opening a home's database with a set of handlers. Must not know: sockets, files beside the database,
which handlers there are.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from quire.core.clock import HybridClock
from quire.core.event import Event
from quire.core.sealed_body import AudienceKey
from quire.core.vault import Vault
from quire.events.handler import Handler, Registry
from quire.graph.graph import Graph
from quire.limits import MAX_DOUBTFUL_OPEN
from quire.store.blobs import VALID
from quire.store.search import SearchIndex
from quire.store.store import Store
from quire.store.views import View

if TYPE_CHECKING:
    from quire.events.forks import Histories
    from quire.events.keyring import KeyBox

Entropy = Callable[[int], bytes]

_NEWEST_VALID = (
    "SELECT ts FROM received WHERE account = ? AND space = ? AND state = ? ORDER BY ts DESC LIMIT 1"
)
#: The end of an identity's own log, also where all of it waits for word of its admission.
_LAST_OWN = (
    "SELECT b.ts FROM device_keys AS k CROSS JOIN devices AS d ON d.device = k.device"
    " CROSS JOIN blobs AS b ON b.device = d.n AND b.genuine"
    " WHERE k.account = ? AND d.space = ? ORDER BY b.seq DESC LIMIT 1"
)


class Home:
    """One store with the views of `registry`; `entropy(n)` gives n random bytes, `vault` seals private keys.

    `vfs` as for Database.
    """

    def __init__(
        self, path: Path | str, registry: Registry, entropy: Entropy, vault: Vault, vfs: str | None = None
    ) -> None:
        """Open or create the home's database. Raises HomeError or Damaged."""
        self.store = Store(path, vault, vfs)
        self.registry = registry
        self.entropy = entropy
        self.views = {h.type: View(self.store.db, h.type, h.tables, h.schema) for h in registry.handlers}
        self.search = SearchIndex(
            self.store.db, next(h.searchable for h in registry.handlers if h.searchable)
        )
        #: Opened events, by number, that wait for their voucher: it mostly comes with the next batch.
        self.doubtful: dict[int, tuple[Event, Handler | None]] = {}
        #: By (account, space): membership graphs, and, by scope, whether the key that is sealed under has to be
        #: replaced before it is used again, or is not the present one.
        self.graphs: dict[tuple[int, int], Graph] = {}
        self.stale: dict[tuple[int, int], dict[str, tuple[bool, bool]]] = {}
        #: By (account, space): which nodes of the graph counted when this device was last found to be free to write.
        self.may_write: dict[tuple[int, int], int] = {}
        #: By (account, space): keys of audiences by name, and the names of those that came and may open bodies.
        self.audience_keys: dict[tuple[int, int], dict[str, list[AudienceKey]]] = {}
        self.fresh_audience_keys: dict[tuple[int, int], list[str]] = {}
        #: By (account, space) and the name of the key that they bring: events of the graph that wait to be taken in.
        self.boxes: dict[tuple[int, int], dict[str, list[KeyBox]]] = {}
        #: By (account, space) and device: see `events.history`.
        self.closed: dict[tuple[int, int], dict[str, tuple[int, frozenset[int], frozenset[int]]]] = {}
        #: By account and number of a device: see `events.forks`.
        self.histories: dict[tuple[int, int], Histories] = {}
        #: What jobs and greetings last acted on, by their own names, so that they rest until it changes.
        self.noted: dict[tuple[object, ...], object] = {}
        #: Spaces whose membership changed, for the node to look at after the commit.
        self.moved: dict[int, None] = {}
        #: See `fresh_keys`; None: not looked yet.
        self._fresh_keys: dict[tuple[int, int], list[bytes]] | None = None
        self._senders: dict[tuple[int, int, int], str] = {}
        self._clocks: dict[int, HybridClock] = {}
        self.store.db.on_rollback(self._clocks.clear)
        for memory in (self.doubtful, self.graphs, self.histories, self.stale, self._senders):
            self.store.db.on_rollback(memory.clear)
        self.store.db.on_rollback(self._look_for_fresh_keys)
        self.store.db.on_rollback(self.boxes.clear)
        self.store.db.on_rollback(self.closed.clear)
        self.store.db.on_rollback(self.may_write.clear)
        self.store.db.on_rollback(self.noted.clear)
        for memory_of_keys in (self.audience_keys, self.fresh_audience_keys):
            self.store.db.on_rollback(memory_of_keys.clear)
        with self.store.db.plain_errors(), self.store.db.closed_unless_done():
            self.stale_views = self._make_views()

    def _make_views(self) -> bool:
        """Make missing tables; True when views made by another version must be rebuilt."""
        stale = [view for view in self.views.values() if not view.is_current()]
        had_any = self.store.db.one("SELECT 1 FROM view_versions") is not None
        if stale:
            with self.store.transaction():
                for view in stale:
                    view.drop()
                    view.create(filled=not had_any)
                if not had_any or not self.search.exists():
                    self.search.create()
        return had_any and bool(stale)

    @property
    def fresh_keys(self) -> dict[tuple[int, int], list[bytes]]:
        """Ids of the keys that came and may unlock blobs, by (account, space).

        Those that opened nothing yet, before this run or a rollback, are among them.
        """
        if self._fresh_keys is None:
            self._fresh_keys = {}
            for account, space, key_id in self.store.locked.openable():
                self._fresh_keys.setdefault((account, space), []).append(key_id)
        return self._fresh_keys

    def _look_for_fresh_keys(self) -> None:
        self._fresh_keys = None

    def remember_doubtful(self, number: int, opened: tuple[Event, Handler | None]) -> None:
        """Keep an event opened until it is vouched for; when there are too many, all are let go."""
        if len(self.doubtful) >= MAX_DOUBTFUL_OPEN:
            self.doubtful.clear()
        self.doubtful[number] = opened

    def forget_graphs(self) -> None:
        """Read the membership graphs from the store again when they are next asked for."""
        self.graphs.clear()
        self.stale.clear()
        self.boxes.clear()
        self.closed.clear()
        self.histories.clear()
        self.may_write.clear()
        self.forget_senders()

    def forget_senders(self) -> None:
        """Look up again whose devices are whose."""
        self._senders.clear()

    def sender(self, account: int, space: int, device: int) -> str:
        """The identity that a device belongs to, as far as another one knows; "" for a stranger's."""
        key = (account, space, device)
        sender = self._senders.get(key)
        if sender is None:
            sender = self.store.graph.member_of(*key) or ""
            if sender:
                self._senders[key] = sender
        return sender

    def clock(self, account: int) -> HybridClock:
        """An identity's hybrid clock, set from what it holds when first asked for."""
        clock = self._clocks.get(account)
        if clock is None:
            clock = HybridClock()
            for (space,) in self.store.db.all("SELECT space FROM memberships WHERE account = ?", (account,)):
                for (ts,) in self.store.db.all(_NEWEST_VALID, (account, space, VALID)):
                    clock.observe(ts)
                for (ts,) in self.store.db.all(_LAST_OWN, (account, space)):
                    clock.remember(ts)
            self._clocks[account] = clock  # not before all is read: that can fail
        return clock

    def close(self) -> None:
        """Close the database."""
        self.store.close()
