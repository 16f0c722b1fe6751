"""`identity`: a person's key pair and name in this home; inviting others and joining them.

The event holds the public key and the name, in the identity's own log, which never leaves this home.
The private key is kept apart from all events, so that no rebuild, sync or export can ever carry it.
"""

from collections.abc import Sequence

import msgspec

from quire.core.encoding import from_text, to_text
from quire.core.event import Event
from quire.core.keys import DeviceKey, derive
from quire.core.sealing import KEY_ID_BYTES, key_id
from quire.core.text import is_name
from quire.errors import NotFound, Refused, UserError
from quire.events.context import Context
from quire.events.handler import Handler, Opened, Operation
from quire.events.ingest import ingest
from quire.handlers import outgoing, peer
from quire.handlers.invite_link import Invite, decode_link, encode_link
from quire.limits import MAX_ADDRESSES, MAX_NAME_CHARS
from quire.store.memberships import HOME, INVITED
from quire.store.views import View


class IdentityEvent(Event):
    """An identity of this home."""

    pubkey: str
    name: str


class Identity(msgspec.Struct):
    """An identity of this home: `pubkey` is its permanent address."""

    pubkey: str
    name: str


class Link(msgspec.Struct):
    """An invite link, to be handed on by any means that keeps it secret.

    `addresses` are those in it; without any, who joins does not know where to find the inviter.
    """

    link: str
    addresses: list[str]


class Joined(msgspec.Struct):
    """What `join` did: `identity` is in the space `name` now, invited by `inviter`."""

    space_id: str
    name: str
    identity: str
    inviter: str


def project(view: View, batch: Sequence[Opened[IdentityEvent]]) -> None:
    """Keep the identity of this very home that an event in its own log names; the latest tells the name."""
    view.write(
        "INSERT INTO identity_rows VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET name = excluded.name, ts = excluded.ts, seq = excluded.seq"
        " WHERE (excluded.ts, excluded.seq, excluded.name) > (ts, seq, name)",
        [
            (o.account, o.event.pubkey, o.event.name, o.event.ts, o.event.seq)
            for o in batch
            if o.event.pubkey == o.event.author == o.received_by
        ],
    )


def create(ctx: Context, name: str) -> Identity:
    """Make an identity: a key pair, and a log of its own in this home."""
    check_name(name)
    if any(name == other.name for other in list_(ctx)):
        raise UserError(f"There is already an identity called {name!r} here. Choose another name.")
    key = DeviceKey(ctx.home.entropy(32))
    memberships = ctx.home.store.memberships
    with ctx.home.store.transaction():
        account = memberships.add_account(key)
        space_id = to_text(derive(key.seed, "quire home log"))
        own = ctx.within(memberships.add(account, space_id, derive(key.seed, "quire home key"), name, HOME))
        own.append("identity", {"pubkey": key.text, "name": name})
        peer.create(own, name)
    return Identity(key.text, name)


def check_name(name: str) -> None:
    """Raises UserError unless `name` can be shown and typed."""
    if not is_name(name, MAX_NAME_CHARS):
        raise UserError(
            f"A name has 1 to {MAX_NAME_CHARS} characters, no control characters, and no space at its ends."
        )


def list_(ctx: Context) -> list[Identity]:
    """The identities of this home, oldest first."""
    rows = ctx.view("identity").read("SELECT pubkey, name FROM identity_rows ORDER BY account")
    return [Identity(pubkey, name) for pubkey, name in rows]


def name_of(ctx: Context) -> str:
    """The name of the identity acted for."""
    rows = ctx.view("identity").read("SELECT name FROM identity_rows WHERE account = ?", (ctx.account,))
    return str(rows[0][0]) if rows else ctx.home.store.names.account_name(ctx.account)


def account_called(ctx: Context, name: str) -> int:
    """The account of the identity with this name or public key. Raises NotFound."""
    rows = ctx.view("identity").read(
        "SELECT account FROM identity_rows WHERE name = ? OR pubkey = ?", (name, name)
    )
    if not rows:
        raise NotFound(
            f"There is no identity called {name!r} here. `quire identity list` shows those there are."
        )
    return int(rows[0][0])


