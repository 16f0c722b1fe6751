"""What must hold of a home after its process was killed, and a person who kills."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from quire.api.operations import call
from quire.events.home import Home
from quire.events.verify import verify
from quire.runtime import open_offline
from quire.store.buckets import recount

ROOT = Path(__file__).resolve().parents[2]


class Killer:
    """Runs `writer.py`, and kills its children."""

    def __init__(self, environment: dict[str, str], errors: Path) -> None:
        self._errors = errors
        with errors.open("ab") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.process.writer"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
            )

    def begin(self, home: Path, seed: int) -> int:
        """Let a child work on a home; its process number."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{home} {seed}\n")
        self._process.stdin.flush()
        return int(self._line())

    def kill(self, pid: int) -> None:
        """SIGKILL, and wait until it is gone."""
        os.kill(pid, signal.SIGKILL)
        assert self._line() == "dead"

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        assert self._process.wait(30) == 0
        self._process.stdout.close()
        assert self._errors.read_text() == ""


def acknowledged(home: Path) -> set[str]:
    """Whole lines only: the killed child may have been writing one."""
    path = Path(f"{home}.acknowledged")
    return set(path.read_text().split("\n")[:-1]) if path.exists() else set()


def examine(folder: Path, promised: set[str]) -> int:
    """A home opens without repair, holds all that was promised, and its logs are whole; the events it holds."""
    with open_offline(folder) as host:
        db = host.home.store.db
        assert db.all("PRAGMA integrity_check") == [("ok",)]
        held = {name for (name,) in db.all("SELECT event_id FROM events WHERE state = 'valid'")}
        assert promised <= held, sorted(promised - held)
        shown = {name for (name,) in db.all("SELECT event_id FROM message_index")}
        assert promised <= shown, sorted(promised - shown)
        logs = db.all(
            "SELECT device, count(*), count(DISTINCT seq), min(seq), max(seq) FROM blobs JOIN received ON event = n"
            " WHERE device IN (SELECT d.n FROM devices AS d JOIN accounts AS a ON a.account_id = d.device)"
            " GROUP BY device"
        )
        for _, count, places, first, last in logs:
            assert (count, places, first) == (last, last, 1)
        assert db.all("SELECT * FROM forks") == []
        return len(held)


def examine_whole(folder: Path) -> None:
    """Every blob opens, the views are what a rebuild makes of them, and the summaries count right."""
    with open_offline(folder) as host:
        assert verify(host.home).damage == []
        before = _views(host.home)
        _check_index(host.home)
        call(host, "rebuild", {})
        assert _views(host.home) == before
        for member in host.home.store.memberships.all():
            index = host.home.store.index(member.account, member.space)
            assert index.every() == recount(host.home.store.db, member.account, member.space)
        _check_index(host.home)


def _check_index(home: Home) -> None:
    """Raises where the search index is not of exactly the messages that there are."""
    home.search.catch_up()
    home.store.db.execute("INSERT INTO search (search, rank) VALUES ('integrity-check', 1)")


def _views(home: Home) -> list[list[tuple[Any, ...]]]:
    tables = ("message_index", "auth_graph", "peer_rows", "space_rows", "identity_rows", "provided")
    return [sorted(home.store.db.all(f"SELECT * FROM {table}")) for table in tables]
