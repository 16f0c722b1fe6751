"""`peer`: a participant's own introduction, and what one identity knows of the others.

A peer event is written by a device of the identity that it names, so it is the same bytes for everyone who
learns of it; `received_by` in the envelope tells whose knowledge a copy is.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from quire.core.event import Event
from quire.errors import NotFound
from quire.events.context import Context
from quire.events.handler import Handler, Opened
from quire.events.standing import author_known
from quire.graph.roles import Role
from quire.handlers import graph_events
from quire.limits import MAX_NAME_CHARS
from quire.store.graph_rows import shown
from quire.store.views import View


class PeerEvent(Event):
    """Identity `pubkey` calls itself `name`; the author is one of its devices."""

    pubkey: str
    name: str


class Peer(msgspec.Struct):
    """A participant, as one identity knows it."""

    pubkey: str
    name: str
    ts: int
    role: str


def project(view: View, batch: Sequence[Opened[PeerEvent]]) -> None:
    """Keep what each calls itself; whose the devices are, and which of it counts, is for the graph."""
    view.write(
        "INSERT OR IGNORE INTO peer_rows VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (o.account, o.space, o.event.pubkey, o.event.name, o.event.ts, o.event.seq, o.device, o.number)
            for o in batch
            if 0 < len(o.event.name) <= MAX_NAME_CHARS
        ],
    )


def create(ctx: Context, name: str) -> Opened[Any]:
    """Introduce this identity in this space."""
    return ctx.append("peer", {"pubkey": ctx.member.account_id, "name": name})[0]


def has_introduced(ctx: Context, name: str) -> bool:
    """Whether this device has introduced its identity by this name before.

    Members who disagree about a newcomer welcome it again and again: it says who it is once.
    """
    member = ctx.member
    rows = ctx.view("peer").read(
        "SELECT 1 FROM peer_rows WHERE account = ? AND space = ? AND pubkey = ? AND author = ? AND name = ? LIMIT 1",
        (
            member.account,
            member.space,
            member.account_id,
            ctx.home.store.names.device_number(member.space, member.device),
            name,
        ),
    )
    return bool(rows)


def list_(ctx: Context) -> list[Peer]:
    """The members of this space, this identity among them, by name."""
    return [peer for peer in everyone(ctx) if graph_events.ROLES[peer.role] >= Role.GUEST]


def everyone(ctx: Context) -> list[Peer]:
    """Everybody who is, or was, in this space, by name."""
    return sorted(_select(ctx, ""), key=lambda peer: (peer.name.casefold(), peer.pubkey))


#: What somebody calls themselves, the latest by one of their devices, else what they asked to join as.
NAME = (
    "coalesce((SELECT name FROM peer_rows AS p CROSS JOIN member_devices AS i ON i.account = p.account"
    " AND i.space = p.space AND i.device = p.author AND i.member = p.pubkey WHERE p.account = o.account"
    f" AND p.space = o.space AND p.pubkey = o.member AND {shown('p', device='author')}"
    " ORDER BY p.ts DESC, p.seq DESC, p.name DESC LIMIT 1), (SELECT name FROM admit_rows AS a"
    " WHERE a.account = o.account AND a.space = o.space AND a.member = o.member), '')"
)


def _select(ctx: Context, where: str, *bindings: str) -> list[Peer]:
    rows = ctx.home.store.db.execute(
        f"SELECT o.member, {NAME} AS name, o.since, o.role FROM members AS o"
        f" WHERE o.account = ? AND o.space = ? {where}",
        (ctx.member.account, ctx.member.space, *bindings),
    )
    return [
        Peer(member, name, since, graph_events.ROLE_NAMES[Role(role)]) for member, name, since, role in rows
    ]


def names(ctx: Context) -> dict[str, str]:
    """Public key → name of everyone who is, or was, in this space."""
    return {peer.pubkey: peer.name for peer in everyone(ctx)}


def owner(ctx: Context, device: str) -> str:
    """The identity that a device belongs to; "" for a stranger's."""
    number = ctx.home.store.names.known_device(ctx.member.space, device)
    return "" if number is None else ctx.home.sender(ctx.member.account, ctx.member.space, number)


def find(ctx: Context, name: str) -> Peer:
    """The one peer called `name`, or with this public key. Raises NotFound when there is none, or several."""
    # A key means its owner, whatever others call themselves.
    found = _select(ctx, "AND o.member = ?", name) or _called(ctx, name)
    if not found:
        raise NotFound(f"Nobody called {name!r} is known here. `quire peers` lists who is.")
    if len(found) > 1:
        keys = ", ".join(f"@{peer.pubkey}" for peer in found)
        raise NotFound(f"Several people are called {name!r}. Say which by public key: {keys}")
    return found[0]


def _called(ctx: Context, name: str) -> list[Peer]:
    """Those of a name: members, or if there are none who was one."""
    found = sorted(_select(ctx, "AND name = ?", name), key=lambda peer: peer.pubkey)
    return [peer for peer in found if graph_events.ROLES[peer.role] >= Role.GUEST] or found


HANDLER = Handler(
    type="peer",
    event=PeerEvent,
    tables=("peer_rows",),
    schema="""
CREATE TABLE peer_rows (
    account INTEGER NOT NULL, space INTEGER NOT NULL, pubkey TEXT NOT NULL, name TEXT NOT NULL,
    ts INTEGER NOT NULL, seq INTEGER NOT NULL, author INTEGER NOT NULL, event INTEGER NOT NULL,
    PRIMARY KEY (account, space, pubkey, event)
) STRICT, WITHOUT ROWID;
""",
    project=project,
    for_newcomers=True,
    needs=author_known,
)
