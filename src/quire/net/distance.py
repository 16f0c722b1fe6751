"""How far apart two stores are, for one session: what is too far for datagrams is left to a stream.

Owns: when that is told, and what the session leaves undone meanwhile. Must not know: streams.
"""

from quire.limits import FAR_EVENTS, NUDGE_MS
from quire.net.notices import FarApart
from quire.sync.index import EventIndex
from quire.sync.strategy import Strategy


class Distance:
    """Between our store and one peer's. Of two who lack as much, one `goes_first`."""

    def __init__(self, goes_first: bool) -> None:
        #: Whether a stream is to bring what one side lacks: then that is neither asked for nor pushed.
        self.defers = False
        #: Whether a stream is there: then nothing is compared either.
        self.streams = False
        #: From how many events on that one side holds more it is far; 0: whenever the stores differ.
        self.far = FAR_EVENTS
        self._goes_first = goes_first
        #: Whether we lack more than the peer does, while the stores are far apart.
        self._lacks: bool | None = None
        self._look_at = 0

    @property
    def asks(self) -> bool:
        """Whether to ask the peer for what we lack."""
        return not (self.streams or (self.defers and self._lacks is True))

    @property
    def pushes(self) -> bool:
        """Whether to push what the peer lacks."""
        return not (self.streams or (self.defers and self._lacks is False))

    def look(self, strategy: Strategy, index: EventIndex, now: int) -> list[FarApart]:
        """After a message of the peer's strategy: a notice when the stores are far apart."""
        theirs = strategy.peer_count
        if strategy.in_sync:
            self.settle()
        elif theirs is not None and now >= self._look_at:
            self._look_at = now + NUDGE_MS
            more = theirs - index.whole().count
            self._lacks = more > 0 or (not more and self._goes_first) if abs(more) >= self.far else None
            return [] if self._lacks is None else [FarApart(self._lacks)]
        return []

    def set_streams(self, streams: bool) -> None:
        """A stream is there, or no longer."""
        self.streams = streams
        if not streams:
            self.settle()

    def settle(self) -> None:
        """The stores were equal, or a stream has brought what it could: small differences are for datagrams now."""
        self.far = FAR_EVENTS
        self._lacks = None
