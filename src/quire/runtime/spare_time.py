"""Work that waits for a quiet moment: search indexing and the sums for sync, in small steps.

Owns: when it happens. Must not know: what is indexed.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import apsw

from quire.errors import HomeError
from quire.events.home import Home
from quire.limits import SYNC_PAGE

#: Seconds: how soon after a change, how long between steps, and how long after a failure.
_SOON, _BETWEEN, _AFTER_A_FAILURE = 0.05, 0.001, 2.0


class SpareTime:
    """Indexing of one home; `fetching` tells whether a stream brings so much that it goes first."""

    def __init__(self, home: Home, fetching: Callable[[], bool]) -> None:
        self._home = home
        self._fetching = fetching
        #: The newest arrival when it was last noted how far logs are held.
        self._measured = 0
        self._busy = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running loop."""
        self._busy.set()
        self._task = asyncio.create_task(self._index())

    def changed(self) -> None:
        """There may be something new to index."""
        self._busy.set()

    async def stop(self) -> None:
        """End; what is not indexed yet is found at the next start."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _index(self) -> None:
        while True:
            await self._busy.wait()
            self._busy.clear()
            await asyncio.sleep(_SOON)
            try:
                while self._fetching():
                    await asyncio.sleep(_SOON)
                while not self._fetching() and self._step():
                    await asyncio.sleep(_BETWEEN)
            except (HomeError, apsw.Error):
                await asyncio.sleep(_AFTER_A_FAILURE)  # a full disk: the node tells; try again later
                self._busy.set()

    def _step(self) -> bool:
        """Whether there was something to do. Raises HomeError, apsw.Error."""
        store = self._home.store
        with store.db.plain_errors():
            if store.ids.catch_up() or store.buckets.step() or self._home.search.step() > 0:
                return True
            # Not for every message: for as many as would keep a stream waiting.
            if store.blobs.last_cursor() - self._measured >= SYNC_PAGE:
                self._measured = store.blobs.last_cursor()
                for member in store.memberships.all():
                    store.logs(member.account, member.space).catch_up()
            return False
