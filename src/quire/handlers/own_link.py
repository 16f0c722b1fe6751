"""The link by which an identity comes into a space: what is kept of it, and how far that has come.

Owns: what this device knows of its being in, or out, beside the graph. Must not know: letters, who answers them.
"""

from typing import NamedTuple

from quire.core.certificate import invite_key
from quire.core.encoding import to_text
from quire.core.ticket import Ticket
from quire.events.context import Context
from quire.graph.changes import Admit, Invite
from quire.graph.roles import Role
from quire.graph.rules import REASONS, may_hold
from quire.handlers import admit

#: Noted while a member has been asked, and has not refused.
ASKED = "waiting"
#: Noted once a welcome came: until the graph says the same, a truer one is taken.
WELCOMED = "welcomed"
#: Why a member lets nobody in by itself, beside the graph's rules.
REMOVED = "removed"
#: Told to who was let in by somebody who was removed at that time: others let it in by the same link.
FELL = "concurrent"
#: What is told where nobody said more.
_CUT_OFF = "cut-off"
_WORDS = {**REASONS, REMOVED: "who was removed comes back by a newer invite alone"}


class Kept(NamedTuple):
    """By what an identity comes in: its invite's secret, the inviter's device, what members last said of letting it in
    and of its being out, how far its log had come when it took the link, and whether it was in then, as far as it knew.
    """

    secret: bytes = b""
    inviter: str = ""
    reason: str = ""
    told: str = ""
    seq: int = 0
    was_in: bool = False

    @property
    def is_unanswered(self) -> bool:
        """Whether no member that was shown it has said yet that this identity is in."""
        return bool(self.secret) and self.reason != WELCOMED


def keep(ctx: Context, ticket: Ticket) -> None:
    """Take over a link, and where its inviter and others are found."""
    member, inviter = ctx.member, to_text(ticket.inviter)
    was_in = is_in(ctx) and not told(ctx)
    relays = "\n".join(one.text for one in ticket.relays)
    ctx.view("joining").write(
        "INSERT OR REPLACE INTO joining VALUES (?, ?, ?, ?, '', '', ?, ?, ?)",
        [(member.account, member.space, ticket.secret, inviter, relays, admit.log_height(ctx), was_in)],
    )
    places = [(inviter, address) for address in ticket.addresses]
    places += [(to_text(device), address) for device, address in ticket.others]
    for device, address in places:
        ctx.home.store.memberships.remember_address(member.account, member.space, device, address, 0)


def is_asking(ctx: Context) -> bool:
    """Whether this identity has a link to show to the next member that it reaches."""
    ticket = read(ctx)
    return ticket.is_unanswered and not _was_known(ctx, ticket)


def is_unsure(ctx: Context) -> bool:
    """Whether it has one to show, or a welcome alone says that it is in (whoever has the link can send one), or a
    member that who let it in had no right to any more.
    """
    ticket = read(ctx)
    if not ticket.secret or ticket.told == FELL:
        return bool(ticket.secret)
    if _was_known(ctx, ticket):
        return False
    public = invite_key(ticket.secret).text
    claims = ctx.graph.ledger.claims(ctx.member.device, ctx.graph.valid)
    found = [claim.node.change for claim in claims]
    return ticket.is_unanswered or not any(
        isinstance(change, Admit) and change.public == public for change in found
    )


def inviter(ctx: Context) -> str:
    """The device that let this identity in, or that its link names; "" for who came otherwise."""
    return read(ctx).inviter


def was_vain(ctx: Context, device: str) -> bool:
    """Whether a device has let this identity in when it had no right to any more, as a member says: it may not know."""
    ticket = read(ctx)
    return ticket.told == FELL and ticket.inviter == device


def own_invite(ctx: Context) -> str:
    """The public key of the invite that this identity comes by; "" for who came otherwise."""
    secret = read(ctx).secret
    return invite_key(secret).text if secret else ""


def is_unconfirmed(ctx: Context) -> bool:
    """Whether a welcome alone says so far that this identity is in, and nothing in its graph."""
    return is_unsure(ctx) and not is_asking(ctx) and not is_in(ctx)


def is_in(ctx: Context) -> bool:
    """Whether this device is a member's, as far as its own graph tells."""
    return may_hold(ctx.graph.ledger, "", ctx.member.device, ctx.graph.valid)


