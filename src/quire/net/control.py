"""What goes to one peer beside events: the strategy's messages, addresses, refusals and letters.

Owns: their queues, which of them are said again when they are lost, and which addresses the peer knows already. Must
not know: packets, standing.
"""

from collections import deque
from collections.abc import Sequence

from quire.limits import ADDRESSES_PER_FRAME, MAX_ADDRESSES_KEPT, MAX_CONTROL
from quire.net import wire
from quire.net.letters import Letters

#: Kinds that are said again. A later heartbeat says anew what a lost SYNC said.
SAID_AGAIN = (wire.ADDRESSES, wire.LETTER, wire.REFUSED, wire.PART)
_LETTERS = (wire.LETTER, wire.PART)
_NO_REFUSAL = wire.refused(None)


class Control:
    """Of one session; whole frames."""

    def __init__(self) -> None:
        self.letters = Letters()
        self._waiting: deque[bytes] = deque()
        # Has a place of its own: said once, it must not be lost to what else waits.
        self._refusals: list[bytes] = []
        # Addresses that were told here, either way, the latest last.
        self._known: dict[tuple[bytes, str], None] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._refusals)

    @property
    def waits(self) -> bool:
        """Whether `fill` may find something, or tell until when letters are held."""
        return bool(self._waiting or self._refusals or self.letters or self.letters.held_until is not None)

    def say(self, frames: Sequence[bytes]) -> None:
        """Queue frames that are no letters and no refusals; what exceeds MAX_CONTROL is dropped."""
        self._waiting.extend(frames[: max(0, MAX_CONTROL - len(self._waiting))])

    def refuse(self, frame: bytes) -> None:
        """Say a refusal, or that there is none any more; what waits of earlier ones is not said where it says no more.

        Who is refused no more is told both: what it shared meanwhile was not taken, and it has to share it again.
        """
        again = frame == _NO_REFUSAL
        self._refusals = [one for one in self._refusals if again and one != frame] + [frame]

    def share(self, known: Sequence[tuple[bytes, str]]) -> None:
        """Queue addresses (keys of 32 bytes, `host:port`), but what was told here before and what is no address."""
        fit = [one for one in known if one not in self._known and wire.is_address(one[1])]
        for at in range(0, len(fit), ADDRESSES_PER_FRAME):
            if len(self._waiting) < MAX_CONTROL:
                told = fit[at : at + ADDRESSES_PER_FRAME]
                self.say([wire.addresses(told)])
                self.knows(told)

    def knows(self, known: Sequence[tuple[bytes, str]]) -> None:
        """The peer has these addresses; of the latest MAX_ADDRESSES_KEPT that is kept in mind."""
        for one in known:
            self._known.pop(one, None)
            self._known[one] = None
        while len(self._known) > MAX_ADDRESSES_KEPT:
            del self._known[next(iter(self._known))]

    def sync(self, messages: Sequence[bytes]) -> None:
        """Queue messages of the strategy."""
        self.say([wire.frame(wire.SYNC, message) for message in messages])

    def again(self, frames: Sequence[bytes], restricted: bool, told: bytes) -> None:
        """These, all of SAID_AGAIN, were lost; `told` is the refusal that holds now.

        What was taken back since is not said again, and what a restricted peer may not have is not either.
        """
        if told in frames:
            self.refuse(told)
        self.letters.again([frame for frame in frames if frame[0] in _LETTERS])
        if not restricted:
            self.say([frame for frame in frames if frame[0] == wire.ADDRESSES])

    def begin(self) -> None:
        """Another run of the peer may have forgotten what it was told."""
        self._known.clear()

    def unshare(self) -> None:
        """Addresses that wait are not to be said any more."""
        self._known.clear()
        self._waiting = deque(frame for frame in self._waiting if frame[0] != wire.ADDRESSES)

    def fill(self, room: int, letters: bool, now: int) -> list[bytes]:
        """Frames of at most `room` bytes that go next, letters first if they may go."""
        frames = self.letters.next(room, now) if letters else []
        room -= sum(map(len, frames))
        for queue in (self._refusals, self._waiting):
            while queue and len(queue[0]) <= room:
                frames.append(queue[0])
                room -= len(frames[-1])
                del queue[0]
        return frames
