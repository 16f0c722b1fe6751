"""Joining: from a link to membership, by letters between the newcomer's device and any member's.

The newcomer's device asks each member that it reaches until one lets it in, and keeps asking across restarts.
A member's device answers from the graph: with the space's key, or with the rule that refuses. Two identities
of one home settle it at once.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

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
from quire.graph.rules import REASONS, may_admit
from quire.graph.state import current_key, holders, lost_seat
from quire.handlers import admit, admit_letter, identity, incoming, invite, key, peer, request
from quire.handlers.admit import Request
from quire.handlers.admit_letter import BECAUSE, REFUSAL, REQUEST, WAIT, WELCOME, WHY, Welcome
from quire.limits import ANSWER_RANKS, INGEST_BATCH
from quire.store.memberships import INVITED, JOINING, Membership

#: Noted while a member has been asked, and has not refused.
_ASKED = "waiting"
#: Noted once a welcome came: until the graph says the same, a truer one is taken.
_WELCOMED = "welcomed"
#: Why a member lets nobody in by itself, beside the graph's rules.
_REMOVED = "removed"
#: Told to who was let in by somebody who was removed at that time: others let it in by the same link.
_FELL = "concurrent"
#: What is told where nobody said more.
_CUT_OFF = "cut-off"
_REASONS = {**REASONS, _REMOVED: "who was removed comes back by a newer invite alone"}
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


def join(ctx: Context, link: str, name: str) -> Joined:
    """Join the space of an invite link as the identity called `name`, which is made if there is none.

    For who is in that space already, a newer link tells where the inviter is found now.
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
        _keep(here, ticket)
        _ask_at_home(here)
        return _joined(here)


def _again(ctx: Context, ticket: Ticket) -> Joined:
    """A newer link to a space that one is in, waits for, or was in: take over where its inviter is found now.

    It is shown to the next member in any case: who was removed may not have heard of it.
    """
    if to_text(ticket.inviter) == ctx.member.device:
        raise UserError("This is your own invite link: hand it on to whoever is to join.")
    with ctx.home.store.transaction():
        _keep(ctx, ticket)
        _ask_at_home(ctx)
    return _joined(ctx)


def _keep(ctx: Context, ticket: Ticket) -> None:
    member, inviter = ctx.member, to_text(ticket.inviter)
    relays = "\n".join(one.text for one in ticket.relays)
    ctx.view("joining").write(
        "INSERT OR REPLACE INTO joining VALUES (?, ?, ?, ?, '', '', ?, ?)",
        [(member.account, member.space, ticket.secret, inviter, relays, admit.log_height(ctx))],
    )
    places = [(inviter, address) for address in ticket.addresses]
    places += [(to_text(device), address) for device, address in ticket.others]
    for device, address in places:
        ctx.home.store.memberships.remember_address(member.account, member.space, device, address, 0)


def _joined(ctx: Context) -> Joined:
    member, ticket = ctx.member, _ticket(ctx)
    reason = ticket.reason if ticket.is_asking else ""
    return Joined(
        member.space_id, member.name, member.identity_name, ticket.inviter, ticket.is_asking, reason
    )


def give_up(ctx: Context) -> None:
    """Forget a space that one asked to be let into; the identity stays."""
    member = ctx.member
    with ctx.home.store.transaction():
        ctx.view("joining").write(
            "DELETE FROM joining WHERE account = ? AND space = ?", [(member.account, member.space)]
        )
        ctx.home.store.memberships.remove(member)


def is_asking(ctx: Context) -> bool:
    """Whether this identity has a link to show to the next member that it reaches."""
    return _ticket(ctx).is_asking


