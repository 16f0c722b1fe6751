"""Where one peer is, and how much may be sent there.

Owns: the addresses to dial, the address in use, and proof that the peer really is there.
Must not know: frames, keys, time.

An address is open once something that was sent to it, and to no other, came back (RFC 9000 §8). Until then no more
bytes go there than came from there, so that nobody can point our datagrams at someone else.
"""

from collections.abc import Sequence

from quire.limits import MAX_ADDRESSES, REPLAY_WINDOW
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
        # Counters that went to the address while it was not open: nobody knows them who is not there.
        self._asked: dict[int, None] = {}

    @property
    def open(self) -> bool:
        """Whether the address has answered."""
        return self._credit is None

    @property
    def proven(self) -> Address | None:
        """The address, once it is open."""
        return self.address if self.open else None

    @property
    def targets(self) -> list[Address]:
        """Addresses to greet while the peer is not connected."""
        last = [] if self.proven is None or self.proven in self._dialled else [self.proven]
        return [*self._dialled, *last]

    def dial(self, addresses: Sequence[Address]) -> None:
        """Add addresses; the newest MAX_ADDRESSES are kept."""
        for address in addresses:
            if address in self._dialled:
                self._dialled.remove(address)
            self._dialled.append(address)
        del self._dialled[:-MAX_ADDRESSES]

    def adopt(self, address: Address, proven: bool, counter: int) -> None:
        """A new run of the peer spoke from here; `counter` is our next one, `proven`: it echoed what only went here."""
        self._move(address, counter)
        if proven:
            self._credit, self.probe = None, False

    def heard(self, address: Address, size: int, newest: bool, counter: int) -> None:
        """A packet was accepted: the newest one tells where the peer is."""
        if newest and address != self.address:
            self._move(address, counter)
        if self._credit is not None and address == self.address:
            self._credit += size

    def guessed(self, highest: int) -> bool:
        """Whether an acknowledgement that has come since the move names what did not go to the address."""
        return self._credit is not None and highest >= self._since and highest not in self._asked

    def acked(self, highest: int) -> Address | None:
        """The peer acknowledged this counter; the address when that proves it, once."""
        if highest not in self._asked:
            return None
        self._asked.clear()
        self._credit = None
        return self.address

    def room(self, most: int) -> int:
        """Bytes that one datagram may have now, at most `most`."""
        return most if self._credit is None else min(most, self._credit)

    def sent(self, counter: int, size: int) -> None:
        """Take note of a datagram sent to the address."""
        self.probe = False
        if self._credit is not None:
            self._credit -= size
            self._asked[counter] = None
            if len(self._asked) > REPLAY_WINDOW:
                del self._asked[next(iter(self._asked))]

    def _move(self, address: Address, counter: int) -> None:
        self.address = address
        self._credit = 0
        self._since = counter
        self._asked.clear()
        self.probe = True
