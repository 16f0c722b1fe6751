"""Joining: from a link to membership, by letters between the newcomer's device and any member's.

The newcomer's device asks each member that it reaches until one lets it in, and keeps asking across restarts.
A member's device answers from the graph: with the space's key, or with the rule that refuses. Two identities
of one home settle it at once.
"""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from quire.core.certificate import invite_key, invite_wrap_key
from quire.core.encoding import from_text, to_text
from quire.core.keys import agreement_public
from quire.core.ticket import Ticket, decode_link
from quire.core.wrapping import WrapKey, open_from, seal_to
from quire.errors import BadEvent, NotFound, Refused, UserError
from quire.events import keyring
from quire.events.context import Context
from quire.events.handler import Handler, Operation
from quire.events.history import closed_to
from quire.graph.changes import Admit, Invite
from quire.graph.roles import Role
from quire.graph.rules import may_admit, may_hold
from quire.graph.state import current_key, holders, lost_seat
from quire.handlers import admit, admit_letter, identity, incoming, invite, key, own_link, peer, request
from quire.handlers.admit import Request
from quire.handlers.admit_letter import BECAUSE, REFUSAL, REQUEST, WAIT, WELCOME, WHY, Welcome
from quire.limits import ANSWER_RANKS, INGEST_BATCH
from quire.store.memberships import INVITED, JOINING, Membership

_WELCOME_DOMAIN = b"quire welcome 1"


class Joined(msgspec.Struct):
    """What `join` did: `identity` is in the space `name`, or `waiting` until a member has let it in."""

    space_id: str
    name: str
    identity: str
    inviter: str
    waiting: bool
    #: Why not yet, or not at all, as far as a member has said.
    reason: str
    #: Whether it was in before, as far as this device knows: then the link gives no seat and no role.
    already: bool = False


def join(ctx: Context, link: str, name: str) -> Joined:
    """Join the space of an invite link as the identity called `name`, which is made if there is none.

    For who is in that space already, a newer link tells where the inviter is found now, and gives no other role.
    """
    ticket = decode_link(link)
    if ticket.kind != "join":
        raise UserError("That link is for a further device of one's own: give it to `quire device join`.")
    try:
        account = identity.account_called(ctx, name)
    except NotFound:
        account = 0
    space_id = to_text(ticket.space_id)
    memberships = ctx.home.store.memberships
    for member in memberships.of_account(account) if account else ():
        if member.space_id == space_id:
            return _again(ctx.within(member), ticket)
    with ctx.home.store.transaction():
        account = account or identity.account_called(ctx, identity.create(ctx, name).name)
        here = ctx.within(memberships.add(account, space_id, ticket.link_key, ticket.name, JOINING))
        own_link.keep(here, ticket)
        _ask_at_home(here)
        return _joined(here)


def _again(ctx: Context, ticket: Ticket) -> Joined:
    """A newer link to a space that one is in, waits for, or was in: take over where its inviter is found now.

    It is shown to the next member in any case: who was removed may not have heard of it.
    """
    if to_text(ticket.inviter) == ctx.member.device:
        raise UserError("This is your own invite link: hand it on to whoever is to join.")
    with ctx.home.store.transaction():
        own_link.keep(ctx, ticket)
        _ask_at_home(ctx)
    return _joined(ctx)


def _joined(ctx: Context) -> Joined:
    member, ticket, waiting = ctx.member, own_link.read(ctx), own_link.is_asking(ctx)
    reason = ticket.reason if waiting else ""
    return Joined(
        member.space_id, member.name, member.identity_name, ticket.inviter, waiting, reason, ticket.was_in
    )


def give_up(ctx: Context) -> None:
    """Forget a space that one asked to be let into; the identity stays."""
    member = ctx.member
    with ctx.home.store.transaction():
        ctx.view("joining").write(
            "DELETE FROM joining WHERE account = ? AND space = ?", [(member.account, member.space)]
        )
        ctx.home.store.memberships.remove(member)


def _own_request(ctx: Context) -> Request:
    ticket = own_link.read(ctx)
    # What was written since the link was taken, by a welcome that waited for it, is to count.
    return admit.request(ctx, ticket.secret, ctx.member.identity_name, ticket.seq)


def _ask_at_home(ctx: Context) -> None:
    """Ask the members among this home's other identities."""
    for other in ctx.home.store.memberships.all():
        if other.space == ctx.member.space and other.kind != JOINING and other.account != ctx.member.account:
            asked = REQUEST + admit_letter.pack_request(_own_request(ctx))
            for letter in answer(ctx.within(other), ctx.member.device, asked):
                answer(ctx, other.device, letter)
            if not own_link.is_asking(ctx):
                _hand_over(ctx, other)
                return


