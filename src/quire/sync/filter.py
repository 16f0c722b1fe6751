"""Bloom filters over event ids (Bloom, 1970), keyed and salted so that nobody can mine against them.

Owns: which bits an id sets. Must not know: ranges, messages, peers.
An id's eight probes are eight 16-bit pieces of one keyed BLAKE2b hash: one hash per id. Every filter
has a fresh salt, so that an id hidden by a false positive in one round shows in the next.
"""

from collections.abc import Iterable
from hashlib import blake2b
from struct import Struct

from quire.limits import FILTER_BITS_PER_ID, FILTER_PROBES
from quire.sync.index import Position

_PERSON = b"quire sync bloom"
_UNPACK = {probes: Struct(f">{probes}H").unpack for probes in range(1, FILTER_PROBES + 1)}


def bits_of(key: bytes, salt: bytes, ids: Iterable[bytes], count: int) -> bytes:
    """The filter of `count` ids: FILTER_BITS_PER_ID bits for each, FILTER_PROBES of them set."""
    bits = bytearray(count * FILTER_BITS_PER_ID // 8)
    size, width, unpack = len(bits) * 8, FILTER_PROBES * 2, _UNPACK[FILTER_PROBES]
    begun = _begin(key, salt, width)
    for event_id in ids:
        hashed = begun.copy()
        hashed.update(event_id)
        for probe in unpack(hashed.digest()):
            probe %= size
            bits[probe >> 3] |= 1 << (probe & 7)
    return bytes(bits)


def _begin(key: bytes, salt: bytes, width: int) -> blake2b:
    """A hash that has taken in the key: a copy of it for each id costs less than one that begins anew."""
    return blake2b(key=key, salt=salt, person=_PERSON, digest_size=width)


class Bloom:
    """A peer's filter, ready to be tested against. Empty `bits` contain nothing."""

    def __init__(self, key: bytes, salt: bytes, probes: int, bits: bytes) -> None:
        self._key = key
        self._salt = salt
        self._probes = probes
        self._bits = bits

    def missing(self, positions: list[Position]) -> list[bytes]:
        """The ids that the filter surely does not contain, in order."""
        bits, key, salt = self._bits, self._key, self._salt
        if not bits:
            return [event_id for _, event_id in positions]
        size, width, unpack = len(bits) * 8, self._probes * 2, _UNPACK[self._probes]
        lacked: list[bytes] = []
        begun = _begin(key, salt, width)
        for _, event_id in positions:
            hashed = begun.copy()
            hashed.update(event_id)
            for probe in unpack(hashed.digest()):
                probe %= size
                if not bits[probe >> 3] >> (probe & 7) & 1:
                    lacked.append(event_id)
                    break
        return lacked
