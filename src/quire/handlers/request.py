"""`request`: a newcomer's request that waits for a member's word, passed on by the member who received it.

So that any member can confirm it, wherever the newcomer knocked first.
"""

from collections.abc import Sequence

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
    """Keep requests; whether one still waits, and its author may pass any on, is for the graph."""
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
        ],
    )


def create(ctx: Context, asked: Request) -> None:
    """Pass a request on, once, and for each invite no more than MAX_REQUESTS: whoever has a link can make up people."""
    ledger, valid = ctx.graph.ledger, ctx.graph.valid
    if ledger.role(ctx.member.account_id, valid) < Role.MEMBER:
        return
    waiting = ctx.home.store.db.all(
        "SELECT r.member, r.device FROM request_rows AS r WHERE r.account = ? AND r.space = ? AND r.invite = ?"
        " AND NOT EXISTS (SELECT 1 FROM members AS o WHERE o.account = r.account AND o.space = r.space"
        " AND o.member = r.member) LIMIT ?",
        (ctx.member.account, ctx.member.space, asked.invite, MAX_REQUESTS),
    )
    if len(waiting) < MAX_REQUESTS and (asked.identity, asked.device) not in waiting:
        ctx.append("request", {"request": asked})


def list_(ctx: Context) -> list[Waiting]:
    """Who asked to join and waits for a member to confirm, oldest first."""
    found = [Waiting(pubkey, asked.name, ts) for pubkey, (asked, ts) in _requests(ctx).items()]
    return sorted(found, key=lambda one: (one.ts, one.pubkey))


def approve(ctx: Context, name: str) -> Waiting:
    """Let in somebody who asked to join (a name from `member requests`, or a public key)."""
    requests = _requests(ctx)
    found = [(asked, ts) for asked, ts in requests.values() if name in (asked.identity, asked.name)]
    if not found:
        raise NotFound(f"Nobody called {name!r} waits to be let in. `quire member requests` lists who does.")
    if len(found) > 1:
        keys = ", ".join(asked.identity for asked, _ in found)
        raise NotFound(f"Several people called {name!r} wait. Say which by public key: {keys}")
    asked, ts = found[0]
    made = invite.find(ctx, asked.invite, asked.identity)
    if made is None:
        raise NotFound("The invite that this request names is not known here, or does not count any more.")
    with ctx.home.store.transaction():
        admit.create(ctx, made.event_id, asked)
        key.hand_over(ctx)
    return Waiting(asked.identity, asked.name, ts)


def _requests(ctx: Context) -> dict[str, tuple[Request, int]]:
    """The latest request of everybody who is not in, if its proofs hold."""
    rows = ctx.home.store.db.all(
        "SELECT r.member, r.request, r.ts FROM request_rows AS r WHERE r.account = ? AND r.space = ?"
        f" AND {shown('r', device='author')} ORDER BY r.ts, r.event LIMIT ?",
        (ctx.member.account, ctx.member.space, MAX_PAGE),
    )
    ledger, valid = ctx.graph.ledger, ctx.graph.valid
    asked = [(msgspec.json.decode(text, type=Request), ts) for _, text, ts in rows]
    return {
        each.identity: (each, ts)
        for each, ts in asked
        if ledger.role(each.identity, valid) == Role.NONE and admit.is_sound(each, ctx.member.space_id)
    }


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
