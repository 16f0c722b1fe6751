"""Work that waits for a quiet moment: search indexing in small steps, and WAL checkpoints beside the loop.

Owns: when it happens. Must not know: what is indexed.
"""

import asyncio
import os
from pathlib import Path

import apsw

from quire.errors import HomeError
from quire.events.home import Home
from quire.store.database import Database

#: Seconds: how soon after a change, how long between steps, and how often checkpoints are thought of.
_SOON, _BETWEEN, _CHECKPOINT_EVERY = 0.05, 0.001, 2.0
#: A WAL smaller than this is left alone (bytes).
_CHECKPOINT_FROM = 4 << 20


class SpareTime:
    """Indexing and checkpoints of one home."""

    def __init__(self, home: Home, path: Path) -> None:
        self._home = home
        self._path = path
        self._busy = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, on the running loop."""
        self._busy.set()
        self._tasks = [asyncio.create_task(self._index()), asyncio.create_task(self._checkpoint())]

    def changed(self) -> None:
        """There may be something new to index."""
        self._busy.set()

    async def stop(self) -> None:
        """End both; what is not indexed yet is found at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _index(self) -> None:
        while True:
            await self._busy.wait()
            self._busy.clear()
            await asyncio.sleep(_SOON)
            try:
                while self._home.store.buckets.step() or self._home.search.step():
                    await asyncio.sleep(_BETWEEN)
            except (HomeError, apsw.Error):
                await asyncio.sleep(_CHECKPOINT_EVERY)  # a full disk: the node tells; try again later
                self._busy.set()

    async def _checkpoint(self) -> None:
        wal = Path(f"{self._path}-wal")
        while True:
            await asyncio.sleep(_CHECKPOINT_EVERY)
            try:
                if os.path.getsize(wal) >= _CHECKPOINT_FROM:
                    await asyncio.to_thread(_checkpoint, self._path)
            except (OSError, HomeError, apsw.Error):
                continue  # not now; SQLite checkpoints by itself when the WAL grows large


def _checkpoint(path: Path) -> None:
    """Move what the WAL holds into the database, without getting in the writer's way."""
    db = Database(path)
    try:
        db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    finally:
        db.close()
