"""The ledger of a soak: a file with a line for each run, so that one that was broken off goes on later.

Owns: its lines, and what code they speak of. Must not know: how runs are made, terminals.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

from quire.errors import HomeError, UserError, why
from quire.runtime.soak import Outcome

#: What every line begins with.
_BEGINS = b'{"scenario":'
#: What no simulation runs, as the import contracts see to.
_NOT_SIMULATED = frozenset({"__main__.py", "api", "cli", "relay", "runtime", "transport", "web"})


class Entry(Outcome, kw_only=True):
    """A line: an outcome, whether all was well, and the fingerprint of the code that it speaks of."""

    passed: bool
    code: str


def entry(outcome: Outcome, code: str) -> Entry:
    """What is noted of an outcome."""
    return Entry(**msgspec.structs.asdict(outcome), passed=not outcome.faults, code=code)


class Ledger:
    """Of a file, which is made if there is none. `code` is the fingerprint of the code that runs now.

    Raises UserError when the file cannot be used, or another process uses it.
    """

    def __init__(self, path: Path, code: str) -> None:
        self._path = path
        self._number = _opened(path)
        try:
            found = path.read_bytes()
            entries, self._whole = _entries(path, found)
            os.ftruncate(self._number, self._whole)
        except OSError as error:
            self.close()
            raise _unusable(path, error) from None
        except UserError:
            self.close()
            raise
        #: What has been run of this code, the last of each; and how many runs there are of other code.
        self.outcomes = {(one.scenario, one.seed): one for one in entries if one.code == code}
        self.of_other_code = sum(one.code != code for one in entries)

    def add(self, noted: Entry) -> None:
        """Write a line; it is on the disk on return. Raises HomeError, and nothing of it is in the file."""
        line = memoryview(msgspec.json.encode(noted) + b"\n")
        try:
            left = line
            while left:
                left = left[os.write(self._number, left) :]
            os.fsync(self._number)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._number, self._whole)
            raise HomeError(
                f"The ledger {self._path} cannot be written any more ({why(error)}). What it holds is whole: the same "
                "command goes on from there."
            ) from None
        self._whole += len(line)

    def close(self) -> None:
        """Close the file."""
        os.close(self._number)


def _opened(path: Path) -> int:
    """A file that is open to be added to, and locked. Nothing but a file is opened: others may never end."""
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path} cannot be used as a ledger: it is there, and no file. Name another.")
        number = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise _unusable(path, error) from None
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(number)
        raise UserError(
            f"{path} is in use by another soak. Wait for it, or name another ledger for this one."
        ) from None
    return number


def _unusable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path} cannot be used as a ledger ({error.strerror}): name a file in a folder that exists."
    )


def _entries(path: Path, found: bytes) -> tuple[list[Entry], int]:
    """The lines of a file, and up to which byte they are whole: whoever wrote it may have been killed in the midst."""
    lines = found.splitlines(keepends=True)
    cut_off = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
    if not (cut_off.startswith(_BEGINS) or _BEGINS.startswith(cut_off)):
        lines.append(cut_off)
    entries = [_entry(path, number, line) for number, line in enumerate(lines, 1)]
    return entries, sum(map(len, lines))


def _entry(path: Path, number: int, line: bytes) -> Entry:
    try:
        found = msgspec.json.decode(line, type=Entry)
        if found.passed == bool(found.faults):
            raise msgspec.ValidationError("`passed` and `faults` contradict each other")
        return found
    except msgspec.DecodeError as error:
        raise UserError(
            f"{path} is no ledger of simulations: line {number} cannot be read ({error}). Name another file."
        ) from None


def code_fingerprint(program: Traversable | None = None) -> str:
    """16 hexadecimal digits that change with any file that a simulation runs of a program (None: of this one)."""
    digest = blake2b(digest_size=8)
    for name, data in sorted(_sources(program or files("quire"), "")):
        if name.partition("/")[0] not in _NOT_SIMULATED:
            digest.update(b"%d %s %d " % (len(name), name.encode(), len(data)) + data)
    return digest.hexdigest()


def _sources(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        name = f"{prefix}{entry.name}"
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _sources(entry, f"{name}/")
        elif entry.is_file() and not entry.name.endswith(".pyc"):
            yield name, entry.read_bytes()
