"""A device's disk: SQLite's files pass through it, and it can be full, fail, die in the midst of a write, or forget.

Owns: what becomes of each read and write of the files. Must not know: what is in them, why a disk goes bad.

Bytes that were written stay written; what a failing or dying write leaves is a part of it. Only a power cut takes back
writes, of each file from the last one on: none from before the file was last synced.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import NoReturn

import apsw

#: SQLite's own way to the files, below the ciphers: homes here are not encrypted.
_BASE = "unix"
_READ, _WRITE, _SYNC = apsw.SQLITE_IOERR_READ, apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_IOERR_FSYNC


class Disk(apsw.VFS):
    """A VFS of SQLite (sqlite.org/vfs.html) called `name`, sound at first; `random` decides what fails.

    One that `forgets` can lose power.
    """

    def __init__(self, name: str, random: Random, forgets: bool = False) -> None:
        super().__init__(name, _BASE)
        self.name = name
        self.forgets = forgets
        #: No file grows while it is full. The share of reads, writes and syncs that fail.
        self.full = False
        self.failing = 0.0
        #: How often each fault came to pass.
        self.refused = self.failed = 0
        self._random = random
        self._writes_left = -1
        self._die: Callable[[], NoReturn] | None = None
        #: By file: what undoes each write since the last sync, the latest last, as (offset, bytes before, size before).
        self._unsynced: dict[str, list[tuple[int, bytes, int]]] = {}

    @property
    def is_bad(self) -> bool:
        """Whether anything may fail now."""
        return self.full or self.failing > 0

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "_File":
        """What SQLite opens a file by."""
        return _File(self, name, flags)

    def die_after(self, writes: int, die: Callable[[], NoReturn]) -> None:
        """Tear the write to the log after so many more: `die` is called, and raises."""
        self._writes_left, self._die = writes, die

    def spare(self) -> None:
        """Nobody is to die any more."""
        self._writes_left = -1

    def wrote(self, path: str, offset: int, before: bytes, size: int) -> None:
        """A file of `size` bytes was written to at an offset, where there were these bytes before."""
        self._unsynced.setdefault(path, []).append((offset, before, size))

    def synced(self, path: str) -> None:
        """What was written to a file outlasts a power cut."""
        self._unsynced.pop(path, None)

    def lose_power(self, path: Path, left: Path, most: bool = False) -> None:
        """Make of a copy of a file, `left`, what a power cut leaves of it.

        Some of the writes since the last sync are undone; with `most`, all of them.
        """
        undo = self._unsynced.get(os.path.realpath(path), [])
        kept = 0 if most else self._random.choice((0, self._random.randrange(len(undo) + 1)))
        with left.open("r+b") as file:
            for offset, before, size in reversed(undo[kept:]):
                file.seek(offset)
                file.write(before)
                file.truncate(size)

    def forget(self) -> None:
        """The files were put in order by whoever keeps them: they are on the disk as they stand."""
        self._unsynced.clear()

    @contextmanager
    def sound(self) -> Iterator[None]:
        """Nothing fails in here, and nobody dies."""
        saved = self.full, self.failing, self._writes_left
        self.full, self.failing, self._writes_left = False, 0.0, -1
        try:
            yield
        finally:
            self.full, self.failing, self._writes_left = saved

    def fails(self) -> bool:
        """Whether the next operation does."""
        failed = self.failing > 0 and self._random.random() < self.failing
        self.failed += failed
        return failed

    def part(self, data: bytes) -> bytes:
        """What reaches the disk of a write that is cut off."""
        return data[: self._random.randrange(len(data))]

    def tears(self) -> bool:
        """Whether the device dies in this write to its log."""
        if self._writes_left > 0:
            self._writes_left -= 1
            return False
        return self._writes_left == 0

    def die(self) -> None:
        """Whoever planned it is told, once."""
        self.spare()
        assert self._die is not None
        self._die()


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__(_BASE, name, flags)
        self._disk = disk
        self._is_log = bool(flags[0] & apsw.SQLITE_OPEN_WAL)
        self._path = os.path.realpath(name.filename() if isinstance(name, apsw.URIFilename) else str(name))

    def xRead(self, amount: int, offset: int) -> bytes:
        """As SQLite asks for it."""
        if self._disk.fails():
            raise _io_error(_READ)
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:
        """As SQLite asks for it."""
        disk = self._disk
        if disk.full and offset + len(data) > self.xFileSize():
            disk.refused += 1
            raise apsw.FullError("the disk is full")
        if disk.forgets:
            self._note(len(data), offset)
        if disk.fails():
            super().xWrite(disk.part(data), offset)
            raise _io_error(_WRITE)
        if self._is_log and disk.tears():
            super().xWrite(disk.part(data), offset)
            disk.die()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        """As SQLite asks for it."""
        if self._disk.fails():
            raise _io_error(_SYNC)
        super().xSync(flags)
        self._disk.synced(self._path)

    def _note(self, length: int, offset: int) -> None:
        size = self.xFileSize()
        there = max(0, min(length, size - offset))
        self._disk.wrote(self._path, offset, super().xRead(there, offset) if there else b"", size)


def _io_error(code: int) -> Exception:
    error = apsw.exception_for(code)
    assert isinstance(error, apsw.IOError)
    return error
