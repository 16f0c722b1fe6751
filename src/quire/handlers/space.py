"""`space`: the first event of a community, which founds it.

A space's id is a hash of its founder's root key, a salt and whether newcomers may read the past, so that
nobody else can claim to have founded it, and nobody can change what was promised to those who came first.
"""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from quire.core.certificate import Certificate, chain_holds, consent_holds
from quire.core.encoding import from_text, to_text
from quire.core.text import is_name
from quire.errors import UserError
from quire.events.context import Context
from quire.events.handler import GraphEvent, Handler, Opened, Operation
from quire.graph import changes
from quire.handlers import graph_events, identity, key, own_link, peer
from quire.limits import MAX_NAME_CHARS
from quire.store.memberships import FOUNDER
from quire.store.views import View

HISTORY_ALL, HISTORY_FROM_JOIN = "all", "from-join"


class SpaceEvent(GraphEvent):
    """`identity` founds the space `name`; its device, the author, is certified by `chain` and has agreed."""

    identity: str
    wrap: str
    chain: list[Certificate]
    consent: str
    name: str
    salt: str
    history: str


class Space(msgspec.Struct):
    """A space that an identity is in, was in, or asks to be let into."""

    space_id: str
    name: str
    identity: str
    #: How it came in (`founder`, `invited`), `joining` while it waits, or how it went (`left`, `removed`).
    kind: str


def space_id_of(founder: str, salt: str, history: str) -> str:
    """The id of the space founded by root key `founder` with a 16-byte salt. Raises ValueError."""
    promise = {HISTORY_ALL: b"\0", HISTORY_FROM_JOIN: b"\1"}.get(history)
    if promise is None:
        raise ValueError("no such promise")
    return to_text(sha256(b"quire space 2" + from_text(founder, 32) + from_text(salt, 16) + promise).digest())


def change(o: Opened[SpaceEvent], space_id: bytes) -> changes.AnyChange:
    """Founding, where id and certificates hold."""
    event = o.event
    try:
        sound = space_id_of(event.identity, event.salt, event.history) == to_text(space_id)
    except ValueError:
        sound = False
    if (
        sound
        and is_name(event.name, MAX_NAME_CHARS)
        and chain_holds(event.identity, event.author, event.wrap, event.chain)
        and consent_holds(event.identity, event.author, event.wrap, event.consent)
    ):
        return changes.Found(event.identity, event.wrap, event.history == HISTORY_FROM_JOIN)
    return changes.Void()


def project(view: View, batch: Sequence[Opened[SpaceEvent]]) -> None:
    """Keep what a founding says; whether it counts is for the graph."""
    view.write(
        "INSERT OR IGNORE INTO space_rows VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (o.account, o.space, o.number, o.event.identity, o.event.name, o.event.history, o.event.ts)
            for o in batch
        ],
    )


def create(ctx: Context, name: str, history: str = HISTORY_ALL) -> Space:
    """Found a space; this identity is its first member.

    `history`: what newcomers may read of the time before they came: `all`, or `from-join` for nothing.
    """
    identity.check_name(name)
    if history not in (HISTORY_ALL, HISTORY_FROM_JOIN):
        raise UserError(f"`history` is {HISTORY_ALL} or {HISTORY_FROM_JOIN}, not {history!r}.")
    home = ctx.home
    if any(name == member.name for member in home.store.memberships.of_account(ctx.account)):
        raise UserError(f"This identity already has a space called {name!r}. Choose another name.")
    salt = to_text(home.entropy(16))
    account_id = home.store.names.account_name(ctx.account)
    space_id = space_id_of(account_id, salt, history)
    with home.store.transaction():
        here = ctx.within(home.store.memberships.add(ctx.account, space_id, home.entropy(32), name, FOUNDER))
        first = key.first_key(here)
        here.change("space", {**identity.introduction(here), "name": name, "salt": salt, "history": history})
        key.announce(here, first)
        peer.create(here, identity.name_of(ctx))
    return Space(space_id, name, identity.name_of(ctx), FOUNDER)


def history_of(ctx: Context) -> str:
    """What newcomers may read: `all`, or `from-join`."""
    rows = ctx.view("space").read(
        "SELECT history FROM space_rows WHERE account = ? AND space = ? ORDER BY event",
        (ctx.account, ctx.member.space),
    )
    return str(rows[0][0]) if rows else HISTORY_ALL


def list_(ctx: Context) -> list[Space]:
    """The spaces that this identity is in, in the order it joined them."""
    name = identity.name_of(ctx)
    members = ctx.home.store.memberships.of_account(ctx.account)
    return [Space(m.space_id, m.name, name, own_link.left_as(ctx.within(m)) or m.kind) for m in members]


HANDLER = Handler(
    type="space",
    event=SpaceEvent,
    tables=("space_rows",),
    schema="""
CREATE TABLE space_rows (
    account INTEGER NOT NULL, space INTEGER NOT NULL, event INTEGER NOT NULL, founder TEXT NOT NULL,
    name TEXT NOT NULL, history TEXT NOT NULL, ts INTEGER NOT NULL, PRIMARY KEY (account, space, event)
) STRICT, WITHOUT ROWID;
""",
    project=project,
    change=change,
    needs=graph_events.needs_of_first,
    provides=graph_events.provides,
    operations=(
        Operation("createSpace", create, ("space", "create"), ("name",), writes=True, scope="identity"),
        Operation("listSpaces", list_, ("space", "list"), scope="identity"),
    ),
)