def is_unsure(ctx: Context) -> bool:
    """Whether it has one to show, or a welcome alone says that it is in (whoever has the link can send one), or a
    member that who let it in had no right to any more.
    """
    ticket = _ticket(ctx)
    if not ticket.secret or ticket.is_asking or ticket.told == _FELL:
        return bool(ticket.secret)
    public = invite_key(ticket.secret).text
    claims = ctx.graph.ledger.claims(ctx.member.device, ctx.graph.valid)
    found = [claim.node.change for claim in claims]
    return not any(isinstance(change, Admit) and change.public == public for change in found)


def inviter(ctx: Context) -> str:
    """The device that let this identity in, or that its link names; "" for who came otherwise."""
    return _ticket(ctx).inviter


def own_invite(ctx: Context) -> str:
    """The public key of the invite that this identity comes by; "" for who came otherwise."""
    secret = _ticket(ctx).secret
    return invite_key(secret).text if secret else ""


class _Ticket(NamedTuple):
    """By what an identity comes in: its invite's secret, the inviter's device, what members last said of letting it in
    and of its being out, and how far its log had come when it took the link.
    """

    secret: bytes = b""
    inviter: str = ""
    reason: str = ""
    told: str = ""
    seq: int = 0

    @property
    def is_asking(self) -> bool:
        """Whether it is still to be shown to the next member that is reached."""
        return bool(self.secret) and self.reason != _WELCOMED


def _ticket(ctx: Context) -> _Ticket:
    rows = ctx.view("joining").read(
        "SELECT secret, inviter, reason, told, seq FROM joining WHERE account = ? AND space = ?",
        (ctx.member.account, ctx.member.space),
    )
    return _Ticket(*rows[0]) if rows else _Ticket()


def _own_request(ctx: Context) -> Request:
    ticket = _ticket(ctx)
    # What was written since the link was taken, by a welcome that waited for it, is to count.
    return admit.request(ctx, ticket.secret, ctx.member.identity_name, ticket.seq)


def _ask_at_home(ctx: Context) -> None:
    """Ask the members among this home's other identities."""
    for other in ctx.home.store.memberships.all():
        if other.space == ctx.member.space and other.kind != JOINING and other.account != ctx.member.account:
            asked = REQUEST + admit_letter.pack_request(_own_request(ctx))
            for letter in answer(ctx.within(other), ctx.member.device, asked):
                answer(ctx, other.device, letter)
            if not is_asking(ctx):
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
    if not is_unsure(ctx):
        return []
    return [REQUEST + admit_letter.pack_request(_own_request(ctx))]


def answer(ctx: Context, device: str, letter: bytes) -> Sequence[bytes]:
    """Answer a letter from another device. Raises BadEvent for what is none."""
    kind, body = letter[:1], letter[1:]
    if kind == REQUEST and ctx.member.kind != JOINING:
        return [_answer_request(ctx, device, admit_letter.unpack_request(body))]
    if kind == WHY and ctx.member.kind != JOINING:
        slug = _why_out(ctx, device)
        return [BECAUSE + slug.encode()] if slug else []
    if kind == BECAUSE and not is_unsure(ctx):
        _note_told(ctx, body[:64].decode("ascii", "replace"))
    elif kind == WELCOME and is_unsure(ctx):
        _enter_by_letter(ctx, device, body)
    elif (kind == WAIT and is_asking(ctx)) or (kind == REFUSAL and is_unsure(ctx)):
        _note(ctx, _ASKED if kind == WAIT else body[:64].decode("ascii", "replace"))
    return []


def _why_out(ctx: Context, device: str) -> str:
    """The rule by which a device that was let in by somebody is no member's; "" when it is, or was never heard of."""
    ledger, valid = ctx.graph.ledger, ctx.graph.valid
    every = ledger.claims(device, (1 << len(ledger.dag.nodes)) - 1)
    claim = ledger.standing(device, valid)
    if not every or (claim is not None and ledger.role(claim.member, valid) >= Role.GUEST):
        return ""
    last = every[-1]
    if ledger.role(last.member, valid) == Role.BANNED:
        return "banned"
    lost = lost_seat(ctx.graph, last.node.event_id) if isinstance(last.node.change, Admit) else ""
    return lost if lost not in ("", "waiting") else _REMOVED


