"""`sync-peers`: one identity asks another of this node for what it lacks.

The request says how much the asker holds and a fingerprint of it (the strategy `full`): the asked one
answers a difference with everything it holds, and equality with nothing. A request passes: it is signed
and sealed like every event, but belongs to no log and is never stored.
"""

from collections.abc import Sequence
from hashlib import sha256

from quire.core.encoding import to_text
from quire.core.event import Event
from quire.events.append import make_passing
from quire.events.context import Context
from quire.events.handler import Handler, Opened
from quire.events.history import index_for
from quire.events.standing import author_known
from quire.handlers import outgoing
from quire.limits import INGEST_BATCH
from quire.store.memberships import JOINING
from quire.store.views import View


class SyncPeersEvent(Event):
    """`author` holds `count` events with this fingerprint, and asks `to` for the others."""

    to: str
    count: int
    fingerprint: str


def project(view: View, batch: Sequence[Opened[SyncPeersEvent]]) -> None:
    """Keep each asker's latest request to this identity."""
    view.write(
        "INSERT INTO sync_requests VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET ts = excluded.ts, count = excluded.count, fingerprint = excluded.fingerprint"
        " WHERE (excluded.ts, excluded.count, excluded.fingerprint) > (ts, count, fingerprint)",
        [
            (o.account, o.space, o.event.author, o.event.ts, o.event.count, o.event.fingerprint)
            for o in batch
            if o.event.to == o.received_by
        ],
    )


def create(ctx: Context, to: str) -> bytes:
    """A request to peer `to`, as `key_id ‖ blob`."""
    devices = {other.account_id: other.device for other in outgoing.local_members(ctx)}
    count, fingerprint = _holding(ctx, devices.get(to, ""))
    body = {"to": to, "count": count, "fingerprint": fingerprint}
    return make_passing(ctx.home, ctx.member, "sync-peers", body, ctx.now)


def send(ctx: Context, to: str) -> None:
    """Put a request to peer `to` into an outgoing envelope."""
    outgoing.create_passing(ctx, to, create(ctx, to))


def _holding(ctx: Context, device: str) -> tuple[int, str]:
    """How much is held of what is compared with a device, and a fingerprint of it."""
    whole = index_for(ctx.home, ctx.member.account, ctx.member.space, device).whole()
    return whole.count, to_text(sha256(whole.total.to_bytes(32, "big")).digest()[:16])


def _ask(ctx: Context) -> None:
    """Job: ask every other identity of this node that is a member of this space."""
    if ctx.member.kind != JOINING:
        for pubkey in outgoing.local_peers(ctx):
            send(ctx, pubkey)


def _answer(ctx: Context) -> None:
    """Job: answer the requests that differ from what we hold, each question once."""
    member = ctx.member
    here = {other.device: other.account_id for other in outgoing.local_members(ctx)}
    if not here:
        return  # peers on other nodes are served by sync sessions, whatever they ask for in this way
    view = ctx.view("sync-peers")
    asked = view.read(
        "SELECT asker, count, fingerprint FROM sync_requests WHERE account = ? AND space = ?",
        (member.account, member.space),
    )
    for asker, count, fingerprint in asked:
        held = _holding(ctx, asker)
        question = f"{fingerprint} {held[1]}"
        if (
            asker in here
            and (count, fingerprint) != held
            and not view.read(
                "SELECT 1 FROM sync_answers WHERE account = ? AND space = ? AND asker = ? AND question = ?",
                (member.account, member.space, asker, question),
            )
        ):
            _send_everything(ctx, here[asker])
            row = (member.account, member.space, asker, question)
            view.write("INSERT OR REPLACE INTO sync_answers VALUES (?, ?, ?, ?)", [row])


def _send_everything(ctx: Context, asker: str) -> None:
    after = 0
    while page := ctx.home.store.blobs.held_after(ctx.member.account, ctx.member.space, after, INGEST_BATCH):
        outgoing.create(ctx, [asker], [row.n for row, _ in page])
        after = page[-1][0].n


HANDLER = Handler(
    type="sync-peers",
    event=SyncPeersEvent,
    lasting=False,
    tables=("sync_requests", "sync_answers"),
    schema="""
CREATE TABLE sync_requests (
    account INTEGER NOT NULL, space INTEGER NOT NULL, asker TEXT NOT NULL, ts INTEGER NOT NULL,
    count INTEGER NOT NULL, fingerprint TEXT NOT NULL, PRIMARY KEY (account, space, asker)
) STRICT, WITHOUT ROWID;
CREATE TABLE sync_answers (
    account INTEGER NOT NULL, space INTEGER NOT NULL, asker TEXT NOT NULL, question TEXT NOT NULL,
    PRIMARY KEY (account, space, asker)
) STRICT, WITHOUT ROWID;
""",
    project=project,
    needs=author_known,
    jobs=(_ask, _answer),
)
