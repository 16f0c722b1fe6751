"""Letters to and from one peer: small opaque messages of the layers above.

Owns: those that wait to be sent, and how many are sent and taken per minute.
Must not know: what they say, counters, acknowledgement.
"""

from collections import deque
from collections.abc import Sequence

from quire.limits import LETTERS_PER_MINUTE, MAX_LETTER_BYTES, MAX_LETTERS_WAITING
from quire.net import wire
from quire.sync.allowance import Allowance

_MINUTE = 60_000


class Letters:
    """Of one session; `now` in ms."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque(maxlen=MAX_LETTERS_WAITING)
        self._sending = Allowance(_MINUTE)
        self._taking = Allowance(_MINUTE)
        #: When those can go that had to stay, the last time that any could go, for there were too many.
        self.held_until: int | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, data: bytes) -> None:
        """Queue a letter; beyond MAX_LETTERS_WAITING the oldest is dropped.

        Raises ValueError unless it has 1 to MAX_LETTER_BYTES.
        """
        if not 1 <= len(data) <= MAX_LETTER_BYTES:
            raise ValueError(f"a letter has 1 to {MAX_LETTER_BYTES:,} bytes, not {len(data):,}")
        self._waiting.append(wire.letter(data))

    def again(self, frames: Sequence[bytes]) -> None:
        """These were lost: send them before the others. They are the oldest, so where none fit they go."""
        for frame in reversed(frames):
            if len(self._waiting) < MAX_LETTERS_WAITING:
                self._waiting.appendleft(frame)

    def next(self, room: int, now: int) -> list[bytes]:
        """LETTER frames of at most `room` bytes that may go now."""
        frames: list[bytes] = []
        self.held_until = None
        while self._waiting and len(self._waiting[0]) <= room:
            if not self._sending.take(LETTERS_PER_MINUTE // 2, now):
                self.held_until = self._sending.renewed_at
                break
            frames.append(self._waiting.popleft())
            room -= len(frames[-1])
        return frames

    def take(self, body: bytes, now: int) -> bytes:
        """The letter in a LETTER frame of the peer's. Raises BadFrame, `letters` beyond LETTERS_PER_MINUTE."""
        data = wire.read_letter(body)
        if not self._taking.take(LETTERS_PER_MINUTE, now):
            raise wire.BadFrame("letters")
        return data