def is_out(ctx: Context) -> bool:
    """Whether this device was let in and is no member's any more, by its own graph."""
    ledger = ctx.graph.ledger
    every = ledger.claims(ctx.member.device, (1 << len(ledger.dag.nodes)) - 1)
    return bool(every) and not is_in(ctx)


def _was_known(ctx: Context, ticket: Kept) -> bool:
    """Whether a member took this link that its maker knew as one: then it lets nobody in, and nothing is to confirm.

    By what its maker knew: a device that was put out and has not heard of it lacks that invite, and asks. Only the
    maker's own invite says so, since whoever has the link can make one that builds on less.
    """
    if not ticket.was_in:
        return False
    graph, public = ctx.graph, invite_key(ticket.secret).text
    return any(
        isinstance(made.change, Invite)
        and made.change.public == public
        and made.device == ticket.inviter
        and may_hold(graph.ledger, "", ctx.member.device, made.past & graph.valid)
        for made in graph.ledger.dag.each(graph.ledger.invites())
    )


def read(ctx: Context) -> Kept:
    """What is kept of the link that this identity came by, or took last."""
    rows = ctx.view("joining").read(
        "SELECT secret, inviter, reason, told, seq, was_in FROM joining WHERE account = ? AND space = ?",
        (ctx.member.account, ctx.member.space),
    )
    return Kept(*rows[0]) if rows else Kept()


def told(ctx: Context) -> str:
    """Why this device is no member's any more, as a member told, in words; "" while members take it for one.

    One member's word: nothing is refused for it, or a liar could silence others.
    """
    slug = read(ctx).told
    return {REMOVED: "you were removed", _CUT_OFF: "this device was removed"}.get(slug, REASONS.get(slug, ""))


def outside(ctx: Context) -> str:
    """That this device is no member's any more, by the graph or a member's word; "" for who is in."""
    if _has_left(ctx):
        return "no member any more: you left"
    why = told(ctx)
    return f"no member any more, a member says: {why}" if why else ""


def left_as(ctx: Context) -> str:
    """`left` or `removed` where this device is no member's any more, as far as it knows; "" for who is in."""
    if _has_left(ctx):
        return "left"
    return "removed" if told(ctx) or is_out(ctx) or refusal(ctx) in (REMOVED, "banned") else ""


def _has_left(ctx: Context) -> bool:
    """Whether this identity is out of the space by its own word."""
    ledger, valid, mine = ctx.graph.ledger, ctx.graph.valid, ctx.member.account_id
    changed = [node for node, _ in ledger.role_changes(mine, valid)]
    return ledger.role(mine, valid) == Role.NONE and bool(changed) and changed[-1].author == mine


def hear_removed(ctx: Context) -> None:
    """A member says that this device was removed from the space; another may have told why."""
    if not told(ctx):
        note_told(ctx, _CUT_OFF)


def note_told(ctx: Context, slug: str) -> None:
    """Keep why a member says that this device is out; "" that it is in."""
    with ctx.home.store.transaction():
        ctx.view("joining").write(
            "INSERT INTO joining VALUES (?, ?, x'', '', '', ?, '', 0, 0)"
            " ON CONFLICT DO UPDATE SET told = excluded.told",
            [(ctx.member.account, ctx.member.space, slug)],
        )


def note(ctx: Context, reason: str) -> None:
    """Keep what a member answered to the link."""
    with ctx.home.store.transaction():
        ctx.view("joining").write(
            "UPDATE joining SET reason = ? WHERE account = ? AND space = ?",
            [(reason, ctx.member.account, ctx.member.space)],
        )


def refusal(ctx: Context) -> str:
    """The rule by which a member refused to let this identity in; "" when none has."""
    reason = read(ctx).reason
    return reason if is_asking(ctx) and reason != ASKED else ""


def state(ctx: Context) -> str:
    """Where joining stands, in words; "" for who is in."""
    if not is_asking(ctx):
        return ""
    if refused := refusal(ctx):
        return f"not let in: {_WORDS.get(refused, refused)}"
    ticket = read(ctx)
    if ticket.was_in:
        return "you are in, as far as this device knows; your newer link is shown to the next member that it reaches"
    asked = ticket.reason == ASKED
    return "waiting for a member to let you in" + (": a member has been asked" if asked else "")
