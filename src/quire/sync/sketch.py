"""`sketch`: what few events two large stores do not share is read off one datagram (Yang et al., SIGCOMM 2024).

Owns: when sketches are sent, and what is pushed because of them. Must not know: sessions, how sketches are kept.

A heartbeat carries count and fingerprint. Where they differ and may differ by little, each side sends a sketch of all
it holds; who takes the other's away from its own reads off which ids only one of them has, and pushes those that
it has. Where they differ by more than one sketch can tell, both find so: each sends its sketches part by part.
Where a part cannot be read either, or the stores still differ after some rounds, `bloom` does the rest, for a while.
What that asks is salted anew each time, so that ids which were mined to spoil sketches, or to cancel out in
them, cost some rounds and hide nothing.
"""

from collections import deque

from quire.core import cells
from quire.core.cells import CELLS, PARTS, Cells
from quire.core.cells import Sketch as Held
from quire.limits import (
    FAR_MS,
    FILTER_IDS,
    MAX_EAGER,
    SKETCH_ROUNDS,
    SKETCHES_PER_SECOND,
    SKETCHES_READ_PER_SECOND,
)
from quire.sync.allowance import Allowance
from quire.sync.bloom import BloomStrategy
from quire.sync.index import EventIndex
from quire.sync.messages import WHOLE, Message, Root, Sketch, decode, encode_sketch
from quire.sync.strategy import FREELY, Entropy, Pace

#: Ids by which two stores may differ for their sketches to be tried: more cannot be read off all parts together.
_NEAR = PARTS * CELLS // 2


class SketchStrategy:
    """See Strategy. `key` is the space's sync key, 32 bytes."""

    def __init__(self, key: bytes, entropy: Entropy) -> None:
        self._bloom = BloomStrategy(key, entropy)
        self._sending = Allowance()
        self._reading = Allowance()
        #: Sketches of ours to send, an ordered set; ids that the peer lacks, in order.
        self._due: dict[int, None] = {}
        self._lacked: deque[bytes] = deque()
        self._lacked_at = 0
        self._asked_at = 0
        #: Until when (ms) no sketches are tried, and rounds of them since the stores were last equal.
        self._far_until = 0
        self._rounds = 0

    @property
    def in_sync(self) -> bool | None:
        """Whether the peer's last heartbeat equalled our store; None before the first."""
        return self._bloom.in_sync

    @property
    def peer_count(self) -> int | None:
        """Events that the peer said it holds."""
        return self._bloom.peer_count

    @property
    def pushing(self) -> bool:
        """Whether `next_pushes` has something left to look at."""
        return bool(self._lacked) or self._bloom.pushing

    @property
    def asked_at(self) -> int:
        """When the peer said what `next_pushes` gave last, or the earliest of it (ms)."""
        return self._asked_at

    @property
    def asking(self) -> bool:
        """Whether `questions` has something left to ask."""
        return bool(self._due) or self._bloom.asking

    def heartbeat(self, index: EventIndex, now: int, pace: Pace = FREELY) -> list[bytes]:
        """Count and fingerprint, and questions that had to wait."""
        return [
            *self._bloom.heartbeat(index, now, pace._replace(most=0)),
            *self.questions(index, now, pace.most),
        ]

    def receive(self, message: bytes, index: EventIndex, now: int, pace: Pace = FREELY) -> list[bytes]:
        """Take a peer's message; the sketches and questions that follow from it. Raises BadMessage."""
        said = decode(message)
        if self._bloom.may_read(now):
            self._take(said, index, now, pace)
        return self.questions(index, now, pace.most)

    def questions(self, index: EventIndex, now: int, most: int) -> list[bytes]:
        """Sketches, then what `bloom` asks."""
        messages = self._sketches(index, now, most)
        return messages + self._bloom.questions(index, now, most - len(messages))

    def forget(self) -> None:
        """Leave what is to be pushed and asked."""
        self._bloom.forget()
        self._due.clear()
        self._lacked.clear()

    def next_pushes(self, index: EventIndex, limit: int, now: int) -> list[bytes]:
        """Ids that sketches showed the peer to lack, then those that its filters do not contain."""
        found = [self._lacked.popleft() for _ in range(min(limit, len(self._lacked)))]
        self._asked_at = self._lacked_at
        if not found:
            found = self._bloom.next_pushes(index, limit, now)
            self._asked_at = self._bloom.asked_at
        return found

    def _take(self, said: Message, index: EventIndex, now: int, pace: Pace) -> None:
        if isinstance(said, Sketch):
            held = index.sketch()
            if held is not None and self._reading.take(SKETCHES_READ_PER_SECOND, now):
                self._compare(said, held, index, now)
        elif isinstance(said, Root):
            self._hear(said, index, now, pace)
        else:
            self._bloom.take(said, index, now, pace)

    def _hear(self, root: Root, index: EventIndex, now: int, pace: Pace) -> None:
        own = index.whole()
        if self._bloom.hear(root, own, now):
            self._rest(0)
        elif WHOLE in self._due or not self._bloom.begins(pace, now):
            return
        elif not self._is_near(root, own.count, index, now):
            self._bloom.ask_about_all(root, own)
        elif self._rounds < SKETCH_ROUNDS:
            self._rounds += 1
            self._due[WHOLE] = None
        else:
            self._rest(now + FAR_MS)

    def _is_near(self, root: Root, own: int, index: EventIndex, now: int) -> bool:
        """Whether sketches may tell all that differs. Where little is held a single filter does."""
        if now < self._far_until or min(own, root.held) <= FILTER_IDS or abs(own - root.held) > _NEAR:
            return False
        return index.sketch() is not None

    def _compare(self, said: Sketch, held: Held, index: EventIndex, now: int) -> None:
        names = cells.difference(held.key, _of_part(held, said.part), said.cells)
        if names is not None:
            self._lack(names, index, now)
        elif said.part == WHOLE:
            self._due.update(dict.fromkeys(range(PARTS)))
        else:
            self._far_until = now + FAR_MS  # the other parts may still be read

    def _rest(self, until: int) -> None:
        """Leave off: the stores are equal, or too far apart for now."""
        self._far_until = until
        self._rounds = 0
        self._due.clear()
        self._lacked.clear()

    def _lack(self, names: list[int], index: EventIndex, now: int) -> None:
        """Push what is held of these names: the others are the peer's to push."""
        self._lacked_at = self._lacked_at if self._lacked else now
        known = set(self._lacked)
        room = MAX_EAGER - len(self._lacked)
        fresh = [event_id for _, event_id in index.called(names) if event_id not in known]
        self._lacked.extend(fresh[:room])

    def _sketches(self, index: EventIndex, now: int, most: int) -> list[bytes]:
        held = index.sketch() if self._due else None
        if held is None:
            self._due.clear()
            return []
        messages: list[bytes] = []
        while self._due and len(messages) < most and self._sending.take(SKETCHES_PER_SECOND, now):
            part = next(iter(self._due))
            del self._due[part]
            messages.append(encode_sketch(Sketch(part, _of_part(held, part))))
        return messages


def _of_part(held: Held, part: int) -> Cells:
    return cells.whole(held.parts) if part == WHOLE else held.parts[part]
