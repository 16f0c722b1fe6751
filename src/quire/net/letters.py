"""Letters to and from one peer: small opaque messages of the layers above.

Owns: those that wait to be sent, and how many are sent and taken per minute.
Must not know: what they say, counters, acknowledgement.
"""

from collections import deque
from collections.abc import Sequence

from quire.limits import (
    FRAGMENT_BYTES,
    LETTERS_PER_MINUTE,
    MAX_LETTER_BYTES,
    MAX_LETTERS_IN_PARTS,
    MAX_LETTERS_WAITING,
)
from quire.net import wire
from quire.net.fragments import Reassembly, cut
from quire.sync.allowance import Allowance

_MINUTE = 60_000


class Letters:
    """Of one session; `now` in ms."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque(maxlen=MAX_LETTERS_WAITING)
        self._sending = Allowance(_MINUTE)
        self._taking = Allowance(_MINUTE)
        self._parts = Reassembly(MAX_LETTERS_IN_PARTS)
        #: When those can go that had to stay, the last time that any could go, for there were too many.
        self.held_until: int | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, data: bytes) -> None:
        """Queue a letter, a long one in parts; beyond MAX_LETTERS_WAITING the oldest are dropped.

        Raises ValueError unless it has 1 to MAX_LETTER_BYTES.
        """
        if not 1 <= len(data) <= MAX_LETTER_BYTES:
            raise ValueError(f"a letter has 1 to {MAX_LETTER_BYTES:,} bytes, not {len(data):,}")
        if len(data) <= FRAGMENT_BYTES:
            self._waiting.append(wire.letter(data))
        else:
            self._waiting.extend(map(wire.letter_part, cut(data)))

    def again(self, frames: Sequence[bytes]) -> None:
        """These were lost: send them before the others. They are the oldest, so where none fit they go."""
        for frame in reversed(frames):
            if len(self._waiting) < MAX_LETTERS_WAITING:
                self._waiting.appendleft(frame)

    def next(self, room: int, now: int) -> list[bytes]:
        """LETTER and PART frames of at most `room` bytes that may go now."""
        frames: list[bytes] = []
        self.held_until = None
        while self._waiting and len(self._waiting[0]) <= room:
            if not self._sending.take(LETTERS_PER_MINUTE // 2, now):
                self.held_until = self._sending.renewed_at
                break
            frames.append(self._waiting.popleft())
            room -= len(frames[-1])
        return frames

    def take(self, kind: int, body: bytes, now: int) -> list[bytes]:
        """The letter that a LETTER or PART frame of the peer's brings or completes, if there is one.

        Raises BadFrame, `letters` beyond LETTERS_PER_MINUTE.
        """
        part = wire.read_letter_part(body) if kind == wire.PART else None
        whole = wire.read_letter(body) if part is None else None
        if not self._taking.take(LETTERS_PER_MINUTE, now):
            raise wire.BadFrame("letters")
        self._parts.expire(now)
        whole = whole if part is None else self._parts.add(part, now)
        if whole is not None and len(whole) > MAX_LETTER_BYTES:
            raise wire.BadFrame("letter")
        return [] if whole is None else [whole]
