"""People as they are named in arguments: `@bob` and `bob`, `@KEY` and `KEY` mean the same, wherever one is meant.

Owns: which arguments those are, and that a key is no option. Must not know: who is called what.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from quire.cli.access import Ask
from quire.core.encoding import is_key

#: Operation → those of its parameters that name a person, and nothing else.
NAMES = {
    "addToChannel": ("name",),
    "removeFromChannel": ("name",),
    "grantRole": ("name",),
    "removeMember": ("name",),
    "banMember": ("name",),
    "unbanMember": ("name",),
    "readmitMember": ("old", "new"),
    "approveRequest": ("name",),
    "blockMember": ("name",),
    "unblockMember": ("name",),
}


#: Stands before a key that begins with a dash, while options are told from arguments; no shell can hand it over.
_KEY = "\0"


def marked(words: Sequence[str]) -> list[str]:
    """A command line in which a key, one in 64 of which begins with a dash, is not taken for an option."""
    return [_KEY + word if word.startswith("-") and is_key(word) else word for word in words]


def unmarked(value: Any) -> Any:
    """An argument's value, one word or several, as it was given."""
    if isinstance(value, list):
        return [unmarked(word) for word in value]
    return value.removeprefix(_KEY) if isinstance(value, str) else value


def without_signs(operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with people's names as operations take them: without the `@`."""
    names = NAMES.get(operation, ())
    return {name: value.removeprefix("@") if name in names else value for name, value in params.items()}


def target(ask: Ask, given: str) -> str:
    """Where messages go: somebody's public key alone, too, means that person. Private channels' ids look the same."""
    if is_key(given) and any(one["pubkey"] == given for one in ask("listMembers", {"everyone": True})):
        return f"@{given}"
    return given
