"""`request`: a newcomer's request that waits for a member's word, passed on by the member who received it.

So that any member can confirm it, wherever the newcomer knocked first.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from quire.core.event import Event
from quire.errors import NotFound
from quire.events.context import Context
from quire.events.handler import Handler, Opened, Operation
from quire.events.standing import author_known
from quire.graph.roles import Role
from quire.handlers import admit, invite, key
from quire.handlers.admit import Request
from quire.limits import MAX_PAGE, MAX_REQUESTS
from quire.store.graph_rows import shown
from quire.store.views import View


class RequestEvent(Event):
    """`request` reached the author, and needs a member to confirm it."""

    request: Request


class Waiting(msgspec.Struct):
    """Somebody who asked to join by an invite made with `approve`."""

    pubkey: str
    name: str
    ts: int


def project(view: View, batch: Sequence[Opened[RequestEvent]]) -> None:
    """Keep requests whose proofs hold; whether one still waits, and its author may pass any on, is for the graph.

    The others are kept out here: else any number of them could crowd out those that hold.
    """
    view.write(
        "INSERT OR IGNORE INTO request_rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                o.account,
                o.space,
                o.number,
                o.device,
                o.event.seq,
                o.event.request.identity,
                o.event.request.device,
                o.event.request.invite,
                msgspec.json.encode(o.event.request).decode(),
                o.event.ts,
            )
            for o in batch
            if admit.is_sound(o.event.request, o.space_id)
        ],
    )


def create(ctx: Context, asked: Request) -> None:
    """Pass a request on, once, and for each invite no more than MAX_REQUESTS: whoever has a link can make up people."""
    if not admit.may_let_in(ctx):
        return
    waiting = ctx.home.store.db.all(
        "SELECT DISTINCT r.member, r.device FROM request_rows AS r"
        f" WHERE r.account = ? AND r.space = ? AND r.invite = ? AND {shown('r', device='author')}"
        " AND NOT EXISTS (SELECT 1 FROM members AS o WHERE o.account = r.account AND o.space = r.space"
        " AND o.member = r.member) LIMIT ?",
        (ctx.member.account, ctx.member.space, asked.invite, MAX_REQUESTS),
    )
    if len(waiting) < MAX_REQUESTS and (asked.identity, asked.device) not in waiting:
        ctx.append("request", {"request": asked})


def list_(ctx: Context) -> list[Waiting]:
    """Who asked to join and waits for a member to confirm, oldest first: of each inviter's guests as many."""
    found = invite.in_turn(
        invite.in_turn(_requests(ctx), lambda one: one.asked.invite), lambda one: one.inviter
    )
    waiting = [Waiting(one.asked.identity, one.asked.name, one.ts) for one in found[:MAX_PAGE]]
    return sorted(waiting, key=lambda one: (one.ts, one.pubkey))


def approve(ctx: Context, name: str) -> Waiting:
    """Let in somebody who asked to join (a name from `member requests`, or a public key)."""
    found = [one for one in _requests(ctx) if name in (one.asked.identity, one.asked.name)]
    if not found:
        raise NotFound(f"Nobody called {name!r} waits to be let in. `quire member requests` lists who does.")
    if len(found) > 1:
        keys = ", ".join(one.asked.identity for one in found)
        raise NotFound(f"Several people called {name!r} wait. Say which by public key: {keys}")
    asked, ts = found[0].asked, found[0].ts
    made = invite.find(ctx, asked.invite, asked.identity)
    if made is None:
        raise NotFound("The invite that this request names does not count any more.")
    with ctx.home.store.transaction():
        admit.create(ctx, made.event_id, asked)
        key.hand_over(ctx)
    return Waiting(asked.identity, asked.name, ts)


class _Found(NamedTuple):
    """A request, when it was passed on (ms), and by whose invite it comes."""

    asked: Request
    ts: int
    inviter: str


def _requests(ctx: Context) -> list[_Found]:
    """The request of everybody who is not in, oldest first: of several the one that gives most, of these the latest.

    Somebody may have asked by several invites, and members with its link can make others of its key.
    """
    rows = ctx.home.store.db.all(
        "SELECT r.member, r.invite, r.request, r.ts FROM request_rows AS r WHERE r.account = ? AND r.space = ?"
        f" AND {shown('r', device='author')} ORDER BY r.ts, r.request",
        (ctx.member.account, ctx.member.space),
    )
    ledger, valid, given = ctx.graph.ledger, ctx.graph.valid, invite.given(ctx)
    best: dict[str, tuple[Role, str, str, int]] = {}
    for member, public, text, ts in rows:
        role, inviter = given.get(public, (Role.NONE, ""))
        if inviter and (member not in best or role >= best[member][0]):
            best[member] = role, inviter, text, ts
    return sorted(
        (
            _Found(msgspec.json.decode(text, type=Request), ts, inviter)
            for member, (_, inviter, text, ts) in best.items()
            if ledger.role(member, valid) == Role.NONE
        ),
        key=lambda one: (one.ts, one.asked.identity),
    )


HANDLER = Handler(
    type="request",
    event=RequestEvent,
    tables=("request_rows",),
    schema="""
CREATE TABLE request_rows (
    account INTEGER NOT NULL, space INTEGER NOT NULL, event INTEGER NOT NULL, author INTEGER NOT NULL,
    seq INTEGER NOT NULL, member TEXT NOT NULL, device TEXT NOT NULL, invite TEXT NOT NULL, request TEXT NOT NULL,
    ts INTEGER NOT NULL, PRIMARY KEY (account, space, event)
) STRICT, WITHOUT ROWID;
""",
    project=project,
    needs=author_known,
    operations=(
        Operation("listRequests", list_, ("member", "requests")),
        Operation("approveRequest", approve, ("member", "approve"), ("name",), writes=True),
    ),
)
