"""`quire identity recover` and `quire identity export`: an identity's root key leaves a home, and comes back.

Owns: how phrases and passphrases are asked for: never as an argument, where others could see them in the list
of processes. Must not know: what is in a key file.
"""

import os
import sys
from collections.abc import Callable
from getpass import getpass
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

import typer

from quire.cli import show
from quire.cli.access import perform
from quire.cli.commands import option, take_options, take_unlocking, unlocking_options, with_options
from quire.cli.tables import note
from quire.cli.text import json_text
from quire.core.encoding import from_text, to_text
from quire.core.passphrase import check_passphrase
from quire.errors import HomeError, UserError
from quire.limits import MAX_KEY_FILE_BYTES, MAX_PHRASE_CHARS
from quire.runtime import Unlocking

_RECOVER = """Bring an identity back on this device: from its 24 words (--phrase) or an exported key file (--file).

LINK is any invite link to one of its spaces; no seat of the invite is used. The phrase is taken from QUIRE_PHRASE,
standard input or a prompt, the key file's passphrase from QUIRE_KEY_PASSPHRASE or a prompt, never from an argument."""

_EXPORT = """Write this identity's root key to FILE, sealed with a passphrase: `identity recover --file` takes it.

The passphrase is taken from QUIRE_KEY_PASSPHRASE, or asked for. Whoever has both is this person."""


def recover() -> Callable[..., None]:
    """The command `identity recover`."""

    def run(ctx: typer.Context, **given: Any) -> None:
        options, unlocking = take_options(ctx, given), take_unlocking(given)
        if given["phrase"] == (given["file"] is not None):
            raise UserError("Say whether to recover with --phrase or with --file FILE.")
        secret = (
            {"phrase": _phrase()}
            if given["phrase"]
            else {"key_file_text": _read(given["file"]), "passphrase": _passphrase(new=False)}
        )
        params = {"link": given["link"], "name": given["name"], **secret}
        if given["device"]:
            params["device_name"] = given["device"]
        done = perform(options, "recoverIdentity", params, unlocking)
        show.outcome("recoverIdentity", done, options, {})

    link = Annotated[str, typer.Argument(metavar="LINK", show_default=False)]
    parameters = [
        Parameter("link", Parameter.KEYWORD_ONLY, annotation=link),
        option("name", ..., str, "--name", "What the identity is called in this home.", "NAME"),
        option("phrase", False, bool, "--phrase", "From the recovery phrase."),
        option("file", None, Path | None, "--file", "From an exported key file.", "FILE"),
        option("device", "", str, "--device", "What this device is called.", "DEVICE"),
        *unlocking_options(),
    ]
    return with_options(run, parameters, _RECOVER)


def export(asking: Callable[[bool], str]) -> Callable[..., None]:
    """The command `identity export`; `asking` unlocks a home without a running node."""

    def run(ctx: typer.Context, **given: Any) -> None:
        options = take_options(ctx, given)
        file: Path = given["file"]
        if file.exists():
            raise UserError(f"{file} is there already. Choose another name.")
        params = {"passphrase": _passphrase(new=True)}
        done = perform(options, "exportIdentity", params, Unlocking(asking))
        _write(file, from_text(done.result["content"]))
        if options.json:
            print(json_text({"file": str(file)}))
        else:
            note(f"Written to {file}. Keep it apart from its passphrase.")

    place = Annotated[Path, typer.Argument(metavar="FILE", show_default=False)]
    return with_options(run, [Parameter("file", Parameter.KEYWORD_ONLY, annotation=place)], _EXPORT)


def _phrase() -> str:
    """The phrase as it is given, in whatever way keeps it to oneself. Raises UserError for none."""
    found = os.environ.get("QUIRE_PHRASE") or ""
    if not found:
        if sys.stdin.isatty():
            found = getpass("Recovery phrase (24 words): ", stream=sys.stderr)
        else:
            found = sys.stdin.read(MAX_PHRASE_CHARS + 1)
    if not found.strip():
        raise UserError("No phrase was given. Type it when asked, pipe it in, or set QUIRE_PHRASE.")
    return found


def _passphrase(new: bool) -> str:
    found = os.environ.get("QUIRE_KEY_PASSPHRASE") or ""
    if not found:
        if not sys.stdin.isatty():
            raise UserError(
                "The key file's passphrase is wanted, and there is no terminal to ask on: set QUIRE_KEY_PASSPHRASE."
            )
        found = getpass("Passphrase of the key file: ", stream=sys.stderr)
        if new and getpass("The same once more: ", stream=sys.stderr) != found:
            raise UserError("The two are not the same. Nothing was written; try again.")
    if new:
        check_passphrase(found)
    return found


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return to_text(stream.read(MAX_KEY_FILE_BYTES))
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from None


def _write(file: Path, content: bytes) -> None:
    try:
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise HomeError(f"{file} cannot be written: {error.strerror}.") from None
