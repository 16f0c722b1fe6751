"""The wire form of strategy messages: one kind byte (version in its high half), then fields.

Owns: bytes ↔ Root, Buckets, Filter, Sketch. Must not know: what is asked or answered, or why.
Integers are unsigned LEB128 in their one shortest spelling, so that a message has one spelling too.
"""

from typing import NamedTuple

from quire.core.cells import PARTS, Cells, pack, unpack
from quire.limits import FILTER_PROBES, MAX_SYNC_BYTES
from quire.sync.index import COARSE, END, FINE, Position
from quire.sync.strategy import PRINT_BYTES, SALT_BYTES, BadMessage

_ROOT, _BUCKETS, _FILTER, _SKETCH = 0x11, 0x12, 0x13, 0x14
#: The place of a part that stands for all of them.
WHOLE = PARTS
_MAX_BOUND_ID = 33
#: More entries than one Buckets can hold: each takes two integers and a print.
ENTRIES = MAX_SYNC_BYTES // (2 + PRINT_BYTES)


class Root(NamedTuple):
    """Heartbeat: count and fingerprint of all that is held, and whether its sender is pushing to us."""

    salt: bytes
    held: int
    print: bytes
    pushing: bool


class Buckets(NamedTuple):
    """Count and fingerprint of each non-empty bucket in `[first, last)`; what is not named is empty."""

    salt: bytes
    level: int
    first: int
    last: int
    entries: list[tuple[int, int, bytes]]


class Filter(NamedTuple):
    """A Bloom filter of the `held` ids in `[low, high)`: push what it does not contain."""

    salt: bytes
    low: Position
    high: Position
    held: int
    probes: int
    bits: bytes


class Sketch(NamedTuple):
    """A sketch of the ids held in one of PARTS, or of all (WHOLE): push what I lack."""

    part: int
    cells: Cells


Message = Root | Buckets | Filter | Sketch


def is_root(message: bytes) -> bool:
    """Whether an encoded message is a Root: only these tell whether both sides hold the same."""
    return message[:1] == bytes((_ROOT,))


def varint(value: int) -> bytes:
    """Unsigned LEB128."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_root(root: Root) -> bytes:
    """Bytes of a heartbeat."""
    return b"".join((bytes((_ROOT, root.pushing)), root.salt, root.print, varint(root.held)))


def encode_filter(question: Filter) -> bytes:
    """Bytes of a filter; the bits come last and fill the message."""
    low, high = _bound(question.low), _bound(question.high)
    head = bytes((_FILTER, question.probes)) + question.salt
    return b"".join((head, low, high, varint(question.held), question.bits))


def encode_sketch(sketch: Sketch) -> bytes:
    """Bytes of a sketch."""
    return bytes((_SKETCH, sketch.part)) + pack(sketch.cells)


def encode_buckets(buckets: Buckets) -> tuple[bytes, int]:
    """Bytes of as many entries as fit, and the bucket at which the next message must begin (`last`: all fit).

    The span in the message ends where the entries that it holds end.
    """
    head = bytes((_BUCKETS, buckets.level)) + buckets.salt + varint(buckets.first)
    room = MAX_SYNC_BYTES - len(head) - len(varint(buckets.last))
    parts: list[bytes] = []
    at, end = buckets.first, buckets.last
    for bucket, count, mark in buckets.entries:
        part = varint(bucket - at) + varint(count) + mark
        room -= len(part)
        if room < 0:
            end = bucket
            break
        parts.append(part)
        at = bucket
    return b"".join((head, varint(end), *parts)), end


def decode(data: bytes) -> Message:
    """The message in bytes. Raises BadMessage `too-large`, `kind`, `short`, `integer`, `range` or `order`."""
    if len(data) > MAX_SYNC_BYTES:
        raise BadMessage("too-large")
    reader = _Reader(data)
    kind = reader.byte()
    if kind == _ROOT:
        return _root(reader)
    if kind == _BUCKETS:
        return _buckets(reader)
    if kind == _FILTER:
        return _filter(reader)
    if kind == _SKETCH:
        return _sketch(reader)
    raise BadMessage("kind")


def _root(reader: "_Reader") -> Root:
    pushing = reader.byte()
    salt, mark, count = reader.take(SALT_BYTES), reader.take(PRINT_BYTES), reader.varint()
    if pushing > 1 or not reader.done():
        raise BadMessage("range")
    return Root(salt, count, mark, pushing == 1)


def _buckets(reader: "_Reader") -> Buckets:
    level, salt = reader.byte(), reader.take(SALT_BYTES)
    first, last = reader.varint(), reader.varint()
    if level not in (COARSE, FINE) or not first < last <= END[0] >> level:
        raise BadMessage("range")
    if level == FINE and first >> COARSE - FINE != last - 1 >> COARSE - FINE:
        raise BadMessage("range")
    entries: list[tuple[int, int, bytes]] = []
    at = first
    while not reader.done():
        step, count, mark = reader.varint(), reader.varint(), reader.take(PRINT_BYTES)
        at += step
        if at >= last or not count or (entries and not step):
            raise BadMessage("order")
        entries.append((at, count, mark))
    return Buckets(salt, level, first, last, entries)


def _filter(reader: "_Reader") -> Filter:
    probes, salt = reader.byte(), reader.take(SALT_BYTES)
    low, high, count, bits = reader.bound(), reader.bound(), reader.varint(), reader.rest()
    if not low < high <= END or not 1 <= probes <= FILTER_PROBES or bool(count) != bool(bits):
        raise BadMessage("range")
    return Filter(salt, low, high, count, probes, bits)


def _sketch(reader: "_Reader") -> Sketch:
    part = reader.byte()
    if part > WHOLE:
        raise BadMessage("range")
    try:
        return Sketch(part, unpack(reader.rest()))
    except ValueError:
        raise BadMessage("short") from None


def _bound(position: Position) -> bytes:
    return varint(position[0]) + bytes((len(position[1]),)) + position[1]


class _Reader:
    """Cuts fields off a message from the left."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def done(self) -> bool:
        return self._at == len(self._data)

    def byte(self) -> int:
        return self.take(1)[0]

    def take(self, length: int) -> bytes:
        end = self._at + length
        if end > len(self._data):
            raise BadMessage("short")
        value = self._data[self._at : end]
        self._at = end
        return value

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
            if shift > 56:
                raise BadMessage("integer")
        if shift > 7 and not byte:
            raise BadMessage("integer")
        return value

    def bound(self) -> Position:
        ts, length = self.varint(), self.byte()
        if length > _MAX_BOUND_ID:
            raise BadMessage("range")
        return ts, self.take(length)
