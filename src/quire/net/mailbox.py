"""What it takes to use a mailbox at a relay: keys made from a shared secret, and records that tell it nothing.

Owns: the derivation of a mailbox's keys, and how events become records. Must not know: connections, stores, what an
event is.

Whoever holds the secret (the key of an epoch, of a door) can open its mailboxes. The keys are made for one relay
each, so that two relays cannot tell that they keep the same; a new epoch has new mailboxes. A record is a bundle of
sealed items, sealed once more and padded, so that neither their number nor which key opens them is seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import msgspec
from nacl.exceptions import CryptoError

from quire.core.keys import DeviceKey, derive
from quire.core.sealing import open_sealed, seal
from quire.errors import BadEvent
from quire.limits import BUNDLE_BYTES, BUNDLE_ITEMS, MAX_RELAY_RECORD
from quire.net.relay_wire import Challenge, Hello, MailboxKeys, Record, Scope, proof_of

_LENGTH_BYTES = 4
_CONTEXT = b"quire relay bundle 1"
_decoder = msgspec.msgpack.Decoder(list[bytes])


@dataclass(frozen=True)
class Access:
    """A mailbox and how this device opens it. `secret`, `relay` and `device_seed` have 32 bytes each."""

    secret: bytes = field(repr=False)
    relay: bytes
    device_seed: bytes = field(repr=False)
    scope: Scope

    @cached_property
    def scope_key(self) -> DeviceKey:
        """The key that has this scope."""
        return DeviceKey(derive(self.secret, "quire mailbox", self.relay))

    @cached_property
    def keys(self) -> MailboxKeys:
        """The public keys that the mailbox is named by."""
        return MailboxKeys(**{self.scope: self.scope_key.public})

    @cached_property
    def id(self) -> bytes:
        """The mailbox's id: 32 bytes."""
        return self.keys.id

    @cached_property
    def device_key(self) -> DeviceKey:
        """This device's key in this mailbox alone."""
        return DeviceKey(derive(self.device_seed, "quire relay self", self.id))

    @cached_property
    def _bundle_key(self) -> bytes:
        return derive(self.secret, "quire relay seal", self.relay)

    def hello(
        self, challenge: Challenge, n: int, seq: int, local: int, frugal: bool, records: list[Record]
    ) -> Hello:
        """The message that opens it on a connection; see `Hello`."""
        device = self.device_key
        said = proof_of(challenge, self.id, self.scope, device.public)
        proofs = self.scope_key.sign(said), device.sign(said)
        return Hello(n, self.keys, self.scope, device.public, *proofs, seq, local, frugal, records)

    def seal(self, items: Sequence[bytes], nonce: bytes) -> bytes:
        """A record's data with these items; the 24-byte nonce must be fresh and random."""
        body = msgspec.msgpack.encode(list(items))
        size = _LENGTH_BYTES + len(body)
        padded = (len(body).to_bytes(_LENGTH_BYTES) + body).ljust(padme(size), b"\0")
        return seal(self._bundle_key, nonce, padded, _CONTEXT + self.id)

    def open(self, data: bytes) -> list[bytes]:
        """The items in a record. Raises BadEvent `bad-bundle` for what nobody with the secret can have sealed."""
        if len(data) > MAX_RELAY_RECORD:
            raise BadEvent("bad-bundle")
        try:
            padded = open_sealed(self._bundle_key, data, _CONTEXT + self.id)
            length = int.from_bytes(padded[:_LENGTH_BYTES])
            return _decoder.decode(padded[_LENGTH_BYTES : _LENGTH_BYTES + length])
        except (CryptoError, msgspec.DecodeError):
            raise BadEvent("bad-bundle") from None


def bundles(items: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Items in groups that make one record each: at most BUNDLE_ITEMS, and BUNDLE_BYTES unless one is larger."""
    start, size = 0, 0
    for place, item in enumerate(items):
        if place > start and (size + len(item) > BUNDLE_BYTES or place - start == BUNDLE_ITEMS):
            yield items[start:place]
            start, size = place, 0
        size += len(item)
    if start < len(items):
        yield items[start:]


def padme(size: int) -> int:
    """The size that so many bytes are padded to: at most 12 % more, and few sizes in all (PURBs, Nikitin 2019)."""
    if size < _SMALLEST:
        return _SMALLEST
    exponent = size.bit_length() - 1
    low = exponent - exponent.bit_length()
    mask = (1 << low) - 1
    return (size + mask) & ~mask


#: Below it everything looks the same: most messages do.
_SMALLEST = 480
