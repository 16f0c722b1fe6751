"""What cannot be taken back is asked about on a terminal, with what is lost in words.

Owns: which operations those are, and the words. Must not know: how they are done.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from quire.cli.access import Ask, Way
from quire.cli.text import clean
from quire.errors import Refused

_Params = Mapping[str, Any]


def _leaving(ask: Ask, _: _Params) -> str:
    members = ask("listMembers", {})
    me = next((one for one in members if one["me"]), None)
    if me is None:
        return "You wait to be let in, and ask no more."
    others = [one for one in members if not one["me"]]
    lost = "You leave this space: you read and write nothing more in it, and come back only by a new invite."
    if me["role"] == "founder":
        lost += " You are its founder: it is without one for good, also if you come back."
    if not others:
        return f"{lost} You are alone in it: nobody is left, and nobody can ever be let in again."
    if me["role"] in ("founder", "admin") and not any(one["role"] in ("founder", "admin") for one in others):
        return f"{lost} Nobody is left who can remove members or make admins: `quire member grant NAME admin` first."
    return lost


def _removing(ask: Ask, params: _Params) -> str:
    found = _who(ask("listMembers", {}), "pubkey", params)
    return (
        found and f"{found} is removed: it reads nothing that is written from now on, and needs a new invite."
    )


def _banning(ask: Ask, params: _Params) -> str:
    found = _who(ask("listMembers", {}), "pubkey", params)
    return found and f"{found} is removed, and no invite lets it in again until `quire member unban`."


def _revoking(ask: Ask, params: _Params) -> str:
    found = _who(ask("listDevices", {}), "key", params)
    return found and (
        f"The device {found} is taken away for good: it reads nothing that is written from now on, and what it has "
        "written and not yet handed on is lost."
    )


def _rotating(_: Ask, __: _Params) -> str:
    return (
        "A new recovery phrase takes the place of the old one: the old words, and exported key files, recover "
        "nothing any more. Be ready to write 24 words on paper."
    )


def _who(found: list[dict[str, Any]], key: str, params: _Params) -> str:
    """Whom a name or key means; "" for nobody, which the operation itself refuses."""
    name = params["name"]
    return next((clean(one["name"] or one[key]) for one in found if name in (one["name"], one[key])), "")


#: Operation → what is lost by it; "" for nothing to ask about.
LOSSES: dict[str, Callable[[Ask, _Params], str]] = {
    "leaveSpace": _leaving,
    "removeMember": _removing,
    "banMember": _banning,
    "revokeDevice": _revoking,
    "rotateIdentity": _rotating,
}


def asked(name: str) -> Way:
    """The operation, once a person on a terminal has said yes; scripts are not asked. Raises Refused for a no."""

    def way(ask: Ask, params: _Params) -> tuple[Any, str]:
        if sys.stdin.isatty() and (lost := LOSSES[name](ask, params)):
            print(f"{lost}\nGo on? [y/N] ", end="", file=sys.stderr, flush=True)
            if sys.stdin.readline().strip().casefold() not in ("y", "yes"):
                raise Refused("Nothing was changed.")
        return ask(name, params), ""

    return way