def _hand_over(ctx: Context, other: Membership) -> None:
    """Give who was let in the membership graph and the first events at once; the rest follows while a node runs."""
    store = ctx.home.store
    closed = closed_to(ctx.home, other.account, other.space, ctx.member.device)
    numbers = [row.event for row in store.graph.events(other.account, other.space)]
    numbers += [row.n for row, _ in store.blobs.held_after(other.account, other.space, 0, INGEST_BATCH)]
    rows = store.blobs.read(sorted(dict.fromkeys(numbers)))
    records = [store.names.key_id(row.epoch) + row.sealed for row in rows if row.epoch not in closed]
    incoming.receive(ctx.home, ctx.member, records, other.device, ctx.now)


# --- letters


def greet(ctx: Context, _: str) -> Sequence[bytes]:
    """What a newcomer says to every device that it reaches."""
    if not own_link.is_unsure(ctx):
        return []
    return [REQUEST + admit_letter.pack_request(_own_request(ctx))]


def answer(ctx: Context, device: str, letter: bytes) -> Sequence[bytes]:
    """Answer a letter from another device. Raises BadEvent for what is none."""
    kind, body = letter[:1], letter[1:]
    if kind in (REQUEST, WHY) and own_link.is_out(ctx):
        return []  # nobody syncs with it, so that it does not hear who was put out since
    if kind == REQUEST and ctx.member.kind != JOINING:
        return [_answer_request(ctx, device, admit_letter.unpack_request(body))]
    if kind == WHY and ctx.member.kind != JOINING:
        slug = _why_out(ctx, device)
        return [BECAUSE + slug.encode()] if slug else []
    if kind == BECAUSE and not own_link.is_unsure(ctx):
        own_link.note_told(ctx, body[:64].decode("ascii", "replace"))
    elif kind == WELCOME and own_link.is_unsure(ctx) and not own_link.was_vain(ctx, device):
        _enter_by_letter(ctx, device, body)
    elif (kind == WAIT and own_link.is_asking(ctx)) or (kind == REFUSAL and own_link.is_unsure(ctx)):
        own_link.note(ctx, own_link.ASKED if kind == WAIT else body[:64].decode("ascii", "replace"))
    return []


def _why_out(ctx: Context, device: str) -> str:
    """The rule by which a device that was let in by somebody is no member's; "" when it is, or was never heard of."""
    ledger, valid = ctx.graph.ledger, ctx.graph.valid
    every = ledger.claims(device, (1 << len(ledger.dag.nodes)) - 1)
    if not every or may_hold(ledger, "", device, valid):
        return ""
    last = every[-1]
    if ledger.role(last.member, valid) == Role.BANNED:
        return "banned"
    lost = lost_seat(ctx.graph, last.node.event_id) if isinstance(last.node.change, Admit) else ""
    return lost if lost not in ("", "waiting") else own_link.REMOVED


def _answer_request(ctx: Context, device: str, asked: Request) -> bytes:
    if asked.device != device or not admit.is_sound(asked, ctx.member.space_id):
        raise BadEvent("bad-request")
    ledger, valid = ctx.graph.ledger, ctx.graph.valid
    claim = ledger.standing(asked.device, valid)
    if (
        claim is not None
        and claim.member == asked.identity
        and ledger.role(claim.member, valid) >= Role.GUEST
    ):
        return _welcome(ctx, asked)  # the last answer was lost
    made = invite.find(ctx, asked.invite, asked.identity, _latest(ctx))
    if made is None:
        return WAIT  # made on a device that this one has not heard of yet
    assert isinstance(made.change, Invite)
    slug = "banned" if ledger.role(asked.identity, valid) == Role.BANNED else ""
    slug = slug or may_admit(ledger, made, asked.identity, _latest(ctx), valid)
    put_out = not made.change.approve and ledger.removed_since(asked.identity, made, valid)
    if not slug and (put_out or admit.has_left_since(ctx, asked)):
        slug = own_link.REMOVED
    if slug:
        return REFUSAL + slug.encode()
    if made.change.approve:
        request.create(ctx, asked)
        return WAIT
    return _admit(ctx, made.event_id, asked)


def _latest(ctx: Context) -> int:
    """The time (ms), also where our clock is behind: what others have written was written before now."""
    member, home = ctx.member, ctx.home
    own = home.store.names.device_number(member.space, member.device)
    return max(ctx.now, home.store.blobs.newest(member.account, member.space, own))


def _admit(ctx: Context, made: str, asked: Request) -> bytes:
    try:
        with ctx.home.store.transaction():
            admit.create(ctx, made, asked)
            key.hand_over(ctx)
    except Refused:
        return WAIT  # this identity may not let in (a guest, or removed): others may
    return _welcome(ctx, asked)


def _welcome(ctx: Context, asked: Request) -> bytes:
    """The space's present key, sealed for a newcomer who has been let in.

    Where newcomers do not get what was written before, it must have been made for them: else somebody else's is.
    """
    current = current_key(ctx.graph, "")
    if ctx.member.from_join and current is not None and asked.device not in holders(ctx.graph, current):
        return WAIT
    welcome = _present(ctx)
    if welcome is None:
        return WAIT
    data = msgspec.msgpack.encode(welcome)
    return WELCOME + seal_to(from_text(asked.wrap), data, ctx.home.entropy(32), _context(ctx, asked.device))


