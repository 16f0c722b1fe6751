"""Records, and letters, too large for one datagram: cut into fragments, and put together again in bounded memory.

Owns: the fragments of a record, and half-received records. Must not know: sessions, events' meaning.
The same event always has the same bytes (its author seals it once), so fragments that arrive in
different rounds, or after a restart of the sender, fill one buffer.
"""

from dataclasses import dataclass, field
from hashlib import sha256

from quire.limits import FRAGMENT_BYTES, MAX_REASSEMBLIES, MAX_REASSEMBLY_BYTES, REASSEMBLY_IDLE_MS
from quire.net.wire import BadFrame, Fragment

_TAG_BYTES = 8


def cut(record: bytes) -> list[Fragment]:
    """The fragments of a record, in order."""
    tag = sha256(record).digest()[:_TAG_BYTES]
    pieces = [record[at : at + FRAGMENT_BYTES] for at in range(0, len(record), FRAGMENT_BYTES)]
    return [Fragment(tag, place, len(pieces), piece) for place, piece in enumerate(pieces)]


@dataclass
class _Buffer:
    total: int
    touched: int
    pieces: dict[int, bytes] = field(default_factory=dict)
    size: int = 0


class Reassembly:
    """Buffers of one peer, at most so many, the least recently touched first."""

    def __init__(self, most: int = MAX_REASSEMBLIES) -> None:
        self._most = most
        self._buffers: dict[bytes, _Buffer] = {}
        self.size = 0

    def __len__(self) -> int:
        return len(self._buffers)

    def add(self, fragment: Fragment, now: int) -> bytes | None:
        """Take a fragment; the record if it is whole now. Raises BadFrame `fragment` when pieces disagree."""
        buffer = self._buffers.pop(fragment.tag, None) or _Buffer(fragment.total, now)
        if buffer.total != fragment.total:
            self.size -= buffer.size
            raise BadFrame("fragment")
        self._buffers[fragment.tag] = buffer
        buffer.touched = now
        if fragment.place not in buffer.pieces:
            buffer.pieces[fragment.place] = fragment.piece
            buffer.size += len(fragment.piece)
            self.size += len(fragment.piece)
        if len(buffer.pieces) == buffer.total:
            return self._finish(fragment.tag)
        while len(self._buffers) > self._most or self.size > MAX_REASSEMBLY_BYTES:
            self._drop(next(iter(self._buffers)))
        return None

    def expire(self, now: int) -> None:
        """Drop buffers that nothing was added to for REASSEMBLY_IDLE_MS."""
        while self._buffers:
            tag, buffer = next(iter(self._buffers.items()))
            if now - buffer.touched < REASSEMBLY_IDLE_MS:
                break
            self._drop(tag)

    def _finish(self, tag: bytes) -> bytes:
        buffer = self._drop(tag)
        record = b"".join(buffer.pieces[place] for place in range(buffer.total))
        if sha256(record).digest()[:_TAG_BYTES] != tag:
            raise BadFrame("fragment")
        return record

    def _drop(self, tag: bytes) -> _Buffer:
        buffer = self._buffers.pop(tag)
        self.size -= buffer.size
        return buffer
