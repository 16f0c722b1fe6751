"""The payload of a link's datagram: a packet header, then frames.

Owns: bytes ↔ packets, frames and frame bodies. Must not know: when any of them is sent, or what it causes.

    packet: version(1) ‖ cid(8) ‖ echo(8) ‖ counter(8) ‖ frame…      frame: kind(1) ‖ length(2) ‖ body
"""

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

from quire.limits import (
    ACK_BITS,
    ADDRESSES_PER_FRAME,
    FRAGMENT_BYTES,
    MAX_ADDRESS_CHARS,
    MAX_BLOB_BYTES,
    MAX_DATAGRAM,
    MAX_LETTER_BYTES,
)
from quire.net.link import LINK_OVERHEAD
from quire.net.standing import Refusal
from quire.sync.messages import is_root

VERSION = 1
CID_BYTES = 8
NO_CID = bytes(CID_BYTES)

HELLO, ACK, SYNC, EVENTS, FRAGMENT, ADDRESSES, PING, LETTER, REFUSED, PART = range(1, 11)
_KINDS = range(HELLO, PART + 1)
_ACKNOWLEDGED = (EVENTS, FRAGMENT, ADDRESSES, PING, LETTER, REFUSED, PART)

_PACKET = Struct(">B8s8sQ")
_FRAME = Struct(">BH")
_LENGTH = Struct(">H")
_FRAGMENT = Struct(">8sBB")

PACKET_BYTES = _PACKET.size
FRAME_BYTES = _FRAME.size
#: Bytes that frames may fill in one datagram, and the largest record that an EVENTS frame can carry.
FRAMES_ROOM = MAX_DATAGRAM - LINK_OVERHEAD - PACKET_BYTES
RECORD_BYTES = 2
MAX_INLINE = FRAMES_ROOM - FRAME_BYTES - RECORD_BYTES

