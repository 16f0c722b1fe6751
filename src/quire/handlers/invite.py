"""`invite`: a link by which others can join, within limits that every member's device upholds.

The log holds the invite's public key, its limits and who made it; the secret is in the link alone. The one
who made it keeps the secret in a local table, so that the link can be shown again.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from quire.core import qr
from quire.core.certificate import invite_key, inviter_holds, prove_inviter
from quire.core.encoding import from_text, is_key, to_text
from quire.core.keys import is_usable
from quire.core.ticket import Ticket, decode_link, encode_link, encode_web_link
from quire.errors import NotFound, UserError
from quire.events.context import Context
from quire.events.handler import GraphEvent, Handler, Opened, Operation
from quire.graph import changes
from quire.graph.dag import Node
from quire.graph.roles import Role
from quire.graph.rules import may_admit, may_hold, needed
from quire.handlers import graph_events, peer, relay
from quire.limits import (
    MAX_ADDRESSES,
    MAX_ADDRESSES_KEPT,
    MAX_INVITE_DAYS,
    MAX_INVITE_USES,
    MAX_TICKET_OTHERS,
    MAX_WELCOMES,
)

_Entry = TypeVar("_Entry")
_DAY_MS = 86_400_000
_UNITS = {"m": 60_000, "h": 3_600_000, "d": _DAY_MS, "w": 7 * _DAY_MS}


class InviteEvent(GraphEvent):
    """Up to `uses` people may join as `role` until `expires` (ms), proving the secret of `public`.

    `proof`: whoever made this knew it.
    """

    public: str
    proof: str
    role: str
    uses: int
    expires: int
    approve: bool


class Link(msgspec.Struct):
    """An invite link, to be handed on by any means that keeps it secret; `web` is the same for browsers.

    `addresses` are those in it; without any, who joins does not know where to find the inviter.
    """

    link: str
    web: str
    addresses: list[str]
    expires: int
    uses: int
    invite_id: str


class InviteEntry(msgspec.Struct):
    """An invite as the log tells of it; `state` is open, used, expired, revoked or `inviter gone`."""

    invite_id: str
    by: str
    role: str
    uses: int
    used: int
    expires: int
    approve: bool
    state: str
    ts: int


class Drawing(msgspec.Struct):
    """A QR code."""

    qr: str


def change(o: Opened[InviteEvent], space_id: bytes) -> changes.AnyChange:
    """An invite, if its key and limits are such, and the key is its author's own."""
    event = o.event
    role = graph_events.ROLES.get(event.role)
    if (
        role is None
        or not (is_key(event.public) and is_usable(from_text(event.public)))
        or not 1 <= event.uses <= MAX_INVITE_USES
        or event.expires < 0
        or not inviter_holds(event.public, to_text(space_id), event.author, event.proof)
    ):
        return changes.Void()
    return changes.Invite(event.public, role, event.uses, event.expires, event.approve)


def create(
    ctx: Context, uses: int = 1, expires: str = "7d", role: str = "member", approve: bool = False
) -> Link:
    """An invite link to this space: whoever has it can join, so hand it on in private.

    `uses` is for how many people, `expires` how long it holds (`30m`, `12h`, `7d`, `2w`), `role` what they become
    (`guest`, `member` or `admin`); with `approve` each is let in when a member confirms.
    """
    if not 1 <= uses <= MAX_INVITE_USES:
        raise UserError(f"An invite is for 1 to {MAX_INVITE_USES:,} people.")
    if role not in ("guest", "member", "admin"):
        raise UserError(f"An invite makes people `guest`, `member` or `admin`, not {role!r}.")
    until = ctx.now + duration_ms(expires)
    secret = ctx.home.entropy(32)
    with ctx.home.store.transaction():
        made = ctx.change(
            "invite",
            {
                "public": invite_key(secret).text,
                "proof": prove_inviter(secret, ctx.member.space_id, ctx.member.device),
                "role": role,
                "uses": uses,
                "expires": until,
                "approve": approve,
            },
        )
    member = ctx.member
    # With no node running: where the last one could be reached.
    last = ctx.home.store.memberships.addresses_of(member.account, member.device)
    addresses = list(ctx.addresses or last)[:MAX_ADDRESSES]
    ticket = Ticket(
        "join",
        member.raw_space_id,
        member.link_key,
        secret,
        from_text(member.device),
        addresses,
        member.name,
        _others(ctx),
        relay.to_hand_on(ctx),
    )
    return Link(encode_link(ticket), encode_web_link(ticket), addresses, until, uses, made.event_id)


