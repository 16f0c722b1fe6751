"""`quire doctor`: looks at a home and this machine for what commonly goes wrong.

Owns: the checks and their advice. Must not know: how things work, only how to tell that they do not.
"""

import os
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import typer

from quire import runtime
from quire.api.version import version
from quire.cli.access import Options, perform
from quire.cli.commands import take_options, with_options
from quire.cli.passphrase import ask
from quire.cli.status_text import OWN_FORK
from quire.cli.tables import console, table
from quire.cli.text import json_text
from quire.errors import QuireError

_DOC = """Check the home and this machine for what commonly goes wrong, and say what to do about it."""

OK, WARNING, PROBLEM = "ok", "warning", "problem"
#: Below this much free space a node may stop being able to write soon (bytes).
LITTLE_SPACE = 200 * 1024 * 1024
#: SQLite below this can damage a database in WAL mode.
SAFE_SQLITE = 3_051_003
#: 2025-01-01: a clock before it is wrong (s).
EARLIEST = 1_735_689_600


class Finding(NamedTuple):
    """The outcome of one check; `state` is ok, warning or problem."""

    state: str
    check: str
    detail: str


_KEPT = {
    "keyring": Finding(OK, "keys", "Private keys are sealed; their key is in the system's keyring."),
    "passphrase": Finding(OK, "keys", "Private keys are sealed with a passphrase."),
    "file": Finding(
        WARNING,
        "keys",
        "The key to the private keys lies in the home (home.key), for its owner alone: whoever can read the folder "
        "can open everything. `quire home protect passphrase`, or `keyring`, mends that.",
    ),
}
_PLAIN = "Private keys are sealed; messages and space keys lie readable in the database (--encrypt, for a new home)."


def doctor() -> Callable[..., None]:
    """The command `doctor`."""

    def run(ctx: typer.Context, **given: Any) -> None:
        options = take_options(ctx, given)
        findings = list(examine(options))
        if options.json:
            print(json_text([finding._asdict() for finding in findings]))
        else:
            table(console(), ["", "CHECK", "DETAIL"], [list(finding) for finding in findings], "")
        if any(finding.state == PROBLEM for finding in findings):
            raise typer.Exit(1)

    return with_options(run, [], _DOC)


def examine(options: Options) -> Iterator[Finding]:
    """Every check, one after the other."""
    folder = runtime.home_folder(options.home)
    yield Finding(OK, "version", f"quire {version()}")
    yield _sqlite()
    yield _clock()
    yield _port()
    if not (folder.is_dir() and _is_used(folder)):
        yield Finding(WARNING, "home", f"There is no home at {folder} yet. `quire up` makes it.")
        return
    yield from _rights(folder)
    yield _space(folder)
    yield _holder(folder)
    yield from _keys(folder)
    yield from _state(options)


def _is_used(folder: Path) -> bool:
    """Whether there is a home in a folder, or something that is to be looked at."""
    try:
        return runtime.is_there(folder)
    except QuireError:
        return True


def _sqlite() -> Finding:
    sound = apsw.SQLITE_VERSION_NUMBER >= SAFE_SQLITE
    detail = apsw.sqlite_lib_version()
    return Finding(
        OK if sound else PROBLEM, "sqlite", detail if sound else f"{detail} is too old: update apsw."
    )


def _clock() -> Finding:
    now = time.time()
    if now < EARLIEST:
        return Finding(
            PROBLEM, "clock", f"The clock says {time.ctime(now)}. Set it, or others will hold your events."
        )
    return Finding(OK, "clock", time.ctime(now))


def _port() -> Finding:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("0.0.0.0", 0))
    except OSError as error:
        return Finding(PROBLEM, "udp", f"No UDP port can be opened ({error}). Peers cannot be reached.")
    return Finding(OK, "udp", "UDP ports can be opened.")


def _rights(folder: Path) -> Iterator[Finding]:
    for path, wanted in ((folder, 0o700), *((p, 0o600) for p in sorted(folder.iterdir()) if p.is_file())):
        try:
            found = stat.S_IMODE(path.stat().st_mode)
        except OSError as error:
            yield Finding(PROBLEM, "rights", f"{path}: {error}")
            continue
        if found & 0o077:
            advice = f"{path} is open to others ({found:04o}). Run: chmod {wanted:o} '{path}'"
            yield Finding(PROBLEM, "rights", advice)
    writable = os.access(folder, os.R_OK | os.W_OK | os.X_OK)
    text = str(folder) if writable else f"{folder} cannot be written by you. Check who owns it."
    yield Finding(OK if writable else PROBLEM, "home", text)


def _space(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    text = f"{free // 2**20:,} MiB free"
    return (
        Finding(OK, "disk", text) if free >= LITTLE_SPACE else Finding(WARNING, "disk", f"{text}: free some.")
    )


def _holder(folder: Path) -> Finding:
    node = runtime.running_node(folder)
    if node is None:
        return Finding(OK, "node", "not running")
    return Finding(
        OK, "node", f"running as process {node.pid}, page at http://{node.api}/, peers at {node.listen}"
    )


def _keys(folder: Path) -> Iterator[Finding]:
    """How private keys are protected at rest, and whether the database is encrypted as a whole."""
    try:
        found = runtime.protection(folder)
    except QuireError as error:
        yield Finding(PROBLEM, "keys", str(error))
        return
    if found is None:
        return  # the check of the database says what is missing
    yield _KEPT[found.kind]
    encrypted = "The whole database is encrypted." if found.encrypted else _PLAIN
    yield Finding(OK, "encryption", encrypted)


def _state(options: Options) -> Iterator[Finding]:
    """What the home itself says; a home that cannot be opened is a problem, and the error says why."""
    unlocking = runtime.Unlocking(ask)
    try:
        status = perform(options, "getStatus", {}, unlocking).result
        counted = perform(
            options, "query", {"statement": "SELECT count(*) AS events FROM events"}, unlocking
        ).result
    except QuireError as error:
        yield Finding(PROBLEM, "database", str(error))
        return
    yield Finding(OK, "database", f"{counted['rows'][0]['events']:,} events")
    if status["stale_views"]:
        yield Finding(WARNING, "views", "Made by another version of Quire. Run `quire rebuild`.")
    spaces = [space for identity in status["identities"] for space in identity["spaces"]]
    forks = [fork for space in spaces for fork in space["forks"]]
    if forks:
        names = ", ".join(sorted({fork["device_name"] or fork["device"] for fork in forks}))
        advice = "a home that was copied and used twice does this. Use only one of the copies."
        yield Finding(WARNING, "forks", f"Two histories were written by {names}: {advice}")
    if any(fork["own"] for fork in forks):
        yield Finding(WARNING, "own fork", f"This device wrote two histories: {OWN_FORK}.")
