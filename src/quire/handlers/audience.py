"""`audience`: some members, to whom bodies of events can be sealed, and nobody else.

Three kinds: `self` (the devices of one person), `direct` (two people), `channel` (its members change). Who is in an
audience every member of the space can see; what is sealed to it, nobody else. Its name is this event's id.
"""

from collections.abc import Sequence

from quire.core.encoding import is_key
from quire.errors import NotFound, Refused
from quire.events.audiences import is_key_held
from quire.events.context import Context
from quire.events.handler import GraphEvent, Handler, Opened
from quire.graph import changes
from quire.graph.dag import has
from quire.graph.roles import Role
from quire.graph.state import audience_members
from quire.handlers import graph_events, key

SELF, DIRECT, CHANNEL = "self", "direct", "channel"

#: How many people the kinds that never change have.
_FIXED = {SELF: 1, DIRECT: 2}


class AudienceEvent(GraphEvent):
    """The author makes an audience of `members` (root keys), its own identity among them."""

    kind: str
    members: list[str]


def change(o: Opened[AudienceEvent], _: bytes) -> changes.AnyChange:
    """A new audience, if it is of a kind and of as many different people as that has."""
    event = o.event
    people = set(event.members)
    sound = len(people) == len(event.members) and all(map(is_key, people))
    if not sound or event.kind not in (SELF, DIRECT, CHANNEL):
        return changes.Void()
    if event.kind in _FIXED and len(people) != _FIXED[event.kind]:
        return changes.Void()
    return changes.OpenAudience(tuple(event.members), event.kind in _FIXED)


def open_(ctx: Context, kind: str, members: Sequence[str]) -> str:
    """Make an audience and its first key; gives its id."""
    with ctx.home.store.transaction():
        made = ctx.change("audience", {"kind": kind, "members": list(members)})
        key.renew(ctx, made.event_id)
    return made.event_id


def between(ctx: Context, other: str) -> str | None:
    """The audience of this identity and another (or itself alone), if there is one.

    Two may have been made at the same time: both can be read, and everyone writes to the earlier dated one
    (while its key is not here yet, to the other).
    """
    wanted = {ctx.member.account_id, other}
    ledger, valid = ctx.graph.ledger, ctx.graph.valid
    found = [
        node
        for audience in ledger.audiences_of(ctx.member.account_id)
        if (node := ledger.node(audience)) is not None
        and has(valid, node)
        and isinstance(node.change, changes.OpenAudience)
        and node.change.fixed
        and set(node.change.members) == wanted
    ]
    found.sort(key=lambda node: node.key)
    usable = [node for node in found if is_key_held(ctx.home, ctx.member, node.event_id)]
    return (usable or found)[0].event_id if found else None


def direct(ctx: Context, other: str) -> str:
    """The audience of this identity and a member (or itself alone), made if need be. Raises UserError."""
    if ctx.graph.ledger.role(other, ctx.graph.valid) < Role.GUEST:
        raise NotFound("This person is not in this space any more, and could not read it.")
    return between(ctx, other) or open_(ctx, *_pair(ctx.member.account_id, other))


def own(ctx: Context) -> str:
    """The audience of this identity's own devices, made if need be."""
    mine = ctx.member.account_id
    return between(ctx, mine) or open_(ctx, *_pair(mine, mine))


def _pair(one: str, other: str) -> tuple[str, list[str]]:
    return (SELF, [one]) if one == other else (DIRECT, sorted((one, other)))


def members(ctx: Context, audience: str) -> list[str]:
    """Root keys of those who are in an audience now."""
    return audience_members(ctx.graph, audience)


def is_inside(ctx: Context, audience: str) -> bool:
    """Whether this identity is in an audience."""
    return ctx.graph.ledger.inside(audience, ctx.member.account_id, ctx.graph.valid)


def maker(ctx: Context, audience: str) -> str:
    """Who made an audience. Raises NotFound."""
    node = ctx.graph.ledger.node(audience)
    if node is None or not isinstance(node.change, changes.OpenAudience):
        raise NotFound("There is no such audience here.")
    return node.author


def check_inside(ctx: Context, audience: str, name: str) -> None:
    """Raises Refused unless this identity is in an audience, which people know as `name`."""
    if not is_inside(ctx, audience):
        raise Refused(f"You are not in the channel {name!r} any more: one of its members can add you again.")


HANDLER = Handler(
    type="audience",
    event=AudienceEvent,
    change=change,
    needs=graph_events.needs,
    provides=graph_events.provides,
)
