"""What the API needs of a node, running or offline.

Owns: the `Host` protocol, the sync state of a peer, and the context that operations run in.
Must not know: how a node gets its packets, or whether it has any.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from quire.events.context import Context
from quire.events.home import Home

#: `in-sync`: both hold the same; `syncing`: events are under way; `unreachable`: it does not answer;
#: `waiting`: not tried yet.
SyncState = Literal["in-sync", "syncing", "unreachable", "waiting"]
#: Why a peer gives us nothing: it does not know us as a member (yet), or knows that we were removed.
RefusedAs = Literal["not-admitted", "removed"]


class PeerStatus(msgspec.Struct, kw_only=True):
    """How the sync with one peer stands, as its session knows it."""

    #: The peer's device key; whose it is, and what they are called, is filled in by the API.
    device: str
    pubkey: str = ""
    name: str = ""
    #: `host:port`, or "" while none is known.
    address: str = ""
    state: SyncState = "waiting"
    #: Events that we hold, that they hold (as far as they told), and that we have still to send. Where newcomers do
    #: not get what was written before they came: of those that both can open.
    held: int = 0
    theirs: int | None = None
    pending: int = 0
    #: Wall clock (ms), 0 for never.
    last_heard_ts: int = 0
    rtt_ms: float | None = None
    #: Share of our datagrams that were lost lately, 0 to 1.
    loss: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    #: Reason → events or datagrams of theirs that were refused.
    rejected: dict[str, int] = {}
    #: Whether it is not known here as a member, and given nothing.
    restricted: bool = False
    refused: RefusedAs | None = None
    #: Both in words for a person, filled in by the API; "" when there is nothing to say.
    standing: str = ""


#: As `SyncState`; `refused`: it does not take what is handed to it; `offline`: no node runs.
RelayState = Literal["in-sync", "syncing", "unreachable", "refused", "waiting", "offline"]


class RelayFault(msgspec.Struct):
    """What a relay did wrong (`misdeed` is a slug, `meaning` words for a person) and when (ms)."""

    misdeed: str
    meaning: str
    ts: int


class RelayStatus(msgspec.Struct, kw_only=True):
    """How the sync of one identity in one space stands with a relay that the space uses.

    `unposted`: own events that it was not handed yet (100 for as many or more); `last_heard_ts` in ms, 0 for never;
    `trouble`: why it is not reached, or does not take what it is handed, and `retry_ts` when that is tried again (ms;
    0: at once); `host` tells it from the space's other relays; `missed`: records that it had removed as too old before
    they were read; `faults`: what it did that none may.
    """

    host: str
    address: str
    state: RelayState = "offline"
    unposted: int = 0
    last_heard_ts: int = 0
    trouble: str = ""
    retry_ts: int = 0
    missed: int = 0
    faults: list[RelayFault] = []


class Health(msgspec.Struct, kw_only=True):
    """What a node lives through: `trouble` in words for a person ("" for none), and datagrams in counts.

    `dropped` came in and belonged to no session, by reason; `unsent` were not taken by the system.
    """

    trouble: str = ""
    dropped: dict[str, int] = {}
    unsent: int = 0


class Host(Protocol):
    """A node as the API sees it."""

    home: Home

    def now(self) -> int:
        """The wall clock (ms)."""

    def addresses(self) -> tuple[str, ...]:
        """Our own `host:port`s that peers can reach; () offline."""

    def committed(self) -> None:
        """Something was written: push it to peers and wake subscribers."""

    def peers(self, account: int, space: int) -> list[PeerStatus]:
        """The sessions of one identity in one space; [] offline."""

    def relays(self, account: int, space: int) -> list[RelayStatus]:
        """How one identity in one space stands with its relays; [] offline."""

    def health(self) -> Health:
        """What the node lives through."""

    async def changed(self, cursor: int) -> None:
        """Return when there are arrivals beyond `cursor`."""


@dataclass(frozen=True)
class NodeContext(Context):
    """The context of operations that ask about the node itself."""

    host: Host | None = None

    def sessions(self, account: int, space: int) -> dict[str, PeerStatus]:
        """Device → sync state, of an identity's sessions in a space."""
        found = self.host.peers(account, space) if self.host is not None else []
        return {peer.device: peer for peer in found}

    def relays(self, account: int, space: int) -> dict[str, RelayStatus]:
        """Address → sync state, of the relays that a running node uses for an identity in a space."""
        found = self.host.relays(account, space) if self.host is not None else []
        return {relay.address: relay for relay in found}


def carries(relays: Iterable[RelayStatus]) -> bool:
    """Whether one of these relays of a space carries what is new between those who do not reach each other."""
    return any(relay.state in ("in-sync", "syncing") for relay in relays)
