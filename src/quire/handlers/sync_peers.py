"""`sync-peers`: one identity asks another of this node for what it lacks.

The request says how much the asker holds and a fingerprint of it (the strategy `full`): the asked one
answers a difference with what it holds and the asker does not, and equality with nothing. Both live in one store, so
that is looked up as it is by then: a request may be older than what came meanwhile. A request passes: it is signed
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
from quire.handlers import outgoing, tor_simulator
from quire.store.memberships import JOINING, Membership
from quire.store.views import View
from quire.sync.lacking import lacking


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
    here = {other.device: other for other in outgoing.local_members(ctx)}
    if not here:
        return  # peers on other nodes are served by sync sessions, whatever they ask for in this way
    view = ctx.view("sync-peers")
    asked = view.read(
        "SELECT asker, count, fingerprint FROM sync_requests WHERE account = ? AND space = ?",
        (member.account, member.space),
    )
    for asker, count, fingerprint in asked:
        if asker not in here or (held := _holding(ctx, asker)) == (count, fingerprint):
            continue
        theirs = _holding(ctx.within(here[asker]), member.device)
        question = f"{theirs[1]} {held[1]}"
        if theirs != held and not view.read(
            "SELECT 1 FROM sync_answers WHERE account = ? AND space = ? AND asker = ? AND question = ?",
            (member.account, member.space, asker, question),
        ):
            _send_difference(ctx, here[asker])
            row = (member.account, member.space, asker, question)
            view.write("INSERT OR REPLACE INTO sync_answers VALUES (?, ?, ?, ?)", [row])


def _send_difference(ctx: Context, asker: Membership) -> None:
    member, home = ctx.member, ctx.home
    held = index_for(home, member.account, member.space, asker.device)
    theirs = index_for(home, asker.account, asker.space, member.device)
    for ids in lacking(held, theirs):
        found = home.store.blobs.known(member.account, member.space, [to_text(one) for one in ids])
        outgoing.create(ctx, [asker.account_id], sorted(number for number, _ in found.values()))


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
    # What is on its way arrives before it is looked at who lacks what.
    jobs=(tor_simulator.bring, _ask, _answer),
)
