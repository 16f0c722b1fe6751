"""`outgoing`: envelopes that wait for delivery to identities of this same node.

An envelope is an event with its recipient's address. Peers on other nodes are served by sync sessions,
which know from the store itself what a peer lacks, and so need no envelopes.
"""

from collections.abc import Sequence
from typing import NamedTuple

from quire.events.context import Context
from quire.events.handler import Handler
from quire.events.history import closed_to
from quire.graph.roles import Role
from quire.store.memberships import Membership


class Envelope(NamedTuple):
    """One event (`key_id ‖ blob`) on its way to `recipient` (public key)."""

    recipient: str
    sealed: bytes


def local_members(ctx: Context) -> list[Membership]:
    """The other identities of this node that are members of this space, as far as this one knows.

    Who was let in a moment ago knows of nobody yet, and takes whoever is here for a member.
    """
    member = ctx.member
    others = [
        other
        for other in ctx.home.store.memberships.all()
        if other.space == member.space and other.account != member.account
    ]
    if not others:
        return []
    graph = ctx.graph
    return [
        other
        for other in others
        if (not graph.valid or graph.ledger.role(other.account_id, graph.valid) >= Role.GUEST)
    ]


def local_peers(ctx: Context) -> list[str]:
    """Public keys of the other identities of this node that are members of this space."""
    return [other.account_id for other in local_members(ctx)]


def create(ctx: Context, recipients: Sequence[str], events: Sequence[int]) -> None:
    """Put stored events, by number, into envelopes to those recipients that live on this node and can open them."""
    member = ctx.member
    here = [other for other in local_members(ctx) if other.account_id in recipients]
    rows: list[tuple[int, int, str, int]] = []
    for other in here:
        closed = closed_to(ctx.home, member.account, member.space, other.device)
        epochs = ctx.home.store.blobs.epochs(events) if closed else {}
        rows += [
            (member.account, member.space, other.account_id, event)
            for event in events
            if epochs.get(event) not in closed
        ]
    ctx.view("outgoing").write(
        "INSERT INTO outgoing (account, space, recipient, event) VALUES (?, ?, ?, ?)", rows
    )


def create_passing(ctx: Context, recipient: str, sealed: bytes) -> None:
    """Put an event that is not stored (`key_id ‖ blob`) into an envelope, in place of one that still waits."""
    member = ctx.member
    ctx.view("outgoing").write(
        "DELETE FROM outgoing WHERE account = ? AND space = ? AND recipient = ? AND passing IS NOT NULL",
        [(member.account, member.space, recipient)],
    )
    ctx.view("outgoing").write(
        "INSERT INTO outgoing (account, space, recipient, passing) VALUES (?, ?, ?, ?)",
        [(member.account, member.space, recipient, sealed)],
    )


def take(ctx: Context, limit: int) -> list[Envelope]:
    """Take out up to `limit` of this identity's envelopes in this space, oldest first."""
    member = ctx.member
    view = ctx.view("outgoing")
    rows = view.read(
        "SELECT n, recipient, event, passing FROM outgoing WHERE account = ? AND space = ? ORDER BY n LIMIT ?",
        (member.account, member.space, limit),
    )
    view.write("DELETE FROM outgoing WHERE n = ?", [(n,) for n, *_ in rows])
    stored = {row.n: row for row in ctx.home.store.blobs.read([event for _, _, event, _ in rows if event])}
    envelopes = []
    for _, recipient, event, passing in rows:
        if event in stored:
            row = stored[event]
            envelopes.append(Envelope(recipient, ctx.home.store.names.key_id(row.epoch) + row.sealed))
        elif passing is not None:
            envelopes.append(Envelope(recipient, bytes(passing)))
    return envelopes


def count(ctx: Context) -> int:
    """How many envelopes of this identity wait in this space."""
    member = ctx.member
    rows = ctx.view("outgoing").read(
        "SELECT count(*) FROM outgoing WHERE account = ? AND space = ?", (member.account, member.space)
    )
    return int(rows[0][0])


HANDLER = Handler(
    type="outgoing",
    local=True,
    tables=("outgoing",),
    schema="""
CREATE TABLE outgoing (
    n INTEGER PRIMARY KEY, account INTEGER NOT NULL, space INTEGER NOT NULL, recipient TEXT NOT NULL,
    event INTEGER, passing BLOB
) STRICT;
CREATE INDEX outgoing_by_sender ON outgoing (account, space);
""",
)