def list_(ctx: Context) -> list[InviteEntry]:
    """The invites of this space, the newest first, and whether they still admit anybody."""
    ledger = ctx.graph.ledger
    names = peer.names(ctx)
    found = [_entry(ctx, node, names) for node in ledger.dag.each(ledger.invites() & ctx.graph.valid)]
    return sorted(found, key=lambda one: (-one.ts, one.invite_id))


def named(ctx: Context, invite_id: str) -> InviteEntry:
    """The one invite of this link (the first of `called`), or whose id begins like this. Raises NotFound."""
    return every_named(ctx, invite_id)[0]


def every_named(ctx: Context, invite_id: str) -> list[InviteEntry]:
    """All invites of this link, or the one whose id begins like this. Raises NotFound."""
    if "#" in invite_id:
        nodes = called(ctx, invite_key(decode_link(invite_id).secret).text)
        if not nodes:
            raise NotFound("No invite of this space has that link. `quire invite list` shows them all.")
        names = peer.names(ctx)
        return [_entry(ctx, node, names) for node in nodes]
    found = [one for one in list_(ctx) if one.invite_id.startswith(invite_id)] if invite_id else []
    if len(found) != 1:
        raise NotFound(
            f"{'Several invites begin' if found else 'No invite begins'} with {invite_id!r}. "
            "`quire invite list` shows them all."
        )
    return found


def _entry(ctx: Context, node: Node, names: Mapping[str, str]) -> InviteEntry:
    made = node.change
    assert isinstance(made, changes.Invite)
    valid = ctx.graph.valid
    slug = may_admit(ctx.graph.ledger, node, "", ctx.now, valid)
    return InviteEntry(
        invite_id=node.event_id,
        by=names.get(node.author, ""),
        role=graph_events.ROLE_NAMES[made.role],
        uses=made.uses,
        used=ctx.graph.ledger.seats_taken(node.event_id, "", valid, 0),
        expires=made.expires,
        approve=made.approve,
        state=_STATES.get(slug, "open"),
        ts=node.ts,
    )


def draw(ctx: Context, link: str, svg: bool = False) -> Drawing:
    """A link as a QR code: characters for a terminal, or with `svg` a picture."""
    decode_link(link)
    return Drawing(qr.as_svg(link, "Quire link") if svg else qr.as_terminal(link))


def _others(ctx: Context) -> list[tuple[bytes, str]]:
    """Devices of members that were reached lately, so that joining works while this one sleeps."""
    member = ctx.member
    known = ctx.home.store.memberships.addresses(member.account, member.space, MAX_ADDRESSES_KEPT)
    found: dict[str, str] = {}
    for device, address, reached in known:
        claim = ctx.graph.ledger.standing(device, ctx.graph.valid)
        if reached and device != member.device and claim is not None:
            found.setdefault(device, address)
    return [(from_text(device), address) for device, address in list(found.items())[:MAX_TICKET_OTHERS]]


def duration_ms(text: str) -> int:
    """Milliseconds of a duration such as `30m`, `12h`, `7d` or `2w`. Raises UserError."""
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit() and unit in _UNITS and len(number) <= 6):
        raise UserError(f"{text!r} is no length of time: write 30m, 12h, 7d or 2w.")
    length = int(number) * _UNITS[unit]
    if not 0 < length <= MAX_INVITE_DAYS * _DAY_MS:
        raise UserError(f"An invite holds for a minute at least, and for {MAX_INVITE_DAYS} days at most.")
    return length


