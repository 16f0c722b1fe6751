"""How invites and members look to people.

Owns: one presentation for each operation about who is in a space. Must not know: how results come about.
"""

import sys
from typing import TYPE_CHECKING, Any

from quire.cli.tables import Params, Present, line, note, table
from quire.cli.text import clean, local_time, plural
from quire.core.encoding import is_key
from quire.core.qr import as_terminal
from quire.core.ticket import decode_link

if TYPE_CHECKING:
    from rich.console import Console


def leads_somewhere(invite: Any) -> bool:
    """Whether whoever has an invite's link can find anybody by it."""
    return bool(invite["addresses"] or decode_link(invite["link"]).relays)


def _link(_: "Console", result: Any, __: Params) -> None:
    print(result["link"])
    if sys.stdout.isatty():
        print(as_terminal(result["link"]))
    people = "one person" if result["uses"] == 1 else f"{result['uses']} people"
    taken_back = f"{'-- ' if result['invite_id'].startswith('-') else ''}{result['invite_id'][:8]}"
    note(
        f"For {people}, until {local_time(result['expires'])}. Whoever has it can join: hand it on in private. "
        f"`quire invite revoke {taken_back}` takes it back."
    )
    if not leads_somewhere(result):
        note(
            "No node has run here yet, so the link has no address in it: whoever joins cannot find you. "
            "Start `quire up`, then invite again."
        )


def _qr(_: "Console", result: Any, __: Params) -> None:
    print(result["qr"])  # raw: colours of a terminal, or a picture


def _invites(out: "Console", result: Any, _: Params) -> None:
    rows = [
        [
            i["invite_id"][:10],
            i["state"],
            f"{i['used']} of {i['uses']}",
            i["role"] + (", to be approved" if i["approve"] else ""),
            local_time(i["expires"]),
            i["by"],
        ]
        for i in (result if isinstance(result, list) else [result])
    ]
    headings = ["INVITE", "STATE", "USED", "AS", "EXPIRES", "BY"]
    table(out, headings, rows, "No invites yet. Make one with `quire invite`.")


def _members(out: "Console", result: Any, _: Params) -> None:
    rows = [
        [
            m["name"]
            + (" (you)" if m["me"] else "")
            + (f" (in place of {m['in_place_of']})" if m["in_place_of"] else ""),
            _ROLES.get(m["role"], m["role"]),
            local_time(m["since"]),
            m["devices"],
            m["pubkey"],
        ]
        for m in result
    ]
    table(out, ["NAME", "ROLE", "SINCE", "DEVICES", "PUBLIC KEY"], rows, "Nobody is known here yet.")


_ROLES = {"none": "no member", "guest": "guest (reads)"}


def _people(nothing: str) -> Present:
    """A table of people, or `nothing`."""

    def show(out: "Console", result: Any, _: Params) -> None:
        rows = [
            [p["name"], _ROLES.get(p["role"], p["role"]), local_time(p["ts"]), p["pubkey"]] for p in result
        ]
        table(out, ["NAME", "ROLE", "SINCE", "PUBLIC KEY"], rows, nothing)

    return show


def _blocked(out: "Console", result: Any, _: Params) -> None:
    line(
        out,
        f"{clean(result['name'] or result['pubkey'])} is blocked: no device of yours shows what they write.",
    )


def _unblocked(out: "Console", result: Any, _: Params) -> None:
    line(out, f"{clean(result['name'] or result['pubkey'])} is not blocked now: what they write is shown.")


def _channel(out: "Console", result: Any, _: Params) -> None:
    name = clean(result["name"])
    if result["private"]:
        line(
            out, f"The private channel #{name} is there, for you alone: `quire channel add` brings others in."
        )
    else:
        line(out, f"The channel #{name} is there, for everybody in the space.")


def _channel_left(out: "Console", _: Any, params: Params) -> None:
    line(
        out,
        f"You have left #{clean(params['channel']).removeprefix('#')}. What was synced so far stays readable here.",
    )


def _read(out: "Console", _: Any, params: Params) -> None:
    target = clean(params["target"])
    sign = "" if target[:1] in "@#" or is_key(target) else "#"
    line(out, f"Read: {sign}{target}.")


def _rekeyed(out: "Console", result: Any, _: Params) -> None:
    devices = plural(result["devices"], "device")
    line(out, f"Key {result['generation']} of this space is in use now, on {devices}.")


#: Operation → how its result looks.
MEMBER_PRESENTATIONS: dict[str, Present] = {
    "createInvite": _link,
    "listInvites": _invites,
    "revokeInvite": _invites,
    "drawQr": _qr,
    "listMembers": _members,
    "rekeySpace": _rekeyed,
    "createChannel": _channel,
    "addToChannel": _people("Nobody is in this channel."),
    "removeFromChannel": _people("Nobody is in this channel any more."),
    "leaveChannel": _channel_left,
    "listChannelMembers": _people("Nobody is in this channel."),
    "blockMember": _blocked,
    "unblockMember": _unblocked,
    "listBlocked": _people("Nobody is blocked."),
    "markRead": _read,
}
