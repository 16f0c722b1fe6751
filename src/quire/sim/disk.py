"""A device's disk: SQLite's files pass through it, and it can be full, fail, or die in the midst of a write.

Owns: what becomes of each read and write of the files. Must not know: what is in them, why a disk goes bad.

Bytes that were written stay written; what a failing or dying write leaves is a part of it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import NoReturn

import apsw

#: SQLite's own way to the files, below the ciphers: homes here are not encrypted.
_BASE = "unix"
_READ, _WRITE, _SYNC = apsw.SQLITE_IOERR_READ, apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_IOERR_FSYNC


class Disk(apsw.VFS):
    """A VFS of SQLite (sqlite.org/vfs.html) called `name`, sound at first; `random` decides what fails."""

    def __init__(self, name: str, random: Random) -> None:
        super().__init__(name, _BASE)
        self.name = name
        #: No file grows while it is full. The share of reads, writes and syncs that fail.
        self.full = False
        self.failing = 0.0
        #: How often each fault came to pass.
        self.refused = self.failed = 0
        self._random = random
        self._writes_left = -1
        self._die: Callable[[], NoReturn] | None = None

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "_File":
        """What SQLite opens a file by."""
        return _File(self, name, flags)

    def die_after(self, writes: int, die: Callable[[], NoReturn]) -> None:
        """Tear the write to the log after so many more: `die` is called, and raises."""
        self._writes_left, self._die = writes, die

    def spare(self) -> None:
        """Nobody is to die any more."""
        self._writes_left = -1

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


def _io_error(code: int) -> Exception:
    error = apsw.exception_for(code)
    assert isinstance(error, apsw.IOError)
    return error
