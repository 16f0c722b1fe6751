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

    `notice` is what who wrote should know.
    """

    result: Any
    online: bool
    notice: str = ""


def perform(options: Options, name: str, params: Mapping[str, Any], unlocking: runtime.Unlocking) -> Outcome:
    """Run an operation on the home that the options name."""
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
            return _outcome(partial(call_node, node.api, node.token), True, options, name, params)
        except NotRunning:
            pass  # it stopped a moment ago: whoever holds the home now, open_offline says so
    with runtime.open_offline(folder, unlocking) as host:
        return _outcome(partial(call, host), False, options, name, params)


def _outcome(
    ask: Callable[..., Any], online: bool, options: Options, name: str, params: Mapping[str, Any]
) -> Outcome:
    result = msgspec.to_builtins(ask(name, params, options.identity, options.space))
    operation = OPERATIONS[name].operation
    if not operation.writes or operation.scope != "space":
        return Outcome(result, online)
    try:
        notice = msgspec.to_builtins(ask("getNotice", {}, options.identity, options.space))["text"]
    except UserError:
        notice = ""  # what was done there was to leave
    return Outcome(result, online, notice)
