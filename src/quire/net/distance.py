"""How far apart two stores are, for one session: what is too far for datagrams is left to a stream.

Owns: when that is told, and what the session leaves undone meanwhile. Must not know: streams.
"""

from quire.limits import FAR_EVENTS, NUDGE_MS
from quire.net.notices import FarApart
from quire.sync.index import EventIndex
from quire.sync.strategy import Strategy


class Distance:
    """Between our store and one peer's."""

    def __init__(self) -> None:
        #: Whether a stream is to bring what one side lacks by far: then that is neither asked for nor pushed.
        self.defers = False
        #: Whether a stream is there: then nothing is compared either.
        self.streams = False
        #: How many more events the peer holds than we do, when that is far; less than 0 when we hold more.
        self._far = 0
        self._look_at = 0

    @property
    def asks(self) -> bool:
        """Whether to ask the peer for what we lack."""
        return not (self.streams or (self.defers and self._far > 0))

    @property
    def pushes(self) -> bool:
        """Whether to push what the peer lacks."""
        return not (self.streams or (self.defers and self._far < 0))

    def look(self, strategy: Strategy, index: EventIndex, now: int) -> list[FarApart]:
        """After a message of the peer's strategy: a notice when the stores are far apart."""
        theirs = strategy.peer_count
        if theirs is None or strategy.in_sync:
            self._far = 0
        elif now >= self._look_at:
            self._look_at = now + NUDGE_MS
            more = theirs - index.whole().count
            self._far = more if abs(more) >= FAR_EVENTS else 0
            return [FarApart(lacks=more > 0)] if self._far else []
        return []