def told(ctx: Context) -> str:
    """Why this device is no member's any more, as a member told, in words; "" while members take it for one.

    One member's word: nothing is refused for it, or a liar could silence others.
    """
    slug = _ticket(ctx).told
    return {_REMOVED: "you were removed", _CUT_OFF: "this device was removed"}.get(
        slug, REASONS.get(slug, "")
    )


def outside(ctx: Context) -> str:
    """That this device is no member's any more, by the graph or a member's word; "" for who is in."""
    if _has_left(ctx):
        return "no member any more: you left"
    why = told(ctx)
    return f"no member any more, a member says: {why}" if why else ""


def _has_left(ctx: Context) -> bool:
    """Whether this identity is out of the space by its own word."""
    ledger, valid, mine = ctx.graph.ledger, ctx.graph.valid, ctx.member.account_id
    changed = [node for node, _ in ledger.role_changes(mine, valid)]
    return ledger.role(mine, valid) == Role.NONE and bool(changed) and changed[-1].author == mine


def hear_removed(ctx: Context) -> None:
    """A member says that this device was removed from the space; another may have told why."""
    if not told(ctx):
        _note_told(ctx, _CUT_OFF)


def hear_accepted(ctx: Context) -> None:
    """A member takes this device for a member's: whatever was told before."""
    if told(ctx):
        _note_told(ctx, "")


def _note_told(ctx: Context, slug: str) -> None:
    with ctx.home.store.transaction():
        ctx.view("joining").write(
            "INSERT INTO joining VALUES (?, ?, x'', '', '', ?, '', 0) ON CONFLICT DO UPDATE SET told = excluded.told",
            [(ctx.member.account, ctx.member.space, slug)],
        )


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
        slug = _REMOVED
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
    if ctx.member.from_join or ctx.graph.ledger.role(ctx.member.account_id, ctx.graph.valid) < Role.MEMBER:
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
    ticket = _ticket(ctx)
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
        _note_told(ctx, "")
        ctx.view("joining").write(
            "UPDATE joining SET inviter = ? WHERE account = ? AND space = ?",
            [(device, member.account, member.space)],
        )
        if is_asking(ctx):
            _note(ctx, _WELCOMED)
            if not peer.has_introduced(ctx, member.identity_name):
                peer.create(ctx, member.identity_name)


def _note(ctx: Context, reason: str) -> None:
    with ctx.home.store.transaction():
        ctx.view("joining").write(
            "UPDATE joining SET reason = ? WHERE account = ? AND space = ?",
            [(reason, ctx.member.account, ctx.member.space)],
        )


def refusal(ctx: Context) -> str:
    """The rule by which a member refused to let this identity in; "" when none has."""
    ticket = _ticket(ctx)
    return ticket.reason if ticket.is_asking and ticket.reason != _ASKED else ""


def state(ctx: Context) -> str:
    """Where joining stands, in words; "" for who is in."""
    if not is_asking(ctx):
        return ""
    if refused := refusal(ctx):
        return f"not let in: {_REASONS.get(refused, refused)}"
    asked = _ticket(ctx).reason == _ASKED
    return "waiting for a member to let you in" + (": a member has been asked" if asked else "")


HANDLER = Handler(
    type="joining",
    local=True,
    tables=("joining",),
    schema="""
CREATE TABLE joining (
    account INTEGER NOT NULL, space INTEGER NOT NULL, secret BLOB NOT NULL, inviter TEXT NOT NULL,
    reason TEXT NOT NULL, told TEXT NOT NULL, relays TEXT NOT NULL,
    seq INTEGER NOT NULL, PRIMARY KEY (account, space)
) STRICT, WITHOUT ROWID;
""",
    greets=greet,
    answers=answer,
    operations=(Operation("joinSpace", join, ("join",), ("link",), writes=True, scope="home"),),
)
