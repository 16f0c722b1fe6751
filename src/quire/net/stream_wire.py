"""The frames of a stream.

Owns: bytes ↔ frames and their bodies. Must not know: when any of them is sent, or what it causes.

    frame: kind(1) ‖ length(4) ‖ body
"""

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import NamedTuple

from quire.core.sealing import KEY_ID_BYTES
from quire.limits import HEIGHTS_PER_FRAME, MAX_BLOB_BYTES, MAX_INTEGER, MAX_STREAM_FRAME, RUN_EVENTS
from quire.net.wire import BadFrame
from quire.sync.frontier import MARK_BYTES, Height, Want

HEIGHTS, WANT, RUN, DONE = range(1, 5)
_KINDS = range(HEIGHTS, DONE + 1)

_FRAME = Struct(">BI")
_HEIGHT = Struct(f">32sQ{MARK_BYTES}sQ")
_WANT = Struct(f">I32sQQ{MARK_BYTES}s")
_RUN = Struct(">IQB")
_GROUP = Struct(f">{KEY_ID_BYTES}sI")
FRAME_BYTES = _FRAME.size


class Heights(NamedTuple):
    """How far one side holds each log; `more` follow."""

    more: bool
    entries: list[Height]


class Asked(NamedTuple):
    """A question: `number` names it in the answers."""

    number: int
    want: Want


class Run(NamedTuple):
    """An answer, or a part of it: `key_id ‖ blob` of the events of a log up to `reached`; `last`: no more follow."""

    number: int
    reached: int
    last: bool
    records: list[bytes]


class Done(NamedTuple):
    """The sender has no more questions."""


StreamFrame = Heights | Asked | Run | Done


def frame(kind: int, *parts: bytes) -> bytes:
    """One frame of a kind, its body in parts."""
    body = b"".join(parts)
    return _FRAME.pack(kind, len(body)) + body


def split(data: bytearray) -> Iterator[tuple[int, bytes]]:
    """Take the whole frames out of what has come. Raises BadFrame `kind` or `length`."""
    at = 0
    while at + FRAME_BYTES <= len(data):
        kind, length = _FRAME.unpack_from(data, at)
        if kind not in _KINDS:
            raise BadFrame("stream-kind")
        if length > MAX_STREAM_FRAME:
            raise BadFrame("stream-length")
        end = at + FRAME_BYTES + length
        if end > len(data):
            break
        yield kind, bytes(data[at + FRAME_BYTES : end])
        at = end
    del data[:at]


def decode(kind: int, body: bytes) -> StreamFrame:
    """The frame. Raises BadFrame."""
    if kind == HEIGHTS:
        return _read_heights(body)
    if kind == WANT:
        return _read_want(body)
    if kind == RUN:
        return _read_run(body)
    if body:
        raise BadFrame("stream-done")
    return Done()


def heights(entries: Sequence[Height], more: bool) -> bytes:
    """HEIGHTS: at most HEIGHTS_PER_FRAME of them."""
    return frame(HEIGHTS, bytes((more,)), *(_HEIGHT.pack(*entry) for entry in entries))


def want(number: int, asked: Want) -> bytes:
    """WANT: `number` is less than 2^32."""
    return frame(WANT, _WANT.pack(number, *asked))


def run(number: int, reached: int, last: bool, groups: Sequence[tuple[bytes, Sequence[bytes]]]) -> bytes:
    """RUN: blobs in the order of their log, those under one key after its id."""
    parts = [_RUN.pack(number, reached, last)]
    for key_id, blobs in groups:
        parts.append(_GROUP.pack(key_id, len(blobs)))
        parts.append(Struct(f">{len(blobs)}I").pack(*map(len, blobs)))
        parts += blobs
    return frame(RUN, *parts)


def done() -> bytes:
    """DONE."""
    return frame(DONE)


def _read_heights(body: bytes) -> Heights:
    entries = (len(body) - 1) // _HEIGHT.size
    if not body or body[0] > 1 or len(body) != 1 + entries * _HEIGHT.size or entries > HEIGHTS_PER_FRAME:
        raise BadFrame("stream-heights")
    found = [Height(*_HEIGHT.unpack_from(body, 1 + place * _HEIGHT.size)) for place in range(entries)]
    if any(not 0 < entry.seq <= MAX_INTEGER or entry.born > MAX_INTEGER for entry in found):
        raise BadFrame("stream-heights")
    return Heights(bool(body[0]), found)


def _read_want(body: bytes) -> Asked:
    if len(body) != _WANT.size:
        raise BadFrame("stream-want")
    number, *rest = _WANT.unpack(body)
    asked = Want(*rest)
    if not asked.after < asked.until <= MAX_INTEGER or asked.until - asked.after > RUN_EVENTS:
        raise BadFrame("stream-want")
    return Asked(number, asked)


def _read_run(body: bytes) -> Run:
    if len(body) < _RUN.size:
        raise BadFrame("stream-run")
    number, reached, last = _RUN.unpack_from(body)
    if reached > MAX_INTEGER or last > 1:
        raise BadFrame("stream-run")
    records: list[bytes] = []
    at = _RUN.size
    while at < len(body):
        at = _read_group(body, at, records)
    return Run(number, reached, bool(last), records)


def _read_group(body: bytes, at: int, records: list[bytes]) -> int:
    """Add the records of the group at `at`; where the next one begins."""
    if at + _GROUP.size > len(body):
        raise BadFrame("stream-run")
    key_id, count = _GROUP.unpack_from(body, at)
    at += _GROUP.size
    start = int(at + 4 * count)
    if not 0 < count <= RUN_EVENTS - len(records) or start > len(body):
        raise BadFrame("stream-run")
    for length in Struct(f">{count}I").unpack_from(body, at):
        end = start + length
        if length > MAX_BLOB_BYTES or end > len(body):
            raise BadFrame("stream-run")
        records.append(key_id + body[start:end])
        start = end
    return start