def invite(ctx: Context) -> Link:
    """An invite link to this space: whoever has it can join, so hand it on in private."""
    member = ctx.member
    introduction = _own_introduction(ctx)
    # With no node running: where the last one could be reached.
    last = ctx.home.store.memberships.addresses_of(member.account, member.account_id)
    addresses = list(ctx.addresses or last)[:MAX_ADDRESSES]
    key, _ = member.epochs[member.current_epoch]
    with ctx.home.store.transaction():
        ctx.home.store.memberships.mark_invited(member)
    inviter = from_text(member.account_id)
    link = encode_link(
        Invite(member.raw_space_id, key, member.name, inviter, addresses, introduction[KEY_ID_BYTES:])
    )
    return Link(link, addresses)


def _own_introduction(ctx: Context) -> bytes:
    """This identity's own newest `peer` event in this space, as `key_id ‖ blob`."""
    member = ctx.member
    rows = ctx.view("peer").read(
        "SELECT event FROM peer_rows WHERE account = ? AND space = ? AND pubkey = ? ORDER BY ts, seq",
        (member.account, member.space, member.account_id),
    )
    row = ctx.home.store.blobs.read([rows[-1][0]])[0]
    return ctx.home.store.names.key_id(row.epoch) + row.sealed


def join(ctx: Context, link: str, name: str) -> Joined:
    """Join the space of an invite link as the identity called `name`, which is made if there is none.

    For who is in that space already, a newer link tells where the inviter is found now.
    """
    invite = decode_link(link)
    try:
        account = account_called(ctx, name)
    except NotFound:
        account = 0
    memberships = ctx.home.store.memberships
    space_id = to_text(invite.space_id)
    for member in memberships.of_account(account) if account else ():
        if member.space_id == space_id:
            return _meet_again(ctx.within(member), invite)
    if account and memberships.has_invited(account):
        raise Refused(
            f"{name!r} has invited others, and who has invited others does not join another space: "
            "join as a new identity, with another --name."
        )
    with ctx.home.store.transaction():
        account = account or account_called(ctx, create(ctx, name).name)
        here = ctx.within(memberships.add(account, space_id, invite.space_key, invite.space_name, INVITED))
        _meet_inviter(here, invite)
        introduction = peer.create(here, name_of(here))
        inviter = to_text(invite.inviter)
        outgoing.create(here, [inviter], [introduction.number])
    return Joined(space_id, invite.space_name, name, inviter)


def _meet_again(ctx: Context, invite: Invite) -> Joined:
    """A newer link to a space that one is in already: take over where its inviter is found now."""
    member = ctx.member
    inviter = to_text(invite.inviter)
    if inviter == member.account_id:
        raise UserError("This is your own invite link: hand it on to whoever is to join.")
    with ctx.home.store.transaction():
        _meet_inviter(ctx, invite)
    return Joined(member.space_id, member.name, member.identity_name, inviter)


def _meet_inviter(ctx: Context, invite: Invite) -> None:
    """Take in the inviter's introduction and remember where to reach them."""
    member = ctx.member
    sealed = key_id(invite.space_key) + invite.introduction
    report = ingest(ctx.home, member, [sealed], "invite", ctx.now)
    inviter = to_text(invite.inviter)
    if report.blocked and not report.rejected:
        raise UserError(
            "This device's clock is more than five minutes behind the inviter's. Set it right, and join again."
        )
    if report.rejected or inviter not in peer.names(ctx):
        raise UserError("This invite link is damaged: it does not introduce the inviter. Ask for a new one.")
    for address in invite.addresses:
        ctx.home.store.memberships.remember_address(member.account, member.space, inviter, address, 0)


HANDLER = Handler(
    type="identity",
    event=IdentityEvent,
    tables=("identity_rows",),
    schema="""
CREATE TABLE identity_rows (
    account INTEGER PRIMARY KEY, pubkey TEXT NOT NULL, name TEXT NOT NULL, ts INTEGER NOT NULL, seq INTEGER NOT NULL
) STRICT;
""",
    project=project,
    operations=(
        Operation("createIdentity", create, ("identity", "create"), ("name",), writes=True, scope="home"),
        Operation("listIdentities", list_, ("identity", "list"), scope="home"),
        Operation("createInvite", invite, ("invite",), writes=True),
        Operation("joinSpace", join, ("join",), ("link",), writes=True, scope="home"),
    ),
)
