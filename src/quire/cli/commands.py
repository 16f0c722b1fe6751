"""Commands made from the table of operations: words, arguments and help follow from the signatures.

Owns: the step from a signature to typer's. Must not know: any one operation's meaning.
"""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from quire.api.operations import Entry
from quire.cli import show
from quire.cli.access import Options, perform

#: Positional texts that may be several words without quotes.
SENTENCES = frozenset({"text", "words", "statement"})

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
        params = {name: " ".join(v) if name in SENTENCES else v for name, v in given.items()}
        done = perform(options, found.name, params)
        show.outcome(found.name, done, options, params)
        if found.name == "verify" and done.result["damage"]:
            raise typer.Exit(1)

    parameters = [_parameter(p, found.operation.positional) for p in found.parameters]
    return with_options(run, parameters, found.doc)


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


def take_options(ctx: typer.Context, given: dict[str, Any]) -> Options:
    """Take the shared options out of what typer gave, completed by those before the command's name."""
    own = Options(*(given.pop(name) for name in _GLOBALS))
    outer = ctx.find_root().obj
    return own.over(outer) if isinstance(outer, Options) else own


def _parameter(parameter: inspect.Parameter, positional: tuple[str, ...]) -> inspect.Parameter:
    name = parameter.name
    annotation: Any = parameter.annotation
    if name not in positional:
        annotation = Annotated[annotation, typer.Option(f"--{name.replace('_', '-')}")]
    elif name in SENTENCES:
        annotation = Annotated[list[str], typer.Argument(metavar=name.upper(), show_default=False)]
    else:
        annotation = Annotated[annotation, typer.Argument(metavar=name.upper(), show_default=False)]
    return parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
