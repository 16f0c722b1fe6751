"""Packets of one session on their way out.

Owns: their counters and seals, the bytes per second, and how much has gone out.
Must not know: what frames say, acknowledgement, when anything is sent.
"""

from quire.core.sealing import NONCE_BYTES
from quire.limits import LEAP_BYTES, LEAPS_UNTIL, UNKNOWN_BYTES_PER_SECOND
from quire.net import wire
from quire.net.link import Link
from quire.net.notices import Address
from quire.net.pulse import ByteBudget
from quire.sync.strategy import Entropy


class Dispatch:
    """`bytes_per_second` is for a member; times in ms."""

    def __init__(self, link: Link, entropy: Entropy, bytes_per_second: int, now: int) -> None:
        self._link = link
        self._entropy = entropy
        self._bytes_per_second = bytes_per_second
        self._out: list[tuple[bytes, Address]] = []
        self.budget = ByteBudget(bytes_per_second, now)
        #: The next packet's counter; how many packets went out, and their bytes.
        self.counter = self.count = self.bytes = 0

    def slow(self, restricted: bool, now: int) -> None:
        """Whether the peer is one for whom UNKNOWN_BYTES_PER_SECOND is enough."""
        rate = self._bytes_per_second
        self.budget = ByteBudget(min(rate, UNKNOWN_BYTES_PER_SECOND) if restricted else rate, now)

    def leap_unless(self, proven: bool) -> None:
        """Unless the peer proved where it is: let nobody guess the next packet's counter who does not get it."""
        # Greetings leap as well: else whoever gets one could count on from there, or back.
        if not proven and self.counter < LEAPS_UNTIL:
            self.counter += int.from_bytes(self._entropy(LEAP_BYTES), "big")

    def emit(self, cid: bytes, echo: bytes, frames: list[bytes], address: Address) -> int:
        """Seal a packet for an address; the bytes of its datagram."""
        datagram = self._link.seal(self._entropy(NONCE_BYTES), wire.packet(cid, echo, self.counter, frames))
        self.counter += 1
        self.count += 1
        self.bytes += len(datagram)
        self.budget.spend(len(datagram))
        self._out.append((datagram, address))
        return len(datagram)

    def take(self) -> list[tuple[bytes, Address]]:
        """The datagrams emitted since the last time."""
        out, self._out = self._out, []
        return out
