"""The ledger of a soak: a file with a line for each run, so that one that was broken off goes on later.

Owns: its lines, and what code they speak of. Must not know: how runs are made, terminals.
"""

import os
from collections.abc import Iterator
from hashlib import blake2b
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

from quire.errors import UserError
from quire.runtime.soak import Outcome

#: What every line begins with.
_BEGINS = b'{"scenario":'
#: What no simulation runs, as the import contracts see to.
_NOT_SIMULATED = frozenset({"__main__.py", "api", "cli", "relay", "runtime", "transport", "web"})


class Entry(Outcome, kw_only=True):
    """A line: an outcome, whether all was well, and the fingerprint of the code that it speaks of."""

    passed: bool
    code: str


class Ledger:
    """Of a file, which is made if there is none. `code` is the fingerprint of the code that runs now.

    Raises UserError when the file cannot be used.
    """

    def __init__(self, path: Path, code: str) -> None:
        self._code = code
        try:
            found = path.read_bytes() if path.exists() else b""
            entries, whole = _entries(path, found)
            self._file = path.open("ab")
        except OSError as error:
            raise UserError(
                f"{path} cannot be used as a ledger ({error.strerror}): name a file in a folder that exists."
            ) from None
        self._file.truncate(whole)
        #: What has been run of this code, the last of each; and how many runs there are of other code.
        self.outcomes = {(one.scenario, one.seed): one for one in entries if one.code == code}
        self.of_other_code = sum(one.code != code for one in entries)

    def add(self, outcome: Outcome) -> None:
        """Write a line; it is on the disk on return."""
        told = msgspec.structs.asdict(outcome)
        entry = Entry(**told, passed=not outcome.faults, code=self._code)
        self._file.write(msgspec.json.encode(entry) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


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
        return msgspec.json.decode(line, type=Entry)
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
