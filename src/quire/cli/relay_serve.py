"""`quire relay serve`, `stats`, `compact`, `backup`: for whoever runs a relay.

Owns: their options and what they print. Must not know: how a relay runs, what a store is made of.
"""

import inspect
import os
import signal
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import msgspec
import typer

from quire.cli.commands import option, take_options, with_options
from quire.cli.tables import console, note, table
from quire.cli.text import json_text
from quire.errors import HomeError, UserError

if TYPE_CHECKING:
    from quire.runtime.relay_server import RunningRelay

_SERVE = """Run a relay: it keeps sealed records for others and gives them back in order. It can read none of them.

Each option can also stand in a TOML file (--config) and in the environment as QUIRE_RELAY_…: an option counts before
the environment, that before the file."""
_STATS = """Show what a relay's store holds, or how a running relay is.

WHAT is a store (sqlite:PATH) or a relay's address (ws://…, wss://…). Exit code 1 where the relay is not well."""
_COMPACT = "Give space that a relay's store does not need back to the disk. The relay may run meanwhile."
_BACKUP = "Write a consistent copy of a relay's store into a file. The relay may run meanwhile."
_NEW_KEY = """Once: begin with another key over a store that was served under one. Devices take it for another relay."""

#: Seconds that a running relay may take to say how it is.
_PATIENCE_S = 10
_HTTP = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
What = Annotated[str, typer.Argument(metavar="[WHAT]", help="A store, or a relay's address.")]
File = Annotated[str, typer.Argument(metavar="FILE", help="The file to write.")]


def serve() -> Callable[..., None]:
    """The command `relay serve`."""
    from quire.runtime.relay_config import HELP, RelayConfig, configured, overridden, unknown_settings

    def run(ctx: typer.Context, **given: Any) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nothing was read yet that could be read again
        from quire.runtime.relay_log import log, to_standard_error
        from quire.runtime.relay_server import run_relay

        options = take_options(ctx, given)

        def ready(relay: "RunningRelay") -> None:
            said = {"url": relay.url, "listen": relay.address, "pid": os.getpid()}
            print(json_text(said) if options.json else f"Relay:   {relay.url}")
            sys.stdout.flush()

        new_key, file = given.pop("new_key"), given.pop("config")
        config = configured(given, os.environ, file)
        to_standard_error()
        for text in unknown_settings(os.environ):
            log("setting-unknown", text=text)
        for text in overridden(given, os.environ, file):
            log("setting-overridden", text=text)
        run_relay(config, ready, new_key)

    parameters = [option("config", None, str | None, "--config", "Settings in a TOML file.", "FILE")]
    parameters.append(option("new_key", False, bool, "--new-key", _NEW_KEY))
    defaults = msgspec.structs.asdict(RelayConfig())
    for name, text in HELP.items():
        default = defaults[name]
        shown = f"{text} [default: {default}]" if default != "" else text
        flag, metavar = f"--{name.replace('_', '-')}", "TEXT" if isinstance(default, str) else "NUMBER"
        parameters.append(option(name, None, str | None, flag, shown, metavar))
    return with_options(run, parameters, _SERVE)


def stats() -> Callable[..., None]:
    """The command `relay stats`."""

    def run(ctx: typer.Context, **given: Any) -> None:
        options = take_options(ctx, given)
        what = given["what"]
        told = _ask(what) if urlsplit(what).scheme in _HTTP else _held(what)
        if options.json:
            print(json_text(told))
        else:
            rows = [[name.replace("_", " "), value] for name, value in _flat(told).items()]
            table(console(), ["", ""], rows, "Nothing is known.")
        if told.get("status", "ok") != "ok":
            raise typer.Exit(1)

    what = inspect.Parameter(
        "what", inspect.Parameter.KEYWORD_ONLY, default=_default_store(), annotation=What
    )
    return with_options(run, [what], _STATS)


def compact() -> Callable[..., None]:
    """The command `relay compact`."""

    def run(ctx: typer.Context, **given: Any) -> None:
        from quire.relay import sqlite_beside

        options = take_options(ctx, given)
        freed = sqlite_beside.compact(_file(given["store"]))
        print(
            json_text({"freed": freed}) if options.json else f"{freed:,} bytes were given back to the disk."
        )

    return with_options(run, [_store_option()], _COMPACT)


def backup() -> Callable[..., None]:
    """The command `relay backup`."""

    def run(ctx: typer.Context, **given: Any) -> None:
        from quire.relay import sqlite_beside

        options = take_options(ctx, given)
        to = Path(given["file"])
        size = sqlite_beside.copy(_file(given["store"]), to)
        print(json_text({"file": str(to), "bytes": size}) if options.json else f"{to} has {size:,} bytes.")
        note("The relay's key is in a file of its own: keep a copy of that too.")

    file = inspect.Parameter("file", inspect.Parameter.KEYWORD_ONLY, annotation=File)
    return with_options(run, [file, _store_option()], _BACKUP)


def _store_option() -> inspect.Parameter:
    return option("store", _default_store(), str, "--store", "The relay's store.", "sqlite:PATH")


def _default_store() -> str:
    return os.environ.get("QUIRE_RELAY_STORE") or "sqlite:relay.db"


def _file(store: str) -> Path:
    from quire.relay.stores import sqlite_path

    path = sqlite_path(store)
    if path is None:
        raise UserError(
            "A store on NATS is looked after with NATS's own tools: `nats stream info`, `nats stream backup`."
        )
    return path


def _held(store: str) -> dict[str, Any]:
    from quire.relay import sqlite_beside

    return {"held": sqlite_beside.usage(_file(store))._asdict()}


def _ask(url: str) -> dict[str, Any]:
    """What a running relay says of its health, well or not."""
    parts = urlsplit(url)
    if not _has_port(url):
        raise UserError(f"{url!r} has no port that there is: one is a number from 1 to 65535.")
    address = f"{_HTTP[parts.scheme]}://{parts.netloc}/health"
    try:
        with urllib.request.urlopen(address, timeout=_PATIENCE_S) as answer:
            said = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            said = error.read()
    except (OSError, ValueError) as error:
        why = error.reason if isinstance(error, urllib.error.URLError) else error
        raise HomeError(
            f"The relay at {parts.netloc} does not answer: {_unanswered(why, parts.scheme)}"
        ) from None
    try:
        told = msgspec.json.decode(said, type=dict[str, Any])
    except msgspec.DecodeError:
        told = {}
    if not {"status", "key"} <= told.keys():
        raise UserError(f"What answers at {parts.netloc} is no relay.")
    if parts.fragment not in ("", told["key"]):
        raise UserError(
            f"The relay at {parts.netloc} has another key than this address: {told['key']}. Devices that were given "
            "this address do not use it. Give it the key back that it had, or give them the address that it prints."
        )
    return told


def _has_port(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _unanswered(why: object, scheme: str) -> str:
    if isinstance(why, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not good ({why.verify_message}). SSL_CERT_FILE can name other authorities."
        )
    if isinstance(why, ssl.SSLError):
        return "it does not speak TLS there. Is its address ws:// and not wss://?"
    if isinstance(why, HTTPException | ConnectionResetError) and _HTTP[scheme] == "http":
        return "what is there speaks another language. Is its address wss:// and not ws://?"
    return f"{getattr(why, 'strerror', None) or why}. Does it run there?"


def _flat(told: dict[str, Any]) -> dict[str, Any]:
    held = told.pop("held", None) or {}
    return told | {f"held {name}": value for name, value in held.items()}


#: The commands of whoever runs a relay, below `quire relay`.
COMMANDS = {"serve": serve, "stats": stats, "compact": compact, "backup": backup}
