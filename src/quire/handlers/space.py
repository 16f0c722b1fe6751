"""`space`: the first event of a community, which founds it.

A space's id is a hash of its founder's key and a salt, so that nobody else can claim to have founded it.
In this first form a space is that id and a 32-byte key shared by all who were invited.
"""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from quire.core.encoding import from_text, to_text
from quire.core.event import Event
from quire.errors import UserError
from quire.events.context import Context
from quire.events.handler import Handler, Opened, Operation
from quire.handlers import identity, peer
from quire.store.memberships import FOUNDER
from quire.store.views import View


class SpaceEvent(Event):
    """`author` founds the space whose id is `space_id_of(author, salt)`."""

    name: str
    salt: str


class Space(msgspec.Struct):
    """A space that an identity is in."""

    space_id: str
    name: str
    identity: str
    kind: str


def space_id_of(founder: str, salt: str) -> str:
    """The id of the space founded by public key `founder` with a 16-byte salt. Raises ValueError."""
    return to_text(sha256(b"quire space 1" + from_text(founder, 32) + from_text(salt, 16)).digest())


def project(view: View, batch: Sequence[Opened[SpaceEvent]]) -> None:
    """Keep the founding, under the id that follows from founder and salt."""
    rows = []
    for o in batch:
        try:
            space_id = space_id_of(o.event.author, o.event.salt)
        except ValueError:
            continue
        rows.append((o.account, o.space, o.number, space_id, o.event.author, o.event.name, o.event.ts))
    view.write("INSERT OR IGNORE INTO space_rows VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def create(ctx: Context, name: str) -> Space:
    """Found a space; this identity is its first member."""
    identity.check_name(name)
    home = ctx.home
    if any(name == member.name for member in home.store.memberships.of_account(ctx.account)):
        raise UserError(f"This identity already has a space called {name!r}. Choose another name.")
    salt = to_text(home.entropy(16))
    account_id = home.store.names.account_name(ctx.account)
    space_id = space_id_of(account_id, salt)
    with home.store.transaction():
        member = home.store.memberships.add(ctx.account, space_id, home.entropy(32), name, FOUNDER)
        here = ctx.within(member)
        here.append("space", {"name": name, "salt": salt})
        peer.create(here, identity.name_of(ctx))
    return Space(space_id, name, identity.name_of(ctx), FOUNDER)


def list_(ctx: Context) -> list[Space]:
    """The spaces that this identity is in, in the order it joined them."""
    name = identity.name_of(ctx)
    return [
        Space(m.space_id, m.name, name, m.kind) for m in ctx.home.store.memberships.of_account(ctx.account)
    ]


HANDLER = Handler(
    type="space",
    event=SpaceEvent,
    tables=("space_rows",),
    schema="""
CREATE TABLE space_rows (
    account INTEGER NOT NULL, space INTEGER NOT NULL, event INTEGER NOT NULL, space_id TEXT NOT NULL,
    founder TEXT NOT NULL, name TEXT NOT NULL, ts INTEGER NOT NULL, PRIMARY KEY (account, space, event)
) STRICT, WITHOUT ROWID;
CREATE VIEW auth_graph (event_id, subject, action, author_user, ts, account_id, space_id) AS
SELECT b.event_id, f.space_id, 'found', f.founder, f.ts, a.account_id, s.space_id
FROM space_rows AS f
JOIN spaces AS s ON s.n = f.space AND s.space_id = f.space_id
JOIN blobs AS b ON b.n = f.event JOIN accounts AS a ON a.n = f.account
UNION ALL
SELECT b.event_id, p.pubkey, 'introduce', p.pubkey, p.ts, a.account_id, s.space_id
FROM peer_rows AS p
JOIN memberships AS m ON m.account = p.account AND m.space = p.space AND m.kind <> 'home'
JOIN spaces AS s ON s.n = p.space
JOIN blobs AS b ON b.n = p.event JOIN accounts AS a ON a.n = p.account;
""",
    project=project,
    operations=(
        Operation("createSpace", create, ("space", "create"), ("name",), writes=True, scope="identity"),
        Operation("listSpaces", list_, ("space", "list"), scope="identity"),
    ),
)