#: Rule by which an invite admits nobody more → its state.
_STATES = {
    "invite-revoked": "revoked",
    "invite-expired": "expired",
    "invite-used": "used",
    "invite-inviter": "inviter gone",
}


def find(ctx: Context, public: str, member: str = "", now: int = 0) -> Node | None:
    """The invite with this public key, if one counts: of several the first of `called`."""
    return next(iter(called(ctx, public, member, now)), None)


def called(ctx: Context, public: str, member: str = "", now: int = 0) -> list[Node]:
    """The invites with this public key that count, the best for `member` at `now` (ms) first, on every device.

    Whoever has the link can make another of its key: so it is by no other that one lets in no more, or as less.
    """
    ledger, valid = ctx.graph.ledger, ctx.graph.valid

    def place(node: Node) -> tuple[bool, int, bool, tuple[int, str]]:
        made = node.change
        assert isinstance(made, changes.Invite)
        refused = may_admit(ledger, node, member, max(ctx.now, now), valid)
        return bool(refused), -made.role, made.approve, node.key

    nodes = [
        node
        for node in ledger.dag.each(ledger.invites() & valid)
        if isinstance(node.change, changes.Invite) and node.change.public == public
    ]
    return sorted(nodes, key=place)


def given(ctx: Context) -> dict[str, tuple[Role, str]]:
    """By public key: what an invite that counts makes of people, the most where there are several, and whose it is.

    Those whose maker would not be allowed to make them any more are left out.
    """
    ledger, valid = ctx.graph.ledger, ctx.graph.valid
    found: dict[str, tuple[Role, str]] = {}
    for node in sorted(ledger.dag.each(ledger.invites() & valid), key=lambda node: node.key):
        made = node.change
        assert isinstance(made, changes.Invite)
        stands = ledger.role(node.author, valid) >= needed(ledger, made, node.author)
        if stands and made.role > found.get(made.public, (Role.NONE, ""))[0]:
            found[made.public] = made.role, node.author
    return found


def unattended(ctx: Context) -> list[changes.Invite]:
    """The invites whose welcome can wait for whoever has the link, since nobody who was put out has it.

    Those who made it, or another of its key, or came by it, on each device: by a welcome they would read what is
    written after their time. Of each inviter as many, the newest first, MAX_WELCOMES in all.
    """
    ledger, valid = ctx.graph.ledger, ctx.graph.valid
    knowing: dict[str, set[str]] = {}
    for node in ledger.dag.each(ledger.invites()):
        came = {admit.change.device for admit in ledger.dag.each(ledger.let_in(node.event_id))}  # type: ignore[union-attr]
        knowing.setdefault(_made(node).public, {node.device}).update(came, {node.device})
    found = [
        node
        for node in sorted(ledger.dag.each(ledger.invites() & valid), key=lambda node: node.key, reverse=True)
        if not _made(node).approve
        and not may_admit(ledger, node, "", ctx.now, valid)
        and all(may_hold(ledger, "", device, valid) for device in knowing[_made(node).public])
    ]
    return [_made(node) for node in in_turn(found, lambda node: node.author)[:MAX_WELCOMES]]


def _made(node: Node) -> changes.Invite:
    assert isinstance(node.change, changes.Invite)
    return node.change


def in_turn(found: Sequence[_Entry], of: Callable[[_Entry], str]) -> list[_Entry]:
    """The first of each group, then the second of each, and so on."""
    turns, seen = list[tuple[int, int]](), Counter[str]()
    for number, one in enumerate(found):
        turns.append((seen[of(one)], number))
        seen[of(one)] += 1
    return [found[number] for _, number in sorted(turns)]


HANDLER = Handler(
    type="invite",
    event=InviteEvent,
    change=change,
    needs=graph_events.needs,
    provides=graph_events.provides,
    operations=(
        Operation("createInvite", create, ("invite",), writes=True),
        Operation("listInvites", list_, ("invite", "list")),
        Operation("drawQr", draw, ("qr",), ("link",), scope="home"),
    ),
)