#: `key_id ‖ blob`: the least (an empty event) and the most that a peer may send.
MIN_RECORD = 8 + 24 + 16
MAX_RECORD = 8 + MAX_BLOB_BYTES
MAX_FRAGMENTS = -(-MAX_RECORD // FRAGMENT_BYTES)
#: Parts of a letter.
MAX_PARTS = -(-MAX_LETTER_BYTES // FRAGMENT_BYTES)

_STRATEGY_BYTES = 16


class BadFrame(Exception):
    """Authenticated bytes that are no packet; `reason` is a short stable slug, counted per peer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Packet(NamedTuple):
    """`cid` names the sender's run, `echo` the receiver's run as the sender knows it (NO_CID: not yet)."""

    cid: bytes
    echo: bytes
    counter: int
    frames: bytes


class Fragment(NamedTuple):
    """Piece `place` of `total` of the record whose SHA-256 begins with `tag`."""

    tag: bytes
    place: int
    total: int
    piece: bytes


def is_question(kind: int, body: bytes) -> bool:
    """Whether a frame says more of the strategy than a heartbeat; the first byte of its body tells."""
    return kind == SYNC and not is_root(body)


def wants_ack(kind: int, body: bytes) -> bool:
    """Whether a frame is to be acknowledged; the first byte of its body tells."""
    return kind in _ACKNOWLEDGED or is_question(kind, body)


def packet(cid: bytes, echo: bytes, counter: int, frames: Sequence[bytes]) -> bytes:
    """The payload of one datagram."""
    return b"".join((_PACKET.pack(VERSION, cid, echo, counter), *frames))


def read_packet(data: bytes) -> Packet:
    """The packet in a payload. Raises BadFrame `short` or `version`."""
    if len(data) < PACKET_BYTES:
        raise BadFrame("short")
    version, cid, echo, counter = _PACKET.unpack_from(data)
    if version != VERSION:
        raise BadFrame("version")
    return Packet(cid, echo, counter, data[PACKET_BYTES:])


def frame(kind: int, *parts: bytes) -> bytes:
    """One frame of a kind, its body in parts."""
    body = b"".join(parts)
    return _FRAME.pack(kind, len(body)) + body


def sync_last(frames: bytes) -> list[tuple[int, bytes]]:
    """As `read_frames`, but SYNC after all others: the store is read for it, which may fail."""
    return sorted(read_frames(frames), key=lambda frame: frame[0] == SYNC)


def read_frames(data: bytes) -> list[tuple[int, bytes]]:
    """All frames of a packet. Raises BadFrame `short` or `kind`."""
    frames: list[tuple[int, bytes]] = []
    at, size = 0, len(data)
    while at < size:
        if at + FRAME_BYTES > size:
            raise BadFrame("short")
        kind, length = _FRAME.unpack_from(data, at)
        at += FRAME_BYTES
        if kind not in _KINDS:
            raise BadFrame("kind")
        if at + length > size:
            raise BadFrame("short")
        frames.append((kind, data[at : at + length]))
        at += length
    return frames


def hello(strategy: str) -> bytes:
    """HELLO: the name of the sync strategy, in a body of one size so that no greeting outgrows another."""
    return frame(HELLO, strategy.encode().ljust(_STRATEGY_BYTES, b"\0")[:_STRATEGY_BYTES])


def read_hello(body: bytes) -> str:
    """The peer's strategy. Raises BadFrame `hello`."""
    name = body.rstrip(b"\0")
    if len(body) != _STRATEGY_BYTES or not name.isalnum():
        raise BadFrame("hello")
    return name.decode("ascii", "replace")


def ack(highest: int, seen: int) -> bytes:
    """ACK: the highest counter received; bit i of `seen` says that `highest - 1 - i` was received too."""
    return frame(ACK, highest.to_bytes(8, "big"), (seen % (1 << ACK_BITS)).to_bytes(ACK_BITS // 8, "big"))


def read_ack(body: bytes) -> tuple[int, int]:
    """`(highest, seen)`. Raises BadFrame `ack`."""
    if len(body) != 8 + ACK_BITS // 8:
        raise BadFrame("ack")
    return int.from_bytes(body[:8], "big"), int.from_bytes(body[8:], "big")


def events(records: Sequence[bytes]) -> bytes:
    """EVENTS: `key_id ‖ blob` of several events, each led by its length."""
    parts: list[bytes] = []
    for record in records:
        parts += (_LENGTH.pack(len(record)), record)
    return frame(EVENTS, *parts)


def read_events(body: bytes) -> list[bytes]:
    """The records of an EVENTS frame. Raises BadFrame `events`."""
    records: list[bytes] = []
    at, size = 0, len(body)
    while at < size:
        start = at + RECORD_BYTES
        if start > size:
            raise BadFrame("events")
        at = start + _LENGTH.unpack_from(body, at)[0]
        if at > size or at - start < MIN_RECORD:
            raise BadFrame("events")
        records.append(body[start:at])
    return records


def fragment(part: Fragment) -> bytes:
    """FRAGMENT: one piece of a record that is too large for a datagram."""
    return frame(FRAGMENT, _FRAGMENT.pack(part.tag, part.place, part.total), part.piece)


def read_fragment(body: bytes) -> Fragment:
    """The piece. Raises BadFrame `fragment` unless its size is the one that its place demands."""
    if len(body) <= _FRAGMENT.size:
        raise BadFrame("fragment")
    tag, place, total = _FRAGMENT.unpack_from(body)
    piece = body[_FRAGMENT.size :]
    fits = len(piece) == FRAGMENT_BYTES if place + 1 < total else len(piece) <= FRAGMENT_BYTES
    if not fits or not place < total or not 2 <= total <= MAX_FRAGMENTS:
        raise BadFrame("fragment")
    return Fragment(tag, place, total, piece)


def addresses(known: Sequence[tuple[bytes, str]]) -> bytes:
    """ADDRESSES: device keys and the `host:port` they were last reached at, at most ADDRESSES_PER_FRAME."""
    parts: list[bytes] = []
    for device, text in known[:ADDRESSES_PER_FRAME]:
        raw = text.encode("ascii")
        parts += (device, bytes((len(raw),)), raw)
    return frame(ADDRESSES, *parts)


def read_addresses(body: bytes) -> list[tuple[bytes, str]]:
    """Device keys and addresses, unproven. Raises BadFrame `addresses`."""
    known: list[tuple[bytes, str]] = []
    at = 0
    while at < len(body):
        device, length = body[at : at + 32], body[at + 32 : at + 33]
        at += 33 + int.from_bytes(length, "big")
        text = body[at - int.from_bytes(length, "big") : at].decode("latin-1")
        if at > len(body) or not is_address(text) or len(known) >= ADDRESSES_PER_FRAME:
            raise BadFrame("addresses")
        known.append((device, text))
    return known


def letter(data: bytes) -> bytes:
    """LETTER: a message of the layers above, 1 to FRAGMENT_BYTES."""
    return frame(LETTER, data)


def read_letter(body: bytes) -> bytes:
    """The message. Raises BadFrame `letter`."""
    if not 1 <= len(body) <= FRAGMENT_BYTES:
        raise BadFrame("letter")
    return body


def letter_part(part: Fragment) -> bytes:
    """PART: one piece of a letter that is longer."""
    return frame(PART, _FRAGMENT.pack(part.tag, part.place, part.total), part.piece)


def read_letter_part(body: bytes) -> Fragment:
    """The piece. Raises BadFrame `fragment`, also where more are announced than a letter has."""
    part = read_fragment(body)
    if part.total > MAX_PARTS:
        raise BadFrame("fragment")
    return part


def refused(reason: Refusal | None) -> bytes:
    """REFUSED: why the receiver is given nothing; None takes back what was said before."""
    return frame(REFUSED, bytes((reason or 0,)))


def read_refused(body: bytes) -> Refusal | None:
    """The reason, or None. Raises BadFrame `refused`."""
    if len(body) != 1 or body[0] > max(Refusal):
        raise BadFrame("refused")
    return Refusal(body[0]) if body[0] else None


def is_address(text: str) -> bool:
    """Whether a text may travel as an address."""
    return 1 <= len(text) <= MAX_ADDRESS_CHARS and text.isascii() and text.isprintable()
