"""Answers to devices that were removed and have no session any more.

Owns: the one small packet that they are answered with, and how often. Must not know: links, the graph.

Whoever asks must have sent at least as many bytes as the answer has. The answer has no cid: it belongs to
no run of ours, echoes theirs, and so is worth something once, to the run that asked.
"""

from quire.limits import MAX_REFUSALS_KEPT, REFUSALS_PER_SECOND, REFUSED_GAP_MS
from quire.net import wire
from quire.net.link import LINK_OVERHEAD
from quire.net.standing import Refusal
from quire.sync.allowance import Allowance

_FRAME = wire.refused(Refusal.REMOVED)
#: Bytes of the datagram that tells a device it was removed.
REFUSED_DATAGRAM = LINK_OVERHEAD + wire.PACKET_BYTES + len(_FRAME)


def refusal_to(payload: bytes) -> bytes | None:
    """The payload that answers a removed device's; None where there is nothing to answer."""
    try:
        asked = wire.read_packet(payload)
    except wire.BadFrame:
        return None
    return None if asked.cid == wire.NO_CID else wire.packet(wire.NO_CID, asked.cid, 0, [_FRAME])


class Refusals:
    """Who was answered when; `who` is a space, a local device and a remote device, times are in ms."""

    def __init__(self) -> None:
        # The one answered longest ago is first.
        self._answered: dict[tuple[bytes, bytes, bytes], int] = {}
        self._rate = Allowance()

    def __len__(self) -> int:
        return len(self._answered)

    def due(self, who: tuple[bytes, bytes, bytes], now: int) -> bool:
        """Whether to answer a device; if so, note that it was answered."""
        since = now - self._answered.get(who, now - REFUSED_GAP_MS)
        if since < REFUSED_GAP_MS or not self._rate.take(REFUSALS_PER_SECOND, now):
            return False
        self._answered.pop(who, None)
        self._answered[who] = now
        if len(self._answered) > MAX_REFUSALS_KEPT:
            del self._answered[next(iter(self._answered))]
        return True

    def forget(self, space_id: bytes, local: bytes) -> None:
        """A local device left a space."""
        for who in [who for who in self._answered if who[:2] == (space_id, local)]:
            del self._answered[who]
