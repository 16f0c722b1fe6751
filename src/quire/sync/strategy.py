"""The contract of every sync strategy, and what all of them share: fingerprints and their error.

Owns: the shape that a session drives. Must not know: sessions, datagrams, blobs' contents.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple, Protocol

from quire.limits import MAX_ASKS
from quire.sync.index import EventIndex, Summary

#: `entropy(n)` gives n fresh random bytes.
Entropy = Callable[[int], bytes]

SALT_BYTES = 8
PRINT_BYTES = 8


class BadMessage(Exception):
    """Bytes that are no message of the strategy; `reason` is a short stable slug, counted per peer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Pace(NamedTuple):
    """How much a peer may be asked now.

    `most` questions; and no new round of them sooner than `round_trip` ms after the last one began, since what follows
    from that is still on its way. Questions that may not go now wait, and while some do no round begins.
    """

    most: int
    round_trip: int


#: Where nothing else wants the path.
FREELY = Pace(MAX_ASKS, 0)


class Strategy(Protocol):
    """Reconciles one index with one peer's. Messages may be lost, doubled and reordered: each stands alone.

    `now` is any monotonic time in ms. The session sends every returned message (at most MAX_SYNC_BYTES each) in one
    datagram, and the blobs of the ids that `next_pushes` names. Every message but the heartbeat's own is a question.
    """

    @property
    def in_sync(self) -> bool | None:
        """Whether the peer's last heartbeat equalled our store; None before the first."""
        ...

    @property
    def peer_count(self) -> int | None:
        """Events that the peer said it holds."""
        ...

    @property
    def pushing(self) -> bool:
        """Whether `next_pushes` has something left to look at."""
        ...

    @property
    def asked_at(self) -> int:
        """When the peer said what `next_pushes` gave last, or the earliest of it (ms)."""
        ...

    @property
    def asking(self) -> bool:
        """Whether `questions` has something left to ask."""
        ...

    def heartbeat(self, index: EventIndex, now: int, pace: Pace = FREELY) -> list[bytes]:
        """Messages to send now, unasked: the heartbeat, and questions."""
        ...

    def receive(self, message: bytes, index: EventIndex, now: int, pace: Pace = FREELY) -> list[bytes]:
        """Take a peer's message; the questions to answer with. Raises BadMessage."""
        ...

    def questions(self, index: EventIndex, now: int, most: int) -> list[bytes]:
        """Of the questions that wait, at most so many."""
        ...

    def forget(self) -> None:
        """Leave what is to be pushed and asked: it comes otherwise, and what is still lacking then is found again."""
        ...

    def next_pushes(self, index: EventIndex, limit: int, now: int) -> list[bytes]:
        """Ids that the peer seems to lack, in time order, at most `limit`; bounded work per call."""
        ...


StrategyFactory = Callable[[bytes, Entropy], Strategy]


def fingerprint(key: bytes, salt: bytes, summary: Summary) -> bytes:
    """8 bytes that agree for equal sets under one key and salt, and tell nothing else."""
    data = salt + summary.total.to_bytes(32, "big") + summary.count.to_bytes(8, "big")
    return blake2b(data, key=key, digest_size=PRINT_BYTES, person=b"quire sync print").digest()
