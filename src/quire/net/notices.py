"""What a session tells the node, through `next_event()`.

Owns: the notices' types. Must not know: who acts on them. (An "event" of Quire is a signed fact; these
are not.)
"""

from dataclasses import dataclass
from typing import NamedTuple

from quire.net.standing import Refusal

#: Where datagrams come from and go to: an opaque hashable tuple that only a transport understands, the host first.
Address = tuple[object, ...]


@dataclass(frozen=True)
class Connected:
    """The peer proved itself, at this address; None: where it spoke from has not answered yet, and Moved will tell.

    Said again when one side admits the other: what was shared before was not given, or not taken.
    """

    address: Address | None


@dataclass(frozen=True)
class Moved:
    """The connected peer is at this address now, and has proved it."""

    address: Address


@dataclass(frozen=True)
class Disconnected:
    """Nothing was heard for SILENCE_MS."""


@dataclass(frozen=True)
class BlobsReceived:
    """`key_id(8) ‖ blob` of each event received since the last such notice, to be ingested as one batch."""

    records: list[bytes]


@dataclass(frozen=True)
class AddressesLearned:
    """`(device key, host:port)` pairs that a peer shared: hints, not facts."""

    known: list[tuple[bytes, str]]


@dataclass(frozen=True)
class LetterReceived:
    """A peer's letter (`Session.send_letter`). One letter may come more than once, and letters in any order."""

    data: bytes


@dataclass(frozen=True)
class SyncChanged:
    """Whether both sides hold the same, as far as the peer's last heartbeat tells."""

    in_sync: bool


@dataclass(frozen=True)
class FarApart:
    """One side holds more by so much that a stream should bring it; `lacks`: the peer, and we are to call it."""

    lacks: bool


@dataclass(frozen=True)
class Refused:
    """The peer gives us nothing, because of this."""

    reason: Refusal


@dataclass(frozen=True)
class Misbehaved:
    """The peer sent too much that is malformed, and is ignored for IGNORE_MS."""

    reason: str


Notice = (
    Connected
    | Moved
    | Disconnected
    | BlobsReceived
    | AddressesLearned
    | LetterReceived
    | SyncChanged
    | FarApart
    | Refused
    | Misbehaved
)


class Status(NamedTuple):
    """Numbers of one session. Times in ms, sizes in bytes; `last_heard` is on the caller's clock.

    `restricted`: the peer is not known to be a member, and given nothing. `refused`: why it gives us nothing.
    """

    connected: bool
    address: Address | None
    strategy: str
    in_sync: bool | None
    #: Events that are compared with the peer, and how many of them it said it holds.
    held: int
    peer_count: int | None
    pending: int
    rtt: int
    window: int
    datagrams_in: int
    datagrams_out: int
    bytes_in: int
    bytes_out: int
    datagrams_lost: int
    last_heard: int | None
    rejected: dict[str, int]
    restricted: bool
    refused: Refusal | None
