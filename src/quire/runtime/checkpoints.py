"""Checkpoints beside the writer: a thread moves what the WAL holds into the database.

Owns: when it happens. Must not know: what is written. Without it, every few ten thousand events a commit
would wait for the disk; SQLite does the rest of the work on it without Python, on another core.

It also waits for the disk to have what was committed, so that a power cut takes no more than about SYNC_S seconds.
"""

import os
import threading
import time
from contextlib import closing, suppress

import apsw

from quire.errors import Damaged, HomeError
from quire.store.database import Database

#: Seconds between looks, and the size of a WAL that is left alone (bytes).
EVERY_S = 0.25
FROM_BYTES = 4 << 20
#: Seconds from when something was committed until it outlasts a power cut, and as much as the disk takes.
SYNC_S = 1.0


class Checkpoints:
    """Checkpoints of one database file, from entering to leaving."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        log = f"{self._db.path}-wal"
        synced, due = (0, 0), 0.0
        while not self._stopped.wait(EVERY_S):
            # What fails now is tried again; SQLite checkpoints by itself when the WAL grows large.
            with suppress(OSError, HomeError, Damaged, apsw.Error):
                found = os.stat(log)
                if found.st_size >= FROM_BYTES:
                    checkpoint(self._db)
                now = time.monotonic()
                if (found.st_size, found.st_mtime_ns) != synced and now >= due:
                    self._db.sync()
                    synced, due = (found.st_size, found.st_mtime_ns), now + SYNC_S - EVERY_S


def checkpoint(writer: Database) -> None:
    """Move what the WAL holds into the database, without getting in the writer's way."""
    with closing(writer.beside()) as db:
        db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
