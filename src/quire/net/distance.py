"""How far apart two stores are, for one session: what is too far for datagrams is left to a stream.

Owns: when that is told, and what the session leaves undone meanwhile. Must not know: streams.
"""

from quire.limits import FAR_EVENTS, NUDGE_MS
from quire.net.notices import FarApart
from quire.sync.index import EventIndex
from quire.sync.strategy import Strategy


class Distance:
    """Between our store and one peer's. Of two who lack as much, one `goes_first`; `defers` as below."""

    def __init__(self, goes_first: bool, defers: bool) -> None:
        #: Whether a stream is to bring what one side lacks: then that is neither asked for nor pushed.
        self.defers = defers
        #: Whether a stream is there: then nothing is compared either.
        self.streams = False
        #: From how many events on that one side holds more it is far; 0: whenever the stores differ.
        self.far = 0 if defers else FAR_EVENTS
        self._goes_first = goes_first
        self._is_far = self._looked = False
        self._look_at = 0

    @property
    def leaves(self) -> bool:
        """Whether to leave comparing, asking and pushing to a stream, for now."""
        unknown = not self._looked and not self.far
        return self.streams or (self.defers and (unknown or self._is_far))

    def look(self, strategy: Strategy, index: EventIndex, now: int) -> list[FarApart]:
        """After a message of the peer's strategy: a notice when the stores are far apart."""
        theirs = strategy.peer_count
        if strategy.in_sync:
            self.settle()
        elif theirs is not None and now >= self._look_at:
            self._looked, self._look_at = True, now + NUDGE_MS
            more = theirs - index.whole().count
            self._is_far = abs(more) >= self.far
            return [FarApart(more > 0 or (not more and self._goes_first))] if self._is_far else []
        return []

    def set_streams(self, streams: bool) -> None:
        """A stream is there, or no longer."""
        self.streams = streams
        if not streams:
            self.settle()

    def settle(self) -> None:
        """The stores were equal, or a stream has brought what it could: small differences are for datagrams now."""
        self.far = FAR_EVENTS
        self._is_far = False
