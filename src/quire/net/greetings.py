"""Greetings of one session: whom to send one, how often, and where the cid on offer has gone.

Owns: HELLO packets that wait to go out. Must not know: keys, counters, what a greeting says.

Whoever echoes a cid has got it from where it went. That proves an address only if it went there alone: a peer can
learn it in one place and echo it in the name of another (RFC 9000 §8.1).
"""

from collections.abc import Sequence

from quire.limits import GREETING_GAP_MS, MAX_ADDRESSES
from quire.net.notices import Address
from quire.net.pairing import Pairing


class Greetings:
    """Sizes in bytes, times in ms; `size` is that of one greeting."""

    def __init__(self, pairing: Pairing, size: int) -> None:
        self._pairing = pairing
        self._size = size
        self._waiting: list[tuple[bytes, bytes, Address]] = []
        self._answered_at: dict[bool, int] = {}
        # Two are as good as many.
        self._offered: set[Address] = set()

    def answer(self, cid: bytes, address: Address, known: bool, size: int, now: int) -> bool:
        """Whether `size` bytes of an unknown run are answered; `known`: from where we would greet the peer."""
        # Known addresses have a turn of their own, so that replays from elsewhere cannot use it up.
        since = now - self._answered_at.get(known, now - GREETING_GAP_MS)
        if len(self._waiting) > MAX_ADDRESSES or size < self._size or since < GREETING_GAP_MS:
            return False
        self._answered_at[known] = now
        self._add(self._pairing.ids_for(cid), address)
        return True

    def dial(self, targets: Sequence[Address]) -> None:
        """Greet the peer at these, unless greetings wait already."""
        if not self._waiting:
            for target in targets:
                self._add(self._pairing.ids(), target)

    def take(self) -> list[tuple[bytes, bytes, Address]]:
        """`(cid, echo, address)` of those to send now."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def adopted(self, address: Address) -> bool:
        """Whether the cid that was adopted just now has been sent to this address alone; the next one went nowhere."""
        proven = self._offered == {address}
        self._offered.clear()
        return proven

    def _add(self, ids: tuple[bytes, bytes], address: Address) -> None:
        self._waiting.append((*ids, address))
        if self._pairing.offers(ids[0]) and len(self._offered) < 2:
            self._offered.add(address)
