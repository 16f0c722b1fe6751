"""Operations of the node itself, beside those of its handlers: peers, status, SQL, verify and rebuild.

Owns: their signatures, from which HTTP, the command line and the API document follow.
Must not know: HTTP, terminals.
"""

from typing import Literal

import msgspec

from quire.api import sql
from quire.api.host import NodeContext, PeerStatus
from quire.api.status import get_status
from quire.events.handler import Operation
from quire.events.rebuild import Rebuilt
from quire.events.rebuild import rebuild as rebuild_views
from quire.events.verify import Verification
from quire.events.verify import verify as verify_events
from quire.handlers import outgoing, peer
from quire.limits import MAX_ADDRESSES_KEPT


class PeerEntry(msgspec.Struct, kw_only=True):
    """Someone in this space, with how the sync with them stands.

    `state` is `self` for the identity asking and else what the sync session says; while the node is not
    running it is `local` for another identity of this same home, and `offline` for the others.
    """

    pubkey: str
    name: str
    state: Literal["self", "local", "offline", "in-sync", "syncing", "unreachable", "waiting"]
    address: str
    last_heard_ts: int
    held: int
    theirs: int | None
    pending: int
    rtt_ms: float | None
    loss: float


def list_peers(ctx: NodeContext) -> list[PeerEntry]:
    """Everyone in this space: who is in sync, who is reachable where, and what is still to send."""
    member = ctx.member
    sessions = ctx.sessions(member.account, member.space)
    local = set(outgoing.local_peers(ctx))
    known = {
        device: address
        for device, address, _ in reversed(
            ctx.home.store.memberships.addresses(member.account, member.space, MAX_ADDRESSES_KEPT)
        )
    }
    introduced = peer.list_(ctx)
    strangers = [peer.Peer(pubkey, "", 0) for pubkey in sessions.keys() - {p.pubkey for p in introduced}]
    entries = []
    for person in (*introduced, *sorted(strangers, key=lambda p: p.pubkey)):
        state = sessions.get(person.pubkey) or PeerStatus(pubkey=person.pubkey)
        entry = _entry(person, state)
        entry.address = state.address or known.get(person.pubkey, "")
        if person.pubkey == member.account_id:
            entry.state = "self"
        elif person.pubkey not in sessions and not ctx.addresses:
            entry.state = "local" if person.pubkey in local else "offline"
        entries.append(entry)
    return entries


def _entry(person: peer.Peer, state: PeerStatus) -> PeerEntry:
    return PeerEntry(
        pubkey=person.pubkey,
        name=person.name,
        state=state.state,
        address=state.address,
        last_heard_ts=state.last_heard_ts,
        held=state.held,
        theirs=state.theirs,
        pending=state.pending,
        rtt_ms=state.rtt_ms,
        loss=state.loss,
    )


def query(ctx: NodeContext, statement: str) -> sql.SqlAnswer:
    """Read the home's tables with one SQL statement.

    The documented relations are events, message_index and auth_graph. Nothing can be changed.
    """
    return sql.run(ctx.home.store.db.path, statement)


def verify(ctx: NodeContext) -> Verification:
    """Check every stored event: its bytes, its hash, its signature, and what is noted of it.

    Nothing is changed. What is damaged is listed; peers still hold the events that they have synced.
    """
    return verify_events(ctx.home)


def rebuild(ctx: NodeContext) -> Rebuilt:
    """Drop every view and make it anew from the stored events; it can take a while.

    Damaged events are set aside: they count as not held, so that a peer that has them whole sends them again.
    """
    return rebuild_views(ctx.home, ctx.now)


NODE_OPERATIONS = (
    Operation("getPeers", list_peers, ("peers",)),
    Operation("getStatus", get_status, ("status",), scope="home"),
    Operation("query", query, ("sql",), ("statement",), scope="home"),
    Operation("verify", verify, ("verify",), scope="home"),
    Operation("rebuild", rebuild, ("rebuild",), writes=True, scope="home"),
)
