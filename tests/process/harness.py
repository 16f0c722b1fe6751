"""People whose homes are served by real `quire` processes, on loopback ports that the system chooses.

Every child is stopped at the end, whatever happened, and what it wrote to standard error must hold no
traceback. Waiting is always for a state, with a deadline that only a broken program meets.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from quire.api.client import call_node
from quire.api.operations import call
from quire.runtime import NodeInfo, open_offline

Found = TypeVar("Found")

#: Seconds after which something that should happen did not.
PATIENCE = 60.0
QUIRE = shutil.which("quire", path=str(Path(sys.executable).parent)) or "quire"
_MISTAKES = ("Traceback (most recent call last)", "Exception in callback", "was never retrieved")


def wait_until(check: Callable[[], Found], what: str, seconds: float = PATIENCE) -> Found:
    """What `check` gives once it is true; fails with its last answer at the deadline."""
    end = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < end, f"{what} did not happen: {found!r}"
        time.sleep(0.05)


class Person:
    """One home and the processes on it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.home = folder / name
        self.name = name
        self.errors = folder / f"{name}.stderr"
        self.process: subprocess.Popen[bytes] | None = None
        self.node: NodeInfo | None = None
        self.environment = environment(folder)
        #: What stands before the command that starts the node.
        self.prefix: list[str] = []

    # --- the command line

    def cli(self, *words: str, code: int = 0) -> str:
        """Run one command on this home; its standard output (and standard error, where it must fail)."""
        done = run_quire(["--home", str(self.home), *words], self.environment)
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stdout + done.stderr

    def json(self, *words: str) -> Any:
        """A command's result under `--json`."""
        return msgspec.json.decode(self.cli(*words, "--json"))

    # --- the node

    def up(
        self,
        *words: str,
        listen: str = "127.0.0.1:0",
    ) -> NodeInfo:
        """Start `quire up` and wait until it serves."""
        assert self.process is None or self.process.poll() is not None
        command = [*self.prefix, QUIRE, "--home", str(self.home), "--json", "up", "--listen", listen, *words]
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, env=self.environment
            )
        assert self.process.stdout is not None
        said = self.process.stdout.read(1)  # at the end of file the child has died
        assert said, f"{self.name} did not start: {self.errors.read_text()}"
        self.node = msgspec.json.decode((self.home / "node.json").read_bytes(), type=NodeInfo)
        return self.node

    def ask(self, operation: str, _as: str | None = None, /, **params: Any) -> Any:
        """An operation's result: through the running node's API, else directly on the home."""
        if self.process is not None and self.process.poll() is None:
            assert self.node is not None
            return call_node(self.node.api, self.node.token, operation, params, _as)
        with open_offline(self.home) as host:
            return msgspec.to_builtins(call(host, operation, params, _as))

    def stop(self, seconds: float = 20.0) -> None:
        """SIGTERM, and a clean end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(seconds) == 0, self.errors.read_text()
        self._forget()

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE)
        self._forget()

    def _forget(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        self.process, self.node = None, None

    # --- what they see

    def texts(self, target: str = "general", identity: str | None = None) -> list[str]:
        """The last thousand messages of a channel, oldest first."""
        listed = self.ask("getMessages", identity, target=target, limit=1_000)
        return [message["body_text"] for message in listed]

    def sees(self, texts: set[str], target: str = "general", identity: str | None = None) -> None:
        """Wait until the messages of a channel are exactly these, each once."""

        def as_wanted() -> bool:
            seen = self.texts(target, identity)
            assert len(seen) == len(set(seen))
            assert set(seen) <= texts
            return len(seen) == len(texts)

        wait_until(as_wanted, f"{self.name} seeing {len(texts)} messages in {target}")

    def sees_at_least(self, texts: set[str], target: str = "general") -> None:
        """Wait until all of these are among the messages of a channel, however many there are."""
        statement = f"SELECT body_text AS t FROM message_index WHERE channel_id = '{target}'"

        def missing() -> set[str]:
            return texts - {row["t"] for row in self.ask("query", statement=statement)["rows"]}

        wait_until(lambda: not missing(), f"{self.name} seeing {len(texts)} messages in {target}")

    def said(self) -> str:
        """What the node wrote to standard error."""
        return self.errors.read_text() if self.errors.exists() else ""

    def comes_in(self) -> None:
        """Wait until the node has been let into its first space, and has heard of it."""
        wait_until(lambda: self.peer(self.names()[0])["state"] == "self", f"{self.name} being let in")

    def names(self) -> list[str]:
        """What the identities of this home are called."""
        return [identity["name"] for identity in self.ask("listIdentities")]

    def peer(self, name: str) -> dict[str, Any]:
        """How the sync with someone stands, as `quire peers` tells."""
        found = [entry for entry in self.ask("getPeers") if entry["name"] == name]
        assert len(found) <= 1
        return found[0] if found else {"state": "unknown"}


class Lab:
    """The people of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.people: list[Person] = []

    def person(self, name: str) -> Person:
        """Someone with an empty home."""
        self.people.append(Person(self.folder, name))
        return self.people[-1]

    def founder(self, name: str, space: str = "club") -> Person:
        """Someone who has founded a space; no node runs."""
        person = self.person(name)
        person.ask("createIdentity", name=name)
        person.ask("createSpace", name=space)
        return person

    def guest(self, name: str, host: Person, listen: str = "127.0.0.1:0") -> Person:
        """Someone whom the node of a member has let in; their own has stopped again."""
        person = self.person(name)
        person.ask("joinSpace", link=host.ask("createInvite")["link"], name=name)
        person.up(listen=listen)
        person.comes_in()
        person.stop()
        return person

    def close(self) -> None:
        """Stop everyone; fail when anyone's program made a mistake."""
        try:
            for person in self.people:
                person.stop()
        finally:
            for person in self.people:
                person.kill()
        for person in self.people:
            assert not any(mistake in person.said() for mistake in _MISTAKES), person.said()


def lab(folder: Path) -> Iterator[Lab]:
    """A fixture's body."""
    made = Lab(folder)
    try:
        yield made
    finally:
        made.close()


def environment(folder: Path) -> dict[str, str]:
    """Variables for a child that must not find any real home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("QUIRE", "XDG"))}
    return kept | {"HOME": str(folder), "COLUMNS": "200", "PYTHONWARNINGS": "error::ResourceWarning"}


def run_quire(
    words: list[str], variables: dict[str, str], seconds: float = PATIENCE
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end; a traceback is always a failure."""
    done = subprocess.run(
        [QUIRE, *words], env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=seconds, check=False,
    )  # fmt: skip
    assert not any(mistake in done.stderr for mistake in _MISTAKES), done.stderr
    return done


def fails(person: Person, *words: str, code: int = 1, home: Path | None = None) -> str:
    """What a command that must fail says: in one line of plain words, and no traceback."""
    done = run_quire(["--home", str(home or person.home), *words], person.environment)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    assert done.stderr.startswith("quire: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr
