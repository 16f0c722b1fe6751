"""`peer`: a participant's own introduction, and what one identity knows of the others.

A peer event is signed by the very key that it introduces, so it is the same bytes for everyone who
learns of it; `received_by` in the envelope tells whose knowledge a copy is.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from quire.core.event import Event
from quire.errors import NotFound
from quire.events.context import Context
from quire.events.handler import Handler, Opened
from quire.limits import MAX_NAME_CHARS
from quire.store.views import View


class PeerEvent(Event):
    """`pubkey` introduces itself under `name`."""

    pubkey: str
    name: str


class Peer(msgspec.Struct):
    """A participant, as one identity knows it."""

    pubkey: str
    name: str
    ts: int


def need(pubkey: str) -> str:
    """What waits for the introduction of `pubkey`."""
    return f"peer {pubkey}"


def _is_introduction(event: PeerEvent) -> bool:
    return event.pubkey == event.author and 0 < len(event.name) <= MAX_NAME_CHARS


def project(view: View, batch: Sequence[Opened[PeerEvent]]) -> None:
    """Keep every introduction; the latest tells the name."""
    view.write(
        "INSERT OR IGNORE INTO peer_rows VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (o.account, o.space, o.number, o.event.pubkey, o.event.name, o.event.ts, o.event.seq)
            for o in batch
            if _is_introduction(o.event)
        ],
    )


def create(ctx: Context, name: str) -> Opened[Any]:
    """Introduce this identity in this space."""
    return ctx.append("peer", {"pubkey": ctx.member.account_id, "name": name})[0]


def list_(ctx: Context) -> list[Peer]:
    """Everyone that this identity knows in this space, itself included, by name."""
    rows = ctx.view("peer").read(
        "SELECT pubkey, name, ts FROM peer_rows WHERE account = ? AND space = ? ORDER BY ts, seq, name",
        (ctx.member.account, ctx.member.space),
    )
    latest = {pubkey: Peer(pubkey, name, ts) for pubkey, name, ts in rows}
    return sorted(latest.values(), key=lambda peer: (peer.name.casefold(), peer.pubkey))


def names(ctx: Context) -> dict[str, str]:
    """Public key → name of everyone known."""
    return {peer.pubkey: peer.name for peer in list_(ctx)}


def find(ctx: Context, name: str) -> Peer:
    """The one peer called `name`, or with this public key. Raises NotFound when there is none, or several."""
    peers = list_(ctx)
    # A key means its owner, whatever others call themselves.
    found = [peer for peer in peers if name == peer.pubkey] or [peer for peer in peers if name == peer.name]
    if not found:
        raise NotFound(f"Nobody called {name!r} is known here. `quire peers` lists who is.")
    if len(found) > 1:
        keys = ", ".join(f"@{peer.pubkey}" for peer in found)
        raise NotFound(f"Several people are called {name!r}. Say which by public key: {keys}")
    return found[0]


HANDLER = Handler(
    type="peer",
    event=PeerEvent,
    tables=("peer_rows",),
    schema="""
CREATE TABLE peer_rows (
    account INTEGER NOT NULL, space INTEGER NOT NULL, event INTEGER NOT NULL, pubkey TEXT NOT NULL,
    name TEXT NOT NULL, ts INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (account, space, event)
) STRICT, WITHOUT ROWID;
""",
    project=project,
    provides=lambda o: (need(o.event.pubkey),) if _is_introduction(o.event) else (),
)
