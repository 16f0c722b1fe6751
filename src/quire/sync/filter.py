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
_PROBE = 2  # bytes
_UNPACK = {probes: Struct(f">{probes}H").unpack for probes in range(1, FILTER_PROBES + 1)}
_OFF, _ON = b"01"


def bits_of(key: bytes, salt: bytes, ids: Iterable[bytes], count: int) -> bytes:
    """The filter of `count` ids: FILTER_BITS_PER_ID bits for each, FILTER_PROBES of them set."""
    size = count * FILTER_BITS_PER_ID // 8 * 8
    unpack = _UNPACK[FILTER_PROBES]
    digits = bytearray([_OFF]) * size
    for hashed in _hashes(key, salt, FILTER_PROBES, ids):
        for probe in unpack(hashed):
            digits[probe % size] = _ON
    digits.reverse()
    return int(digits or b"0", 2).to_bytes(size // 8, "little")


def _digits(bits: bytes) -> bytes:
    """A filter's bits, a digit for each: what is asked for many ids is looked up in this sooner than in the bits."""
    return f"{int.from_bytes(bits, 'little'):0{len(bits) * 8}b}".encode()[::-1]


def _hashes(key: bytes, salt: bytes, probes: int, ids: Iterable[bytes]) -> list[bytes]:
    """A keyed hash of each id. A copy of a hash that has taken in the key costs less than one that begins anew."""
    begun = blake2b(key=key, salt=salt, person=_PERSON, digest_size=probes * _PROBE)
    hashes = []
    for event_id in ids:
        hashed = begun.copy()
        hashed.update(event_id)
        hashes.append(hashed.digest())
    return hashes


class Bloom:
    """A peer's filter, ready to be tested against. Empty `bits` contain nothing."""

    def __init__(self, key: bytes, salt: bytes, probes: int, bits: bytes) -> None:
        self._key = key
        self._salt = salt
        self._probes = probes
        self._bits = bits

    def missing(self, positions: list[Position]) -> list[bytes]:
        """The ids that the filter surely does not contain, in order."""
        ids = [event_id for _, event_id in positions]
        if not self._bits:
            return ids
        digits, unpack = _digits(self._bits), _UNPACK[self._probes]
        size = len(digits)
        lacked: list[bytes] = []
        for event_id, hashed in zip(ids, _hashes(self._key, self._salt, self._probes, ids), strict=True):
            for probe in unpack(hashed):
                if digits[probe % size] == _OFF:
                    lacked.append(event_id)
                    break
        return lacked
