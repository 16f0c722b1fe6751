"""Commands made from the table of operations: words, arguments and help follow from the signatures.

Owns: the step from a signature to typer's. Must not know: any one operation's meaning.
"""

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from typing import Annotated, Any

import typer

from quire.api.operations import Entry
from quire.cli import arguments, channels, consent, people, show
from quire.cli.access import MAKES_HOME, Options, Way, perform
from quire.cli.damage import with_ways_out
from quire.cli.joining import settled
from quire.cli.passphrase import ask
from quire.cli.relay_added import answered
from quire.runtime import Unlocking

#: Positional texts that may be several words without quotes.
SENTENCES = frozenset({"text", "words", "statement", "code"})

_Home = Annotated[str | None, typer.Option("--home", metavar="DIR", help="Folder of the home to use.")]
_As = Annotated[str | None, typer.Option("--as", metavar="NAME", help="Identity to act for.")]
_Space = Annotated[str | None, typer.Option("--space", metavar="NAME", help="Space to act in.")]
_Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
_Made = Callable[..., None]

#: Names that no operation's parameter has.
_GLOBALS = {"_home": _Home, "_as": _As, "_space": _Space, "_json": _Json}


def command(found: Entry) -> _Made:
    """A typer command that runs one operation and shows its result."""

    def run(ctx: typer.Context, **given: Any) -> None:
        options = take_options(ctx, given)
        unlocking = take_unlocking(given)
        way = _way(found.name, given.pop("_yes", False))
        params = {name: _value(name, people.unmarked(value)) for name, value in given.items()}
        params = people.without_signs(found.name, params)
        with with_ways_out() if found.name == "verify" else nullcontext():
            done = perform(options, found.name, params, unlocking, way)
        if found.name == "joinSpace":
            done = settled(options, done, Unlocking(ask))
        elif found.name == "addRelay":
            done = answered(options, done, Unlocking(ask))
        show.outcome(found.name, done, options, params)
        if found.name == "verify" and done.result["damage"]:
            raise typer.Exit(1)

    parameters = [_parameter(p, found) for p in found.parameters]
    parameters += unlocking_options() if found.name in MAKES_HOME else []
    if found.name in consent.LOSSES:
        parameters.append(
            option("_yes", False, bool, "--yes", "Do not ask; without a terminal nothing is asked.")
        )
    return with_options(run, parameters, found.doc)


def _way(name: str, yes: bool) -> Way | None:
    """How an operation is done here, if not by one call."""
    return consent.asked(name) if name in consent.LOSSES and not yes else channels.WAYS.get(name)


def alone(run: _Made) -> _Made:
    """The same, for a word that has commands below it: run only when none of those is named."""

    @wraps(run)
    def unless_named(ctx: typer.Context, **given: Any) -> None:
        if ctx.invoked_subcommand is None:
            run(ctx=ctx, **given)

    return unless_named


def with_options(run: _Made, parameters: list[inspect.Parameter], doc: str) -> _Made:
    """A function for typer with these parameters and those that every command takes."""
    kind = inspect.Parameter.KEYWORD_ONLY
    context = inspect.Parameter("ctx", kind, annotation=typer.Context)
    shared = [
        inspect.Parameter(name, kind, annotation=annotation, default=False if name == "_json" else None)
        for name, annotation in _GLOBALS.items()
    ]
    run.__signature__ = inspect.Signature([context, *parameters, *shared])  # type: ignore[attr-defined]
    run.__doc__ = doc
    return run


def option(
    name: str, default: Any, kind: Any, flag: str, text: str, metavar: str | None = None
) -> inspect.Parameter:
    """A parameter of a hand-written command, given as an option."""
    annotation = Annotated[kind, typer.Option(flag, help=text, metavar=metavar)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def unlocking_options() -> list[inspect.Parameter]:
    """The options of commands that make a home where there is none."""
    locked = "Protect a new home with a passphrase (QUIRE_PASSPHRASE, else asked for)."
    return [
        option("_passphrase", False, bool, "--passphrase", locked),
        option("_encrypt", False, bool, "--encrypt", "Encrypt the whole database of a new home."),
    ]


def take_unlocking(given: dict[str, Any]) -> Unlocking:
    """Take those options out of what typer gave."""
    return Unlocking(ask, given.pop("_passphrase", False), given.pop("_encrypt", False))


def take_options(ctx: typer.Context, given: dict[str, Any]) -> Options:
    """Take the shared options out of what typer gave, completed by those before the command's name."""
    own = Options(*(given.pop(name) for name in _GLOBALS))
    outer = ctx.find_root().obj
    return own.over(outer) if isinstance(outer, Options) else own


def _value(name: str, given: Any) -> Any:
    if name == "text":
        return arguments.text(given)
    return " ".join(given) if name in SENTENCES else given


def _parameter(parameter: inspect.Parameter, found: Entry) -> inspect.Parameter:
    name = parameter.name
    text = arguments.words(found.name, name)
    annotation: Any = parameter.annotation
    if name not in found.operation.positional:
        annotation = Annotated[annotation, typer.Option(f"--{name.replace('_', '-')}", help=text)]
    else:
        kind = list[str] if name in SENTENCES else annotation
        annotation = Annotated[kind, typer.Argument(metavar=name.upper(), show_default=False, help=text)]
    return parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
