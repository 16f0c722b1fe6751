"""How a peer behaves: what was rejected and why, and when it is ignored for it.

Owns: counts by reason, and the throttle. Must not know: what is malformed.
"""

from quire.limits import IGNORE_MS, MALFORMED_PER_MINUTE
from quire.sync.allowance import Allowance

_MINUTE = 60_000


class Conduct:
    """Of one peer; times in ms."""

    def __init__(self) -> None:
        self.rejected: dict[str, int] = {}
        self._malformed = Allowance(_MINUTE)
        self._until: int | None = None

    def reject(self, reason: str) -> None:
        """Count what was dropped without fault of the peer's."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1

    def note(self, reason: str, holds: bool) -> None:
        """What the peer's last word says of its present run, whatever one before it did."""
        self.rejected.pop(reason, None)
        if holds:
            self.reject(reason)

    def blame(self, reason: str, now: int) -> bool:
        """Count something malformed; True when it was one too many, and the peer is ignored from now on."""
        self.reject(reason)
        if self._until is not None or self._malformed.take(MALFORMED_PER_MINUTE, now):
            return False
        self._until = now + IGNORE_MS
        return True

    def ignored(self, now: int) -> bool:
        """Whether the peer is being ignored."""
        if self._until is not None and now >= self._until:
            self._until = None
            self._malformed = Allowance(_MINUTE)
        return self._until is not None
