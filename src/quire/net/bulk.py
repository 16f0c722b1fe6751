"""What two devices say to each other over one stream: how far they hold the logs, questions, and runs.

Owns: the order of what is said, and what is answered when. Must not know: sockets, what to ask (`Fetch` of
`quire.sync.frontier` does), what becomes of the records.

Laws. Nothing is said before the other device has proven itself. Answers are made when there is room to write
them, so that a slow reader costs the memory of its questions alone. What was not asked for is not taken.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from quire.limits import (
    HEIGHTS_PER_FRAME,
    MAX_HEIGHTS,
    MAX_WANTS,
    STREAM_GREETING_MS,
    STREAM_IDLE_MS,
    STREAM_SLOW_BYTES_PER_MS,
    STREAM_SLOW_MS,
    STREAM_WRITE,
)
from quire.net import stream_wire
from quire.net.stream_link import BadStream, StreamLink
from quire.net.stream_wire import Asked, Heights, Run
from quire.net.wire import BadFrame
from quire.sync.frontier import NO_MARK, Height, Logs, Want

#: How long a frame may take from its first byte on (ms): as long as whoever sends it waits for an answer to it.
_WHOLE_MS = STREAM_SLOW_MS + STREAM_IDLE_MS


@dataclass(frozen=True)
class Opened:
    """The other device has proven itself."""


@dataclass(frozen=True)
class HeightsHeard:
    """How far the other device holds the logs: all that it tells."""

    heights: list[Height]


@dataclass(frozen=True)
class RunCame:
    """`key_id ‖ blob` of the events of a log above `after`, up to `reached`, as it was asked for; `last`: no more of it
    come.
    """

    want: Want
    after: int
    reached: int
    last: bool
    records: list[bytes]


@dataclass(frozen=True)
class Failed:
    """The stream is over: `reason` is a short stable slug; `proven`: it is what the other device said, and may not."""

    reason: str
    proven: bool


BulkNotice = Opened | HeightsHeard | RunCame | Failed


class Bulk:
    """One end of a stream. `now` is in ms throughout, from one clock."""

    def __init__(self, link: StreamLink, logs: Logs, now: int) -> None:
        self._link = link
        self._logs = logs
        self._in = bytearray()
        self._heights: list[Height] = []
        self._told = self._heard_all = False
        self._questions: deque[Asked] = deque()
        #: What we ask for, and the place up to which it was answered.
        self._asked: dict[int, tuple[Want, int]] = {}
        self._number = 0
        self._finished = self._peer_finished = False
        self._begun = now
        #: When something came last, or will have come if what we wrote takes long.
        self._heard = now
        #: Since when a frame has been coming that is not whole.
        self._partial: int | None = None
        self._notices: deque[BulkNotice] = deque()
        self.bytes_in = self.bytes_out = 0

    @property
    def ready(self) -> bool:
        """Whether the other device has proven itself."""
        return self._link.ready

    @property
    def over(self) -> bool:
        """Whether neither side has anything left to ask or to answer."""
        return self._finished and self._peer_finished and not self._questions

    def receive(self, data: bytes, now: int) -> None:
        """Take bytes of the stream."""
        self.bytes_in += len(data)
        self._heard = max(self._heard, now)
        proven, whole = self.ready, False
        try:
            self._in += self._link.receive(data)
            if self.ready and not proven:
                self._notices.append(Opened())
            for kind, body in stream_wire.split(self._in):
                whole = True
                self._take(stream_wire.decode(kind, body))
        except BadStream as error:  # everybody on the path can have damaged it
            self._notices.append(Failed(error.reason, False))
        except BadFrame as error:
            self._notices.append(Failed(error.reason, True))
        if not (self._in or self._link.partial):
            self._partial = None
        elif whole or self._partial is None:
            self._partial = now

    def ask(self, wants: Sequence[Want]) -> None:
        """Ask for runs."""
        for want in wants:
            self._number += 1
            self._asked[self._number] = want, want.after
            self._link.seal(stream_wire.want(self._number, want))

    def finish(self) -> None:
        """There are no more questions of ours."""
        if not self._finished:
            self._finished = True
            self._link.seal(stream_wire.done())

    def bytes_to_send(self, now: int) -> bytes:
        """What to write next, about STREAM_WRITE bytes; call again while it gives something and there is room."""
        if self.ready and not self._told:
            self._tell_heights()
        size = 0
        while self._questions and size < STREAM_WRITE:
            size += self._answer()
        out = self._link.take_out()
        self.bytes_out += len(out)
        if size:
            # Whoever is given a run says nothing until it is there, and it may be on its way for long.
            patience = max(self._heard, now) + len(out) // STREAM_SLOW_BYTES_PER_MS
            self._heard = min(patience, now + STREAM_SLOW_MS)
        return out

    def next_event(self) -> BulkNotice | None:
        """The next notice, or None."""
        return self._notices.popleft() if self._notices else None

    def next_timer(self) -> int:
        """When the stream is given up unless something comes, or what comes is whole (ms)."""
        if not self.ready:
            return self._begun + STREAM_GREETING_MS
        idle = self._heard + STREAM_IDLE_MS
        return idle if self._partial is None else min(idle, self._partial + _WHOLE_MS)

    def dribbles(self, now: int) -> bool:
        """Whether a frame has been coming for longer than whoever sends it would wait."""
        return self._partial is not None and now >= self._partial + _WHOLE_MS

    def _take(self, said: stream_wire.StreamFrame) -> None:
        if isinstance(said, Run):
            self._take_run(said)
        elif isinstance(said, Asked):
            if len(self._questions) >= MAX_WANTS:
                raise BadFrame("stream-wants")
            self._questions.append(said)
        elif isinstance(said, Heights):
            self._take_heights(said)
        else:
            self._peer_finished = True

    def _take_heights(self, said: Heights) -> None:
        self._heights += said.entries
        if self._heard_all or len(self._heights) > MAX_HEIGHTS:
            raise BadFrame("stream-heights")
        if not said.more:
            self._heard_all = True
            self._notices.append(HeightsHeard(self._heights))
            self._heights = []

    def _take_run(self, said: Run) -> None:
        if said.number not in self._asked:
            raise BadFrame("stream-unasked")
        want, after = self._asked.pop(said.number)
        if not after <= said.reached <= want.until:
            raise BadFrame("stream-unasked")
        if not said.last:
            if said.reached == after:
                raise BadFrame("stream-run")
            self._asked[said.number] = want, said.reached
        self._notices.append(RunCame(want, after, said.reached, said.last, said.records))

    def _tell_heights(self) -> None:
        entries = self._logs.heights()[:MAX_HEIGHTS]
        self._told = True
        for at in range(0, max(len(entries), 1), HEIGHTS_PER_FRAME):
            more = at + HEIGHTS_PER_FRAME < len(entries)
            self._link.seal(stream_wire.heights(entries[at : at + HEIGHTS_PER_FRAME], more))

    def _answer(self) -> int:
        """Answer a part of the first question; the bytes that this took."""
        asked = self._questions[0]
        part = self._logs.run(asked.want)
        if part.last:
            self._questions.popleft()
        else:
            self._questions[0] = asked._replace(want=asked.want._replace(after=part.reached, mark=NO_MARK))
        data = stream_wire.run(asked.number, part.reached, part.last, part.groups)
        self._link.seal(data)
        return len(data)
