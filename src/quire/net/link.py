"""The encrypted, authenticated channel between two devices of a space, one datagram at a time.

Owns: the datagram's bytes. Must not know: frames, sessions, addresses.

    nonce(24) ‖ mask(to_tag(8) ‖ from(32)) ‖ XChaCha20-Poly1305(pair key, nonce, payload)

Whoever lacks the link key sees only sizes and times: the header is masked with a keystream from the
nonce (as QUIC protects headers, RFC 9001 §5.4), and the cipher's associated data names space, sender and
receiver, so a datagram opens nowhere else and not in the other direction. The pair key is made from the
two device keys (X25519) and the link key: holding the link key alone opens nothing. There is no forward
secrecy here; blobs inside are sealed by themselves.
"""

from hashlib import blake2b
from typing import NamedTuple

from nacl.exceptions import CryptoError

from quire.core.keys import KEY_BYTES, DeviceKey, agreement_public, derive
from quire.core.sealing import NONCE_BYTES, TAG_BYTES, open_sealed, seal
from quire.limits import MAX_DATAGRAM

TO_TAG_BYTES = 8
_HEADER_BYTES = TO_TAG_BYTES + KEY_BYTES
_SEALED_AT = NONCE_BYTES + _HEADER_BYTES

#: Bytes of a datagram that are not payload.
LINK_OVERHEAD = _SEALED_AT + TAG_BYTES
#: Bytes that a stream begins with.
GREETING_BYTES = _SEALED_AT


class StreamKeys(NamedTuple):
    """X25519 keys, ours private and the peer's public, a secret that both know, and the space (32 bytes each)."""

    private: bytes
    peer: bytes
    shared: bytes
    space_id: bytes


class Door:
    """A space as it is met on the wire: masks and unmasks headers with the link key."""

    def __init__(self, space_id: bytes, link_key: bytes) -> None:
        self.space_id = space_id
        self._link_key = link_key
        self._header_key = derive(link_key, "quire header", space_id)

    def tag(self, device: bytes) -> bytes:
        """The 8-byte name under which a device is addressed in this space."""
        return derive(self._header_key, "quire to tag", device, TO_TAG_BYTES)

    def pair_key(self, mine: DeviceKey, other: bytes) -> bytes:
        """The key of the link between two devices. Raises ValueError when `other` is no usable key."""
        return derive(mine.agree(other), "quire link key", self._link_key + self.space_id)

    def sync_key(self) -> bytes:
        """The key under which this space's members compare what they hold."""
        return derive(self._link_key, "quire sync key", self.space_id)

    def mask(self, nonce: bytes, header: bytes) -> bytes:
        """Mask or unmask `to_tag ‖ from`."""
        stream = blake2b(nonce, key=self._header_key, digest_size=_HEADER_BYTES).digest()
        return (int.from_bytes(header, "big") ^ int.from_bytes(stream, "big")).to_bytes(_HEADER_BYTES, "big")

    def peek(self, datagram: bytes) -> tuple[bytes, bytes] | None:
        """`(to_tag, from)` as a datagram claims, unproven; None for a size that none can have."""
        return self.header(datagram) if LINK_OVERHEAD <= len(datagram) <= MAX_DATAGRAM else None

    def header(self, data: bytes) -> tuple[bytes, bytes]:
        """`(to_tag, from)` as GREETING_BYTES or more claim, unproven."""
        header = self.mask(data[:NONCE_BYTES], data[NONCE_BYTES:_SEALED_AT])
        return header[:TO_TAG_BYTES], header[TO_TAG_BYTES:]


class Link:
    """Seals to, and opens from, one other device."""

    def __init__(self, door: Door, mine: DeviceKey, other: bytes) -> None:
        self._door = door
        self._mine, self._other = mine, other
        self._key = door.pair_key(mine, other)
        self._out_header = door.tag(other) + mine.public
        domain = b"quire link 1" + door.space_id
        self._out_context = domain + mine.public + other
        self._in_context = domain + other + mine.public

    def seal(self, nonce: bytes, payload: bytes) -> bytes:
        """The datagram that carries `payload`; `nonce` is 24 fresh random bytes."""
        sealed = seal(self._key, nonce, payload, self._out_context)
        return nonce + self._door.mask(nonce, self._out_header) + sealed[NONCE_BYTES:]

    @property
    def goes_first(self) -> bool:
        """True at one end of the two, where something has to be decided."""
        return self._mine.public < self._other

    def greeting(self, nonce: bytes) -> bytes:
        """What a stream to the other device begins with: who calls whom, masked; `nonce` is 24 fresh random bytes."""
        return nonce + self._door.mask(nonce, self._out_header)

    def stream_keys(self) -> "StreamKeys":
        """What a stream between the two devices is encrypted with."""
        return StreamKeys(
            self._mine.agreement_private,
            agreement_public(self._other),
            derive(self._key, "quire stream", self._door.space_id),
            self._door.space_id,
        )

    def open(self, datagram: bytes) -> bytes | None:
        """The payload of a datagram from the other device to this one; None for any other bytes."""
        try:
            sealed = datagram[:NONCE_BYTES] + datagram[_SEALED_AT:]
            return open_sealed(self._key, sealed, self._in_context)
        except CryptoError:
            return None
