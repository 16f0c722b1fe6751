"""The `quire` program: every command in one typer app, and what errors become.

Owns: the tree of commands and the exit codes. Must not know: what any command does.
"""

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from quire.api.operations import OPERATIONS
from quire.cli import devices, recovery, relay_serve
from quire.cli.access import Options
from quire.cli.commands import _As, _Home, _Json, _Space, alone, command
from quire.cli.doctor import doctor
from quire.cli.node import up
from quire.cli.passphrase import ask
from quire.cli.people import marked
from quire.cli.protect import protect
from quire.cli.simulation import scenarios, sim
from quire.cli.soak import soak
from quire.errors import QuireError, UserError

#: Exit codes: the user's mistake, and every other failure.
MISTAKE, FAILURE = 2, 1

_GROUPS = {
    "home": "The home itself.",
    "identity": "The identities of this home.",
    "device": "The devices of an identity.",
    "space": "The spaces that an identity is in.",
    "invite": "Links by which others join.",
    "channel": "Channels: for everybody in a space, or private.",
    "sim": "Simulated communities on bad networks.",
    "member": "The members of a space, and what they may do.",
    "relay": "Relays: those that a space uses, and one to run for others.",
}


def _version(wanted: bool) -> None:
    if wanted:
        from quire.api.version import version

        print(f"quire {version()}")
        raise typer.Exit


def _root(
    ctx: typer.Context,
    home: _Home = None,
    as_: _As = None,
    space: _Space = None,
    json: _Json = False,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Quire: a local-first, peer-to-peer, end-to-end encrypted event store and team workspace."""
    ctx.obj = Options(home, as_, space, json)


def build() -> typer.Typer:
    """The app with every command."""
    settings = {"add_completion": False, "no_args_is_help": True, "rich_markup_mode": None}
    app = typer.Typer(pretty_exceptions_enable=False, **settings)  # type: ignore[arg-type]
    app.callback()(_root)
    _add(app, "up", up())
    groups = {name: typer.Typer(help=text, **settings) for name, text in _GROUPS.items()}  # type: ignore[arg-type]
    groups["invite"].info.no_args_is_help = False  # `quire invite` by itself makes one
    for name, group in groups.items():
        app.add_typer(group, name=name)
    for found in OPERATIONS.values():
        words = found.operation.cli
        if len(words) == 1 and words[0] in groups:
            made = alone(command(found))
            groups[words[0]].callback(
                invoke_without_command=True, help=found.doc, short_help=_begin(found.doc)
            )(made)
        elif words:
            _add(groups[words[0]] if len(words) > 1 else app, words[-1], command(found))
    _add(groups["home"], "protect", protect())
    _add(groups["device"], "link", devices.link())
    _add(groups["device"], "join", devices.join())
    _add(groups["identity"], "recover", recovery.recover())
    _add(groups["identity"], "export", recovery.export(ask))
    _add(groups["sim"], "run", sim())
    _add(groups["sim"], "list", scenarios())
    _add(groups["sim"], "soak", soak())
    for name, make in relay_serve.COMMANDS.items():
        _add(groups["relay"], name, make())
    _add(app, "doctor", doctor())
    return app


def _add(group: typer.Typer, name: str, made: Callable[..., None]) -> None:
    """A command; lists of commands tell the whole first sentence of its help, on as many lines as it takes."""
    group.command(name, short_help=_begin(made.__doc__ or ""))(made)


def _begin(doc: str) -> str:
    """The first sentence of a text."""
    return " ".join(doc.partition("\n\n")[0].split()).partition(". ")[0].removesuffix(".") + "."


def main() -> None:
    """Run the program. Exits 0 when done, 2 for a user's mistake, 1 for any other failure."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        build()(marked(sys.argv[1:]), prog_name="quire")
    except UserError as error:
        _say(error)
        sys.exit(MISTAKE)
    except QuireError as error:
        _say(error)
        sys.exit(FAILURE)
    except BrokenPipeError:
        _close_quietly()
        sys.exit(FAILURE)
    except Exception as error:
        if os.environ.get("QUIRE_DEBUG"):
            raise
        what = f"{type(error).__name__}: {error}"
        _say(
            QuireError(
                f"Something went wrong that should not have ({what}). It is a mistake of ours, or damage in the "
                "home, which `quire verify` finds. QUIRE_DEBUG=1 shows where it happened."
            )
        )
        sys.exit(FAILURE)


def _say(error: QuireError) -> None:
    from quire.cli.text import clean_lines

    print(f"quire: {clean_lines(str(error))}", file=sys.stderr)


def _close_quietly() -> None:
    """Nobody reads standard output any more: let the last flush go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
