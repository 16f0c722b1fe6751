"""People as they are named in arguments: `@bob` and `bob`, `@KEY` and `KEY` mean the same, wherever one is meant.

Owns: which arguments those are. Must not know: who is called what.
"""

from collections.abc import Mapping
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


def without_signs(operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with people's names as operations take them: without the `@`."""
    names = NAMES.get(operation, ())
    return {name: value.removeprefix("@") if name in names else value for name, value in params.items()}


def target(ask: Ask, given: str) -> str:
    """Where messages go: somebody's public key alone, too, means that person. Private channels' ids look the same."""
    if is_key(given) and any(one["pubkey"] == given for one in ask("listMembers", {"everyone": True})):
        return f"@{given}"
    return given
