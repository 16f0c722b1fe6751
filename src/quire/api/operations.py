"""The one table of operations: HTTP, the command line and the API document are made from it.

Owns: how an operation's parameters and result follow from its signature, and how one is run.
Must not know: HTTP, terminals.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from quire.api.host import Host, NodeContext
from quire.api.node_operations import NODE_OPERATIONS
from quire.api.scope import scoped
from quire.errors import NotFound, UserError
from quire.events.handler import Operation
from quire.handlers import REGISTRY

#: What every request may say besides an operation's own parameters.
RESERVED = ("as", "space")


@dataclass(frozen=True)
class Entry:
    """One operation with what follows from its signature."""

    operation: Operation
    #: A struct of its parameters; unknown ones are refused.
    params: type[msgspec.Struct]
    parameters: tuple[inspect.Parameter, ...]
    result: Any
    doc: str

    @property
    def name(self) -> str:
        """The operation's name in the API."""
        return self.operation.name


def entry(operation: Operation) -> Entry:
    """Read an operation's signature. Raises TypeError when it is not fully annotated."""
    signature = inspect.signature(operation.run, eval_str=True)
    parameters = tuple(signature.parameters.values())[1:]
    for parameter in parameters:
        if parameter.annotation is parameter.empty or parameter.name in RESERVED:
            raise TypeError(f"{operation.name}: parameter {parameter.name} has no type, or a reserved name")
    if signature.return_annotation is signature.empty or not operation.run.__doc__:
        raise TypeError(f"{operation.name} needs a return type and a docstring")
    fields = [
        (p.name, p.annotation) if p.default is p.empty else (p.name, p.annotation, p.default)
        for p in parameters
    ]
    params = msgspec.defstruct(f"{operation.name}Params", fields, forbid_unknown_fields=True, kw_only=True)
    return Entry(
        operation, params, parameters, signature.return_annotation, inspect.cleandoc(operation.run.__doc__)
    )


def table(operations: Iterable[Operation]) -> dict[str, Entry]:
    """Name → entry. Raises ValueError when two operations share a name or command."""
    entries = [entry(operation) for operation in operations]
    for names in ([e.name for e in entries], [e.operation.cli for e in entries if e.operation.cli]):
        if len(set(names)) < len(names):
            raise ValueError(f"two operations share a name: {sorted(names)}")
    return {e.name: e for e in entries}


OPERATIONS = table((*(o for handler in REGISTRY.handlers for o in handler.operations), *NODE_OPERATIONS))


def call(
    host: Host, name: str, params: Mapping[str, Any], identity: str | None = None, space: str | None = None
) -> Any:
    """Run an operation for `identity` (name or public key) in `space` (name or id), where it needs them.

    Raises UserError for whatever the caller can mend, HomeError when the home fails.
    """
    result = prepare(host, name, params, identity, space)()
    if OPERATIONS[name].operation.writes:
        host.committed()
    return result


def prepare(
    host: Host, name: str, params: Mapping[str, Any], identity: str | None = None, space: str | None = None
) -> Callable[[], Any]:
    """Check a request; what is given back runs it. Raises UserError for whatever the caller can mend."""
    found = OPERATIONS.get(name)
    if found is None:
        raise NotFound(f"There is no operation called {name!r}. /openapi.json lists those there are.")
    try:
        arguments = msgspec.structs.asdict(msgspec.convert(dict(params), found.params))
    except msgspec.ValidationError as error:
        raise UserError(f"{name}: {_plain(str(error))}") from None
    # Only now that each has its type: what was given could be nested deeper than a check can follow.
    _refuse_broken_text((identity, space, *arguments.values()))

    def ctx() -> NodeContext:
        whole = NodeContext(host.home, host.now(), addresses=host.addresses(), host=host)
        return scoped(whole, found.operation.scope, identity, space)

    # A read knows its scope before it runs, for it may run in another thread than the store's connection
    # belongs to; a write finds it inside its transaction.
    with host.home.store.db.plain_errors():
        known = None if found.operation.writes else ctx()

    def run() -> Any:
        with host.home.store.db.plain_errors():
            return found.operation.run(known or ctx(), **arguments)

    return run


def _plain(text: str) -> str:
    """A validation error without the notation of JSON paths."""
    text = text.replace("Object missing required field", "there must be a value for")
    text = text.replace("Object contains unknown field", "it takes no parameter")
    what, _, place = text.partition(" - at `$.")
    return f"{place.rstrip('`')}: {what[:1].lower()}{what[1:]}" if place else text.replace(" - at `$`", "")


def _refuse_broken_text(value: Any) -> None:
    """Raises UserError for text that is not Unicode (half of a surrogate pair, bytes that are not UTF-8)."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UserError("That text is not valid Unicode (UTF-8). Write it again and retry.") from None
    elif isinstance(value, list | tuple):
        for inner in value:
            _refuse_broken_text(inner)
