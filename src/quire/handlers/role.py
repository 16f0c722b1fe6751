"""`role`: what a member is from now on: granted more or less, removed, banned, or gone by itself.

Of the member's logs so far, what `marks` names counts: whatever it writes beyond, however it is dated, was
written without the right to.
"""

from collections.abc import Mapping

import msgspec

from quire.core.encoding import is_key
from quire.errors import UserError
from quire.events.context import Context
from quire.events.handler import GraphEvent, Handler, Opened, Operation
from quire.graph import changes
from quire.graph.roles import Role
from quire.graph.state import members
from quire.handlers import graph_events, joining, key, peer, readmission
from quire.store.memberships import JOINING


class RoleEvent(GraphEvent):
    """`member` (root key) is `role` from now on; `marks`: device → [seq, id] of the last event that counts."""

    member: str
    role: str
    marks: dict[str, tuple[int, str]]


class RoleChanged(msgspec.Struct):
    """What a member is now."""

    member: str
    name: str
    role: str


def change(o: Opened[RoleEvent], _: bytes) -> changes.AnyChange:
    """A role, if it is one."""
    role = graph_events.ROLES.get(o.event.role)
    if role is None or not is_key(o.event.member):
        return changes.Void()
    return changes.SetRole(o.event.member, role, o.event.marks)


class MemberEntry(msgspec.Struct):
    """Somebody in this space; `since` is when they came in (ms), `me` whether it is who asks."""

    pubkey: str
    name: str
    role: str
    since: int
    devices: int
    me: bool
    #: The name of the member in whose place it was admitted anew, or its key; "" for who came by itself.
    in_place_of: str


def list_(ctx: Context, everyone: bool = False) -> list[MemberEntry]:
    """The members of this space, the most senior first; with `everyone` also who was removed, banned or left."""
    names = peer.names(ctx)
    places = readmission.places(ctx)
    return [
        MemberEntry(
            one.member,
            names.get(one.member, ""),
            graph_events.ROLE_NAMES[one.role],
            one.since,
            len(one.devices),
            one.member == ctx.member.account_id,
            names.get(places.get(one.member, ""), "") or places.get(one.member, ""),
        )
        for one in members(ctx.graph)
        if everyone or one.role >= Role.GUEST
    ]


def grant(ctx: Context, name: str, role: str) -> RoleChanged:
    """Make a member a `guest` (who can only read), `member` or `admin`."""
    if role not in ("guest", "member", "admin"):
        raise UserError(f"A member can be made `guest`, `member` or `admin`, not {role!r}.")
    return _set(ctx, name, graph_events.ROLES[role])


def remove(ctx: Context, name: str) -> RoleChanged:
    """Remove a member: what is written from now on is sealed with a new key, which it does not get."""
    if graph_events.ROLES[peer.find(ctx, name).role] < Role.GUEST:
        raise UserError(f"{name!r} is not a member any more.")
    return _set(ctx, name, Role.NONE)


def ban(ctx: Context, name: str) -> RoleChanged:
    """Remove a member for good: no invite lets it in again, until `unban`."""
    return _set(ctx, name, Role.BANNED)


def unban(ctx: Context, name: str) -> RoleChanged:
    """Let a banned person be invited again."""
    if graph_events.ROLES[peer.find(ctx, name).role] != Role.BANNED:
        raise UserError(f"{name!r} is not banned: `quire member list --everyone` shows who is.")
    return _set(ctx, name, Role.NONE)


def leave(ctx: Context) -> RoleChanged:
    """Leave this space. What was synced so far stays readable on this device.

    Who waits to be let in asks no more, and forgets the space.
    """
    member = ctx.member
    if member.kind == JOINING:
        joining.give_up(ctx)
    else:
        ctx.change("role", _body(ctx, member.account_id, Role.NONE))
    return RoleChanged(member.account_id, member.identity_name, "none")


def _set(ctx: Context, name: str, role: Role) -> RoleChanged:
    person = peer.find(ctx, name)
    if person.pubkey == ctx.member.account_id and role < Role.GUEST:
        raise UserError("That is you. To leave a space by yourself, use `quire space leave`.")
    with ctx.home.store.transaction():
        before = ctx.graph.ledger.role(person.pubkey, ctx.graph.valid)
        ctx.change("role", _body(ctx, person.pubkey, role))
        if role < Role.GUEST <= before:
            key.renew(ctx, "")
    return RoleChanged(person.pubkey, person.name, graph_events.ROLE_NAMES[role])


def _body(ctx: Context, member: str, role: Role) -> Mapping[str, object]:
    marks = graph_events.marks(ctx, member)
    return {"member": member, "role": graph_events.ROLE_NAMES[role], "marks": marks}


HANDLER = Handler(
    type="role",
    event=RoleEvent,
    change=change,
    needs=graph_events.needs,
    provides=graph_events.provides,
    operations=(
        Operation("listMembers", list_, ("member", "list")),
        Operation("grantRole", grant, ("member", "grant"), ("name", "role"), writes=True),
        Operation("removeMember", remove, ("member", "remove"), ("name",), writes=True),
        Operation("banMember", ban, ("member", "ban"), ("name",), writes=True),
        Operation("unbanMember", unban, ("member", "unban"), ("name",), writes=True),
        Operation("leaveSpace", leave, ("space", "leave"), writes=True),
    ),
)
