"""A disk that tests can fill."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class SmallDisk:
    """A file system of 12 MiB."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._filler = folder / "filler"
        options = ["mount", "-t", "tmpfs", "-o", "size=12m", "quire-test", str(folder)]
        self.made = (
            os.geteuid() == 0 and subprocess.run(options, capture_output=True, check=False).returncode == 0
        )

    def fill(self, leaving: int = 0) -> None:
        """Leave no room but for so many bytes."""
        with self._filler.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
            file.truncate(file.tell() - leaving)

    def free(self) -> None:
        self._filler.unlink()

    def protect(self, way: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{way}", str(self.folder)], check=True)

    def close(self) -> None:
        if self.made:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)


def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """One for a test, which is skipped where none can be made."""
    made = SmallDisk(folder)
    try:
        if not made.made:
            pytest.skip("a disk that can be filled needs the right to mount one")
        yield made
    finally:
        made.close()
