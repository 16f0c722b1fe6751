"""Reaching a home: through its running node, or directly while none runs.

Owns: the options that every command takes, and that choice. Must not know: what commands do or show.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from quire import runtime
from quire.api.client import NotRunning, call_node
from quire.api.operations import OPERATIONS, call
from quire.errors import NotFound, UserError

#: Operations that make a home where there is none.
MAKES_HOME = frozenset({"createIdentity", "joinSpace", "recoverIdentity"})

#: Runs an operation by its name and parameters, and gives its result in plain JSON types.
Ask = Callable[[str, Mapping[str, Any]], Any]
#: How the command line does an operation where one call is not all: its result, and what is to be noted beside.
Way = Callable[[Ask, Mapping[str, Any]], tuple[Any, str]]


@dataclass(frozen=True)
class Options:
    """What every command takes, before or after its name."""

    home: str | None = None
    identity: str | None = None
    space: str | None = None
    json: bool = False

    def over(self, outer: "Options") -> "Options":
        """These options where given, else those given before the command's name."""
        return Options(
            self.home or outer.home,
            self.identity or outer.identity,
            self.space or outer.space,
            self.json or outer.json,
        )


@dataclass(frozen=True)
class Outcome:
    """An operation's result in plain JSON types; `online` tells whether a running node gave it.

    `notice` is what whoever gave the command should know.
    """

    result: Any
    online: bool
    notice: str = ""


def perform(
    options: Options,
    name: str,
    params: Mapping[str, Any],
    unlocking: runtime.Unlocking,
    way: Way | None = None,
) -> Outcome:
    """Run an operation, in its `way` if it has one, on the home that the options name."""
    folder = runtime.home_folder(options.home)
    if runtime.is_there(folder):
        if unlocking.encrypt or unlocking.passphrase:
            runtime.refuse_too_late(folder, unlocking)
    elif name not in MAKES_HOME:
        raise NotFound(
            f"There is no home at {folder} yet. `quire up` makes one, or choose another with --home."
        )
    node = runtime.running_node(folder)
    if node is not None:
        try:
            asked = _asking(partial(call_node, node.api, node.token), options)
            return _outcome(asked, True, name, params, way)
        except NotRunning:
            pass  # it stopped a moment ago: whoever holds the home now, open_offline says so
    with runtime.open_offline(folder, unlocking) as host:
        return _outcome(_asking(partial(call, host), options), False, name, params, way)


def _asking(call: Callable[..., Any], options: Options) -> Ask:
    """Operations for the identity and in the space that the options name."""
    return lambda name, params: msgspec.to_builtins(call(name, params, options.identity, options.space))


def _outcome(ask: Ask, online: bool, name: str, params: Mapping[str, Any], way: Way | None) -> Outcome:
    result, told = (ask(name, params), "") if way is None else way(ask, params)
    operation = OPERATIONS[name].operation
    if not operation.writes or operation.scope != "space":
        return Outcome(result, online, told)
    try:
        notice = ask("getNotice", {})["text"]
    except UserError:
        notice = ""  # what was done there was to leave
    return Outcome(result, online, "\n".join(text for text in (told, notice) if text))
