"""What the API needs of a node (its `Host`), for a running node and for a home without one."""

import asyncio
import logging
from collections.abc import Callable

from quire.api.host import Health, PeerStatus, RefusedAs, RelayFault, RelayStatus, SyncState
from quire.core.address import format_address
from quire.events.history import index_for
from quire.events.home import Home
from quire.limits import MAX_ADDRESSES_KEPT
from quire.net.notices import Status
from quire.net.standing import Refusal
from quire.node import Node
from quire.runtime.clock import steady_ms, wall_ms
from quire.runtime.exchange import exchange
from quire.store.memberships import Membership

_log = logging.getLogger("quire")
_REFUSED: dict[Refusal, RefusedAs] = {Refusal.NOT_ADMITTED: "not-admitted", Refusal.REMOVED: "removed"}


class OfflineHost:
    """A home that no node runs on."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def now(self) -> int:
        """The wall clock (ms)."""
        return wall_ms()

    def addresses(self) -> tuple[str, ...]:
        """None: nobody can reach us."""
        return ()

    def committed(self) -> None:
        """Bring what was written to this home's other identities; the next node that runs here finds it for others.

        It is committed: whoever wrote must not be told that it failed when that does.
        """
        try:
            with self.home.store.db.plain_errors():
                exchange(self.home, self.now())
        except Exception as error:
            _log.warning(
                "quire: what was written waits for `quire up` to reach this home's identities: %s", error
            )

    def peers(self, account: int, space: int) -> list[PeerStatus]:
        """No sessions."""
        return []

    def relays(self, account: int, space: int) -> list[RelayStatus]:
        """None is connected."""
        return []

    def health(self) -> Health:
        """Nothing runs, so nothing is wrong."""
        return Health()

    async def changed(self, cursor: int) -> None:
        """Never: nothing arrives without a node."""
        await asyncio.Event().wait()


class RunningHost:
    """A running node; `pump` makes it send what it has to, `unsent` counts what the system did not take."""

    def __init__(self, node: Node, pump: Callable[[], None], unsent: Callable[[], int]) -> None:
        self.home = node.home
        self._unsent = unsent
        self._node = node
        self._pump = pump
        self._cursor = node.home.store.blobs.last_cursor()
        self._arrived = asyncio.Event()

    def now(self) -> int:
        """The wall clock (ms)."""
        return wall_ms()

    def addresses(self) -> tuple[str, ...]:
        """Where peers can reach this node."""
        return self._node.addresses

    def committed(self) -> None:
        """Push what was written."""
        self._node.committed(steady_ms())
        self._pump()

    def health(self) -> Health:
        """What the node lives through."""
        return Health(trouble=self._node.trouble, dropped=self._node.dropped(), unsent=self._unsent())

    def tell(self, cursor: int) -> None:
        """Wake everyone who waits for arrivals."""
        self._cursor = cursor
        self._arrived.set()
        self._arrived = asyncio.Event()

    async def changed(self, cursor: int) -> None:
        """Return when there are arrivals beyond `cursor`."""
        while self._cursor <= cursor:
            await self._arrived.wait()

    def peers(self, account: int, space: int) -> list[PeerStatus]:
        """Sync state by peer: its session's, or for an identity of this same node what both hold."""
        member = self.home.store.memberships.get(account, space)
        shift = wall_ms() - steady_ms()
        known = self.home.store.memberships.addresses(account, space, MAX_ADDRESSES_KEPT)
        reached = {device: ts for device, _, ts in reversed(known)}  # also before this node was started
        sessions = self._node.sessions(member).items()
        remote = [_status(device, status, shift, reached.get(device, 0)) for device, status in sessions]
        return remote + self._local_peers(member)

    def relays(self, account: int, space: int) -> list[RelayStatus]:
        """How an identity stands with each relay that its space uses."""
        member = self.home.store.memberships.get(account, space)
        return relay_statuses(self._node, member, steady_ms())

    def _local_peers(self, member: Membership) -> list[PeerStatus]:
        found = []
        for other in self.home.store.memberships.all():
            if other.space == member.space and other.account != member.account:
                ours = index_for(self.home, member.account, member.space, other.device).whole()
                theirs = index_for(self.home, other.account, other.space, member.device).whole()
                found.append(
                    PeerStatus(
                        device=other.device,
                        address="this node",
                        state="in-sync" if ours == theirs else "syncing",
                        held=ours.count,
                        theirs=theirs.count,
                        last_heard_ts=wall_ms(),
                    )
                )
        return found


def _status(device: str, status: Status, shift: int, reached: int) -> PeerStatus:
    heard, held = status.last_heard, status.held
    state: SyncState = "unreachable" if heard is not None or status.datagrams_out else "waiting"
    lacking = held if status.peer_count is None else max(held - status.peer_count, 0)
    if status.connected:
        # What the peer said last may be older than what we hold now: in sync is what both counts agree on.
        state = "in-sync" if status.in_sync and status.peer_count == held else "syncing"
    return PeerStatus(
        device=device,
        address=format_address(str(status.address[0]), int(str(status.address[1]))) if status.address else "",
        state=state,
        held=held,
        theirs=status.peer_count,
        pending=0 if state == "in-sync" else max(status.pending, lacking),
        last_heard_ts=reached if heard is None else heard + shift,
        rtt_ms=float(status.rtt) if status.connected else None,
        loss=status.datagrams_lost / max(status.datagrams_out, 1),
        bytes_in=status.bytes_in,
        bytes_out=status.bytes_out,
        rejected=status.rejected,
        restricted=status.restricted,
        refused=None if status.refused is None else _REFUSED[status.refused],
    )


def relay_statuses(node: Node, member: Membership, now: int) -> list[RelayStatus]:
    """How a member stands with each relay at the node's time (ms). Somebody looks: what came back is found soon."""
    node.relaying.hurry(now)
    shift = node.wall(now) - now
    return [
        RelayStatus(
            host=one.relay.host,
            address=one.relay.text,
            state=one.state,
            unposted=one.unposted,
            last_heard_ts=0 if one.last_heard is None else one.last_heard + shift,
            trouble=one.trouble,
            retry_ts=one.retry_at + shift if one.retry_at > now else 0,
            missed=one.missed,
            faults=[RelayFault(fault.misdeed, "", fault.ts) for fault in one.faults],
        )
        for one in node.relaying.status(member)
    ]
