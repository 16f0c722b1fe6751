"""The relay protocol: messages, mailboxes, proofs and the running hash. The words of both sides.

Owns: bytes of messages (MessagePack arrays, one to a WebSocket message) and what is signed and hashed.
Must not know: sockets, stores, what is inside a record, who anybody is.

A mailbox is an append-only log of records at one relay. Its id is a hash of the public keys that open it, one for
each scope (`private`, `friend`, `space`; those that it lacks are empty), so that a relay needs no list of who may
do what: whoever signs a connection's nonce with the key of a scope has that scope, and `private` has all of them.
Devices go by keys made for one mailbox, so that neither ids nor devices can be linked to anybody.

The relay numbers records from 1 in the order in which they arrive: that is the cursor. `local` is a device's own
number of a record, and `timestamp:local:device` sorts by time. Each record hashes into a chain, whose latest link
the relay signs with its length: two signed heads that cannot both be true prove a relay that rolled back, dropped
or reordered. Seed 001 has the scenarios (`hello`, `last_synced`, `seq`).
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Literal, NamedTuple, TypeVar

import msgspec

from quire.core.encoding import to_text
from quire.core.keys import KEY_BYTES, SIGNATURE_BYTES, DeviceKey, verify
from quire.limits import MAX_INTEGER, MAX_RELAY_MESSAGE, MAX_RELAY_RECORD, RECORDS_PER_MESSAGE

VERSION = 1
Scope = Literal["private", "friend", "space"]
SCOPES: tuple[Scope, ...] = ("private", "friend", "space")
#: The chain of a mailbox without records.
NO_CHAIN = bytes(32)
NONCE_BYTES = 32

#: Why the relay does not do something: too much at once or in all, no right, nothing that can be read, too many
#: mailboxes on one connection, a record that is too large, its disk full, the relay about to stop.
Reason = Literal[
    "rate",
    "full",
    "forbidden",
    "malformed",
    "mailboxes",
    "too-large",
    "unavailable",
    "damaged",
    "going-away",
    "version",
]


class BadRelayMessage(Exception):
    """Bytes that are no message, or one that nobody may send; `reason` is a short stable slug, counted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MailboxKeys(NamedTuple):
    """The public key (32 bytes) of each scope of a mailbox; b"" for a scope that it lacks."""

    private: bytes = b""
    friend: bytes = b""
    space: bytes = b""

    @property
    def id(self) -> bytes:
        """The mailbox's id: 32 bytes."""
        return sha256(b"quire mailbox 1" + b"".join(key.ljust(KEY_BYTES, b"\0") for key in self)).digest()

    def of(self, scope: Scope) -> bytes:
        """The key of a scope; b"" where the mailbox lacks it."""
        return self[SCOPES.index(scope)]


class Record(NamedTuple):
    """What a device adds: its own number of it, when it was handed over (ms), who may have it, and the bytes."""

    local: int
    ts: int
    scope: Scope
    data: bytes


class Entry(NamedTuple):
    """A record as the relay gives it; `sender` is the place of the device in the message's `devices`.

    Of what is not given (the reader's own, another scope's, or removed by retention) there is the digest alone:
    `data` is None and `digest` has 32 bytes; else `digest` is b"".
    """

    sender: int
    local: int
    ts: int
    scope: Scope
    data: bytes | None
    digest: bytes = b""


class Head(NamedTuple):
    """How long a mailbox's log is, the chain at its end, and the relay's signature of both."""

    length: int
    chain: bytes
    sig: bytes


