"""What the handlers of the membership graph have in common.

Owns: what such events need and provide. Must not know: any one of them.
"""

from collections.abc import Sequence
from typing import Any

from quire.errors import Refused
from quire.events.context import Context
from quire.events.handler import Opened
from quire.events.standing import device_need, graph_need, graph_of
from quire.graph.changes import Marks
from quire.graph.graph import Graph
from quire.graph.roles import Role
from quire.graph.rules import REASONS
from quire.graph.state import EVERYTHING
from quire.limits import MAX_MARKS

#: Role → its word in events, commands and answers.
ROLE_NAMES = {
    Role.BANNED: "banned",
    Role.NONE: "none",
    Role.GUEST: "guest",
    Role.MEMBER: "member",
    Role.ADMIN: "admin",
    Role.FOUNDER: "founder",
}
ROLES = {name: role for role, name in ROLE_NAMES.items()}


def needs(o: Opened[Any]) -> Sequence[str]:
    """All that it builds on, and an author who is known."""
    return (device_need(o.event.author), *map(graph_need, o.event.after))


def needs_of_first(o: Opened[Any]) -> Sequence[str]:
    """The same for an event by which a device makes itself known."""
    return tuple(map(graph_need, o.event.after))


def provides(o: Opened[Any]) -> Sequence[str]:
    """Itself, for those that build on it."""
    return (graph_need(o.event_id),)


def check_writer(ctx: Context) -> None:
    """Raises Refused, naming the rule, when what this device writes would not be shown to anybody.

    Who has not heard of its own admission yet may write: it counts once that is known.
    """
    member = ctx.member
    graph = graph_of(ctx.home, member)
    ledger, valid = graph.ledger, graph.valid
    key = (member.account, member.space)
    if ctx.home.may_write.get(key) == valid:
        return  # asked before each message, and nothing has changed since
    if not ledger.claims(member.device, valid):
        return
    if ledger.revocations(member.device) & valid:
        return  # refused in words of its own
    claim = ledger.standing(member.device, valid)
    role = ledger.role(claim.member, valid) if claim is not None else Role.NONE
    if role < Role.GUEST:
        raise Refused("Nobody would see that: you are no member of this space any more (rule `device`).")
    if role == Role.GUEST:
        raise Refused(f"Nobody would see that: {REASONS['guest']} (rule `guest`).")
    ctx.home.may_write[key] = valid


def marks(ctx: Context, member: str) -> Marks:
    """The ends of a member's logs as they are known here: of MAX_MARKS devices, those in standing and the oldest first.

    Or who has a device claim so many that a removal is too long for an event could not be removed.
    """
    names, blobs = ctx.home.store.names, ctx.home.store.blobs
    found: Marks = {}
    for device in _oldest_first(ctx.graph, member):
        number = names.known_device(ctx.member.space, device)
        seq, last = blobs.head(number) if number is not None else (0, None)
        if last is not None and len(found) < MAX_MARKS:
            found[device] = (seq, last)
    return found


def _oldest_first(graph: Graph, member: str) -> list[str]:
    """Every device that was ever claimed for a member: those in standing first, of each kind the oldest."""
    ledger, valid = graph.ledger, graph.valid

    def place(device: str) -> tuple[bool, tuple[int, str]]:
        first = ledger.claims(device, EVERYTHING)[0]
        return ledger.standing(device, valid) is None, first.node.key

    return sorted(ledger.devices_ever(member), key=place)
