"""Operations of the node itself, beside those of its handlers: peers, status, SQL, verify and rebuild.

Owns: their signatures, from which HTTP, the command line and the API document follow.
Must not know: HTTP, terminals.
"""

from collections.abc import Collection, Mapping
from typing import Literal

import msgspec

from quire.api import sql
from quire.api.host import NodeContext, PeerStatus, carries
from quire.api.status import get_status
from quire.events.handler import Operation
from quire.events.rebuild import Rebuilt
from quire.events.rebuild import rebuild as rebuild_views
from quire.events.verify import Verification
from quire.events.verify import verify as verify_events
from quire.graph import state
from quire.handlers import outgoing, own_link, peer
from quire.limits import MAX_ADDRESSES_KEPT


class PeerEntry(msgspec.Struct, kw_only=True):
    """A member of this space, with how the sync with them stands: that of the device that stands best.

    `state` is `self` for the identity asking and else what the sync session says, but `by-relay` where it does not
    reach them and a relay carries what is new; while the node is not running it is `local` for another identity of
    this same home, and `offline` for the others.
    """

    pubkey: str
    name: str
    role: str
    devices: int
    state: Literal["self", "local", "offline", "in-sync", "syncing", "unreachable", "waiting", "by-relay"]
    address: str
    last_heard_ts: int
    held: int
    theirs: int | None
    pending: int
    rtt_ms: float | None
    loss: float


#: Sync states, the best first.
_STATES = ("in-sync", "syncing", "waiting", "unreachable")


class Notice(msgspec.Struct):
    """What somebody who writes here should know; "" for nothing."""

    text: str


def get_notice(ctx: NodeContext) -> Notice:
    """Whether this device may not be a member's any more, so that nobody else sees what it writes."""
    why = own_link.outside(ctx)
    return Notice(f"{why[0].upper()}{why[1:]}. Others may not see what is written here." if why else "")


def list_peers(ctx: NodeContext) -> list[PeerEntry]:
    """Everyone in this space: who is in sync, who is reachable where, and what is still to send."""
    member = ctx.member
    known = ctx.home.store.memberships.addresses(member.account, member.space, MAX_ADDRESSES_KEPT)
    places = {device: address for device, address, _ in reversed(known)}
    sessions = ctx.sessions(member.account, member.space)
    local = outgoing.local_peers(ctx)
    entries = [_entry(ctx, person, places, sessions, local) for person in peer.list_(ctx)]
    carried = carries(ctx.relays(member.account, member.space).values())
    for entry in entries if carried else ():
        if entry.state in ("waiting", "unreachable"):
            entry.state = "by-relay"
    return entries


def _entry(
    ctx: NodeContext,
    person: peer.Peer,
    places: Mapping[str, str],
    sessions: Mapping[str, PeerStatus],
    local: Collection[str],
) -> PeerEntry:
    devices = state.devices(ctx.graph, person.pubkey)
    found = [sessions[device] for device in devices if device in sessions]
    best = min(found, key=lambda one: _STATES.index(one.state), default=PeerStatus(device=""))
    entry = PeerEntry(
        pubkey=person.pubkey,
        name=person.name,
        role=person.role,
        devices=len(devices),
        state=best.state,
        address=best.address or next((places[device] for device in devices if device in places), ""),
        last_heard_ts=best.last_heard_ts,
        held=best.held,
        theirs=best.theirs,
        pending=best.pending,
        rtt_ms=best.rtt_ms,
        loss=best.loss,
    )
    if person.pubkey == ctx.member.account_id:
        entry.state = "self"
    elif not found and not ctx.addresses:
        entry.state = "local" if person.pubkey in local else "offline"
    return entry


def query(ctx: NodeContext, statement: str) -> sql.SqlAnswer:
    """Read the home's tables with one SQL statement.

    The documented relations are events, message_index and auth_graph. Nothing can be changed.
    """
    return sql.run(ctx.home.store.db, statement)


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
    Operation("getNotice", get_notice),
    Operation("getStatus", get_status, ("status",), scope="home"),
    Operation("query", query, ("sql",), ("statement",), scope="home"),
    Operation("verify", verify, ("verify",), scope="home"),
    Operation("rebuild", rebuild, ("rebuild",), writes=True, scope="home"),
)
