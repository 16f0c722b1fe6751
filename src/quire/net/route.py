"""Where one peer is, and how much may be sent there.

Owns: the addresses to dial, the address in use, and proof that the peer really is there.
Must not know: frames, keys, time beyond the gap between greetings.

An address is open once something that was sent to it came back (RFC 9000 §8). Until then no more bytes
go there than came from there, so that nobody can point our datagrams at someone else.
"""

from collections.abc import Sequence

from quire.limits import GREETING_GAP_MS, MAX_ADDRESSES
from quire.net.notices import Address


class Route:
    """Of one peer; sizes in bytes."""

    def __init__(self) -> None:
        self.address: Address | None = None
        #: A datagram that asks for an acknowledgement should go out even if there is nothing to say.
        self.probe = False
        self._dialled: list[Address] = []
        self._credit: int | None = 0
        self._since = 0
        self._moved = False
        self._greeted: Address | None = None
        self._greeted_at: dict[bool, int] = {}

    @property
    def open(self) -> bool:
        """Whether the address has answered."""
        return self._credit is None

    @property
    def targets(self) -> list[Address]:
        """Addresses to greet while the peer is not connected."""
        last = [] if self.address is None or self.address in self._dialled else [self.address]
        return [*self._dialled, *last]

    def dial(self, addresses: Sequence[Address]) -> None:
        """Add addresses; the newest MAX_ADDRESSES are kept."""
        for address in addresses:
            if address in self._dialled:
                self._dialled.remove(address)
            self._dialled.append(address)
        del self._dialled[:-MAX_ADDRESSES]

    def may_greet(self, address: Address, size: int, answer: int, now: int) -> bool:
        """Whether to answer `size` bytes of an unknown run with `answer` bytes, now (ms)."""
        # Known addresses have a turn of their own, so that replays from elsewhere cannot use it up.
        known = address in self.targets
        since = now - self._greeted_at.get(known, now - GREETING_GAP_MS)
        if size < answer or since < GREETING_GAP_MS:
            return False
        self._greeted_at[known] = now
        self._greeted = address
        return True

    def adopt(self, address: Address, counter: int) -> None:
        """A new run of the peer spoke from here; `counter` is our next one."""
        # It echoed a cid that was only sent to these, so what is sent to them arrives.
        proven = address == self._greeted or address in self._dialled
        self._move(address, counter)
        self._moved = False
        if proven:
            self._credit, self.probe = None, False

    def heard(self, address: Address, size: int, newest: bool, counter: int) -> None:
        """A packet was accepted: the newest one tells where the peer is."""
        if newest and address != self.address:
            self._move(address, counter)
            self._moved = True
        if self._credit is not None and address == self.address:
            self._credit += size

    def acked(self, highest: int) -> Address | None:
        """The peer acknowledged this counter: what was sent since the last move arrives.

        Gives the address when that proves one to which it moved within a run, once.
        """
        if highest < self._since:
            return None
        self._credit = None
        moved, self._moved = self._moved, False
        return self.address if moved else None

    def room(self, most: int) -> int:
        """Bytes that one datagram may have now, at most `most`."""
        return most if self._credit is None else min(most, self._credit)

    def spend(self, size: int) -> None:
        """Take note of a datagram sent to the address."""
        self.probe = False
        if self._credit is not None:
            self._credit -= size

    def _move(self, address: Address, counter: int) -> None:
        self.address = address
        self._credit = 0
        self._since = counter
        self.probe = True
