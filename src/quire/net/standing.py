"""How two devices stand to each other: as our membership graph sees the peer, and as the peer sees us.

Owns: the standings, the reasons for refusing, who was told what, and the bound on what an unknown device brings.
Must not know: the graph, frames, sessions.
"""

from collections.abc import Callable
from enum import Enum, IntEnum

from quire.limits import MAX_UNKNOWN_BYTES, MIND_CHANGES_PER_MINUTE, UNKNOWN_SYNC_PER_SECOND
from quire.sync.allowance import Allowance

_MINUTE = 60_000


class Standing(Enum):
    """Of a device in a space, as far as the events held here tell."""

    MEMBER = 1
    UNKNOWN = 2
    REMOVED = 3


#: Device key (32 bytes) → its standing. Asked for every first datagram, so it must cost no more than a lookup.
StandingOf = Callable[[bytes], Standing]


class Refusal(IntEnum):
    """Why a peer gives us nothing; the number is the one on the wire."""

    REMOVED = 1
    NOT_ADMITTED = 2


class Terms:
    """Between one session's two sides. `standing` of the peer is MEMBER or UNKNOWN."""

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        #: Why this run of the peer gives us nothing, and why we said that we give it nothing.
        self.refused: Refusal | None = None
        self.told: Refusal | None = None
        self._refused_at = -1
        self._brought = 0
        self._hearing = Allowance()
        self._changes = Allowance(_MINUTE)

    @property
    def restricted(self) -> bool:
        """Whether the peer is given nothing."""
        return self.standing is not Standing.MEMBER

    @property
    def cut_off(self) -> bool:
        """Whether the peer says that we were removed."""
        return self.refused is Refusal.REMOVED

    @property
    def full(self) -> bool:
        """Whether the peer brought all that an unknown one may."""
        return self.restricted and self._brought >= MAX_UNKNOWN_BYTES

    def change(self, standing: Standing) -> bool:
        """The peer stands like this from now on; whether that is new."""
        if standing is self.standing:
            return False
        self.standing, self._brought = standing, 0
        return True

    def begin(self) -> None:
        """A new run of the peer: it has said nothing, and was told nothing."""
        self.refused, self.told, self._refused_at = None, None, -1

    def takes(self, size: int) -> bool:
        """Whether to take this many more bytes of events from the peer."""
        if self.full:
            return False
        self._brought += size
        return True

    def hears_sync(self, now: int) -> bool:
        """Whether to look at one more message of its strategy: not when what follows would bring still more."""
        if not self.restricted:
            return True
        return not self.full and self._hearing.take(UNKNOWN_SYNC_PER_SECOND, now)

    def tell(self) -> bool:
        """Whether the peer is to be told what `told` has become."""
        before, self.told = self.told, Refusal.NOT_ADMITTED if self.restricted else None
        return before is not self.told

    def hear(self, reason: Refusal | None, counter: int, now: int) -> bool:
        """The peer said this in packet `counter`; whether it is news.

        What was said earlier is none, and more than MIND_CHANGES_PER_MINUTE are not listened to.
        """
        if counter < self._refused_at:
            return False
        if reason is not self.refused and not self._changes.take(MIND_CHANGES_PER_MINUTE, now):
            return False
        self._refused_at = counter
        before, self.refused = self.refused, reason
        return before is not reason

    def hear_cut_off(self) -> bool:
        """A peer without a session said that we were removed; whether it is news."""
        before, self.refused = self.refused, Refusal.REMOVED
        return before is not Refusal.REMOVED