def _present(ctx: Context) -> Welcome | None:
    """The space's present key, and what leads to those before; None while it is not held."""
    current = current_key(ctx.graph, "")
    name = current.change.name if current is not None else ""  # type: ignore[union-attr]
    content = keyring.held_key(ctx.home, ctx.member, "", name)
    first = keyring.first_control(ctx.home, ctx.member, ctx.graph)
    if content is None or first is None:
        return None
    return Welcome(ctx.member.name, content, first.key, first.name)


def _context(ctx: Context, public: str) -> bytes:
    return _WELCOME_DOMAIN + ctx.member.raw_space_id + from_text(public)


def welcomes_ahead(ctx: Context) -> list[Invite]:
    """The invites whose welcome can wait for a newcomer: open ones, by which nobody has to be asked.

    None where newcomers do not get what was written before: their key is made when they come.
    """
    if own_link.is_out(ctx) or ctx.member.from_join or not admit.may_let_in(ctx):
        return []
    return invite.unattended(ctx)


def rank(ctx: Context, about: bytes) -> int:
    """How many devices of members come before this one in what one of them should do, up to ANSWER_RANKS.

    Another order for each thing that it is about.
    """
    rows = ctx.home.store.db.all(
        "SELECT d.device FROM member_devices AS m JOIN devices AS d ON d.n = m.device"
        " WHERE m.account = ? AND m.space = ? AND m.standing",
        (ctx.member.account, ctx.member.space),
    )
    places = {str(device): sha256(about + str(device).encode()).digest() for (device,) in rows}
    mine = places.get(ctx.member.device, b"")
    return min(sum(place < mine for place in places.values()), ANSWER_RANKS)


def is_inviter(ctx: Context, public: str) -> bool:
    """Whether this device made the invite with this public key."""
    return any(made.device == ctx.member.device for made in invite.called(ctx, public))


def key_name(ctx: Context) -> str:
    """The public name of the space's present key; "" while it is not held."""
    welcome = _present(ctx)
    return "" if welcome is None else keyring.name_of(welcome.key)


def welcome_ahead(ctx: Context, public: str) -> bytes:
    """A welcome for whoever holds the secret of this invite. Raises NotFound while the present key is not held."""
    welcome = _present(ctx)
    if welcome is None:
        raise NotFound("The present key of this space is not here yet.")
    to = agreement_public(from_text(public, 32))
    return seal_to(to, msgspec.msgpack.encode(welcome), ctx.home.entropy(32), _context(ctx, public))


def enter_ahead(ctx: Context, sealed: bytes) -> None:
    """Take a welcome that waited for whoever has this link. Raises BadEvent for what is none."""
    ticket = own_link.read(ctx)
    key = invite_wrap_key(ticket.secret)
    _enter(ctx, ticket.inviter, open_from(sealed, key, _context(ctx, invite_key(ticket.secret).text)))


def _enter_by_letter(ctx: Context, device: str, body: bytes) -> None:
    member = ctx.member
    _enter(ctx, device, open_from(body, WrapKey(member.device_key.seed), _context(ctx, member.device)))


def _enter(ctx: Context, device: str, data: bytes) -> None:
    """Take the key from a welcome: from now on this device reads and writes."""
    member = ctx.member
    welcome = admit_letter.unpack_welcome(data)
    held = keyring.handed(welcome.key, welcome.first, welcome.first_name)
    with ctx.home.store.transaction():
        ctx.home.store.memberships.set_kind(member, INVITED, member.name)
        keyring.hold(ctx.home, member, ctx.graph, held)
        keyring.write_under(ctx.home, member, welcome.key)
        own_link.note_told(ctx, "")
        if not own_link.is_in(ctx):  # who is in already was not let in by whoever says so once more
            ctx.view("joining").write(
                "UPDATE joining SET inviter = ? WHERE account = ? AND space = ?",
                [(device, member.account, member.space)],
            )
        if own_link.read(ctx).is_unanswered:
            own_link.note(ctx, own_link.WELCOMED)
            if not peer.has_introduced(ctx, member.identity_name):
                peer.create(ctx, member.identity_name)


HANDLER = Handler(
    type="joining",
    local=True,
    tables=("joining",),
    schema="""
CREATE TABLE joining (
    account INTEGER NOT NULL, space INTEGER NOT NULL, secret BLOB NOT NULL, inviter TEXT NOT NULL,
    reason TEXT NOT NULL, told TEXT NOT NULL, relays TEXT NOT NULL,
    seq INTEGER NOT NULL, was_in INTEGER NOT NULL, PRIMARY KEY (account, space)
) STRICT, WITHOUT ROWID;
""",
    greets=greet,
    answers=answer,
    operations=(Operation("joinSpace", join, ("join",), ("link",), writes=True, scope="home"),),
)
