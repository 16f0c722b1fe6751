"""A home: the store, the handlers' views and the clocks, put together.

Owns: opening a home's database with a set of handlers. Must not know: sockets, files beside the database,
which handlers there are.
"""

from collections.abc import Callable
from pathlib import Path

from quire.core.clock import HybridClock
from quire.core.event import Event
from quire.events.handler import Handler, Registry
from quire.limits import MAX_DOUBTFUL_OPEN
from quire.store.blobs import VALID
from quire.store.search import SearchIndex
from quire.store.store import Store
from quire.store.views import View

Entropy = Callable[[int], bytes]


class Home:
    """One store with the views of `registry`; `entropy(n)` gives n random bytes."""

    def __init__(self, path: Path | str, registry: Registry, entropy: Entropy) -> None:
        """Open or create the home's database. Raises HomeError or Damaged."""
        self.store = Store(path)
        self.registry = registry
        self.entropy = entropy
        self.views = {h.type: View(self.store.db, h.type, h.tables, h.schema) for h in registry.handlers}
        self.search = SearchIndex(
            self.store.db, next(h.searchable for h in registry.handlers if h.searchable)
        )
        #: Opened events, by number, that wait for their voucher: it mostly comes with the next batch.
        self.doubtful: dict[int, tuple[Event, Handler | None]] = {}
        self._clocks: dict[int, HybridClock] = {}
        self.store.db.on_rollback(self._clocks.clear)
        self.store.db.on_rollback(self.doubtful.clear)
        with self.store.db.plain_errors():
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

    def remember_doubtful(self, number: int, opened: tuple[Event, Handler | None]) -> None:
        """Keep an event opened until it is vouched for; when there are too many, all are let go."""
        if len(self.doubtful) >= MAX_DOUBTFUL_OPEN:
            self.doubtful.clear()
        self.doubtful[number] = opened

    def clock(self, account: int) -> HybridClock:
        """An identity's hybrid clock, set from what it holds when first asked for."""
        clock = self._clocks.get(account)
        if clock is None:
            clock = self._clocks[account] = HybridClock()
            for space in self.store.db.all("SELECT space FROM memberships WHERE account = ?", (account,)):
                row = self.store.db.one(
                    "SELECT ts FROM received WHERE account = ? AND space = ? AND state = ?"
                    " ORDER BY ts DESC LIMIT 1",
                    (account, space[0], VALID),
                )
                if row is not None:
                    clock.observe(row[0])
        return clock

    def close(self) -> None:
        """Close the database."""
        self.store.close()
