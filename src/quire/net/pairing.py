"""Which run of the peer we speak with: connection ids that prove freshness and return routability.

Owns: our cid, the peer's cid, and when a new one is believed. Must not know: frames, addresses, time.

Laws. Every run and every adoption has a fresh random cid, never used before. A peer's run is adopted
only when it echoes the cid on offer, which it can have learned only from an answer to it. After an
adoption the cid on offer is another, so nothing recorded earlier can be adopted again.

    echo is our cid, cid is the peer's   → ACCEPT   (then the replay window decides)
    echo is the cid on offer             → ADOPT    (a first contact, or the peer restarted)
    echo is either, there is no cid      → SESSIONLESS  (the peer keeps no session: it refuses us)
    anything else                        → GREET    (answer with a HELLO, no larger than what came)
"""

from enum import Enum

from quire.net.wire import CID_BYTES, NO_CID
from quire.sync.strategy import Entropy


class Verdict(Enum):
    """What to do with an authenticated packet."""

    ACCEPT = 1
    ADOPT = 2
    GREET = 3
    SESSIONLESS = 4


class Pairing:
    """One side's connection ids."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._offer = entropy(CID_BYTES)
        self._mine = NO_CID
        self._peer = NO_CID

    @property
    def adopted(self) -> bool:
        """Whether a run of the peer has proved itself."""
        return self._peer != NO_CID

    def offers(self, cid: bytes) -> bool:
        """Whether this is the cid on offer."""
        return cid == self._offer

    def judge(self, cid: bytes, echo: bytes) -> Verdict:
        """What an authenticated packet with these ids is worth; ADOPT has changed the ids on return."""
        if self.adopted and cid == self._peer and echo == self._mine:
            return Verdict.ACCEPT
        if cid == NO_CID != echo and echo in (self._offer, self._mine):
            return Verdict.SESSIONLESS
        if echo == self._offer:
            self._mine, self._peer = self._offer, cid
            self._offer = self._entropy(CID_BYTES)
            return Verdict.ADOPT
        return Verdict.GREET

    def ids(self) -> tuple[bytes, bytes]:
        """`(cid, echo)` of ordinary packets: the adopted pair, or our offer to a peer not yet heard."""
        return (self._mine, self._peer) if self.adopted else (self._offer, NO_CID)

    def ids_for(self, cid: bytes) -> tuple[bytes, bytes]:
        """`(cid, echo)` of a HELLO that answers this run."""
        return (self._mine if cid == self._peer else self._offer), cid