class Message(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """A message; `n` is the number that the client gave a mailbox on this connection."""


# --- the relay's


class Challenge(Message, tag=1, frozen=True):
    """The first message of a connection: the relay's public key, and what is to be signed."""

    version: int
    relay: bytes
    nonce: bytes


class Greeting(Message, tag=2, frozen=True):
    """The answer to Hello. `had`: the device's last local number before it; `taken`: after it. `synced`: what the
    device acknowledged last. `news`: how many records of each other device it lacks.
    """

    n: int
    head: Head
    had: int
    taken: int
    synced: int
    news: list[tuple[bytes, int]]


class Added(Message, tag=3, frozen=True):
    """Records were kept, up to the device's number `taken`."""

    n: int
    taken: int
    head: Head


class Entries(Message, tag=4, frozen=True):
    """Entries from the place `first` on, after the chain `before`; `reached`: the relay has no more at present.

    Places between the reader's cursor and `first` were removed by retention: `before` is all that is left of them.
    """

    n: int
    first: int
    before: bytes
    devices: list[bytes]
    entries: list[Entry]
    head: Head
    reached: bool


class Grown(Message, tag=5, frozen=True):
    """A frugal reader's news: the log has a new length."""

    n: int
    head: Head


class Found(Message, tag=6, frozen=True):
    """The answer to Range, in the order of the sort key: entries with the places that they have in the log."""

    n: int
    devices: list[bytes]
    places: list[int]
    entries: list[Entry]


class Refusal(Message, tag=7, frozen=True):
    """Why a message was not acted on, in a word for programs and a sentence for people; `retry_ms` from now (0: never).

    `n` is 0 when it concerns the whole connection, which then ends.
    """

    n: int
    reason: Reason
    retry_ms: int
    text: str


# --- the client's


class Hello(Message, tag=20, frozen=True):
    """Open a mailbox: who asks, by which scope, and what it has.

    `seq` is the place up to which it has read, `local` the last of its own numbers that it knows to be kept,
    `records` what it has added since. `seq` of -1: from where this device acknowledged last. With `frugal` it is
    told lengths alone, and reads by itself.
    """

    n: int
    keys: MailboxKeys
    scope: Scope
    device: bytes
    proof: bytes
    device_proof: bytes
    seq: int
    local: int
    frugal: bool
    records: list[Record]


class Add(Message, tag=21, frozen=True):
    """Keep these records."""

    n: int
    records: list[Record]


class Ack(Message, tag=22, frozen=True):
    """All up to the place `seq` is kept here: the relay may give more."""

    n: int
    seq: int


class Read(Message, tag=23, frozen=True):
    """Give entries after the place `after`, at most `limit` of them."""

    n: int
    after: int
    limit: int


class Range(Message, tag=24, frozen=True):
    """Give entries whose sort key is in [`low`, `high`), the last ones first if `newest`, at most `limit`."""

    n: int
    low: str
    high: str
    limit: int
    newest: bool


class Leave(Message, tag=25, frozen=True):
    """Close a mailbox on this connection."""

    n: int


FromRelay = Challenge | Greeting | Added | Entries | Grown | Found | Refusal
FromClient = Hello | Add | Ack | Read | Range | Leave

_from_relay: msgspec.msgpack.Decoder[FromRelay] = msgspec.msgpack.Decoder(FromRelay)
_from_client: msgspec.msgpack.Decoder[FromClient] = msgspec.msgpack.Decoder(FromClient)
encode = msgspec.msgpack.Encoder().encode
_Said = TypeVar("_Said")


def read_relay(data: bytes) -> FromRelay:
    """A relay's message. Raises BadRelayMessage."""
    said = _read(_from_relay, data)
    if isinstance(said, Entries | Found):
        _check_entries(said.entries, len(said.devices))
    return said


def read_client(data: bytes) -> FromClient:
    """A client's message, its sizes and numbers checked. Raises BadRelayMessage."""
    said = _read(_from_client, data)
    if not 0 < said.n <= MAX_INTEGER:
        raise BadRelayMessage("malformed")
    if isinstance(said, Hello):
        sizes = [len(key) for key in (*said.keys, said.keys.of(said.scope), said.device)]
        proofs = {len(said.proof), len(said.device_proof)}
        if not {*sizes[:3]} <= {0, KEY_BYTES} or {*sizes[3:]} != {KEY_BYTES} or proofs != {SIGNATURE_BYTES}:
            raise BadRelayMessage("malformed")
        if not -1 <= said.seq <= MAX_INTEGER or not 0 <= said.local <= MAX_INTEGER:
            raise BadRelayMessage("malformed")
    if isinstance(said, Hello | Add):
        _check_records(said.records)
    return said


def _read(decoder: msgspec.msgpack.Decoder[_Said], data: bytes) -> _Said:
    if len(data) > MAX_RELAY_MESSAGE:
        raise BadRelayMessage("too-large")
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRelayMessage("malformed") from None


def _check_records(records: Sequence[Record]) -> None:
    if len(records) > RECORDS_PER_MESSAGE:
        raise BadRelayMessage("too-large")
    last = 0
    for record in records:
        if not last < record.local <= MAX_INTEGER or not 0 <= record.ts <= MAX_INTEGER or not record.data:
            raise BadRelayMessage("malformed")
        if len(record.data) > MAX_RELAY_RECORD:
            raise BadRelayMessage("too-large")
        last = record.local


def _check_entries(entries: Iterable[Entry], devices: int) -> None:
    for entry in entries:
        if not 0 <= entry.sender < devices or len(entry.digest) != (32 if entry.data is None else 0):
            raise BadRelayMessage("malformed")


# --- what is hashed and signed


def digest(device: bytes, record: Record) -> bytes:
    """The hash of a record and of all that the relay knows of it: 32 bytes."""
    head = b"%s %d %d " % (record.scope.encode(), record.ts, record.local)
    return sha256(head + device + sha256(record.data).digest()).digest()


def link(chain: bytes, digests: Iterable[bytes]) -> bytes:
    """The chain after records with these digests."""
    for one in digests:
        chain = sha256(chain + one).digest()
    return chain


def sign_head(key: DeviceKey, mailbox: bytes, length: int, chain: bytes) -> Head:
    """What the relay vouches for."""
    return Head(length, chain, key.sign(_head(mailbox, length, chain)))


def head_holds(relay: bytes, mailbox: bytes, head: Head) -> bool:
    """Whether the relay signed this (never raises)."""
    return 0 <= head.length <= MAX_INTEGER and verify(
        relay, _head(mailbox, head.length, head.chain), head.sig
    )


def _head(mailbox: bytes, length: int, chain: bytes) -> bytes:
    return b"quire relay head 1" + mailbox + length.to_bytes(8) + chain


def proof_of(challenge: Challenge, mailbox: bytes, scope: Scope, device: bytes) -> bytes:
    """What a client signs, with the key of the scope and with that of its device."""
    return b"quire relay proof 1" + challenge.relay + challenge.nonce + mailbox + device + scope.encode()


def hello_holds(challenge: Challenge, hello: Hello) -> bool:
    """Whether both signatures of a Hello are right for this connection (never raises)."""
    said = proof_of(challenge, hello.keys.id, hello.scope, hello.device)
    return verify(hello.keys.of(hello.scope), said, hello.proof) and verify(
        hello.device, said, hello.device_proof
    )


def may_have(granted: Scope, scope: Scope) -> bool:
    """Whether who proved one scope may read and write records of another: the owner may have all."""
    return granted in ("private", scope)


def sort_key(ts: int, local: int, device: bytes) -> str:
    """`timestamp:local:device` with both numbers padded, so that the order of text is the order of time."""
    return f"{ts:016d}:{local:016d}:{to_text(device)}"
