"""The streams of one node: whom to call, who calls, and what is fetched over them.

Owns: streams and fetches, each fetch of one identity from all who have more than it. Must not know: sockets, real
clocks, what becomes of what comes.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from quire.limits import (
    MAX_GREETING_STREAMS,
    MAX_POOR_ANSWERS,
    MAX_SESSIONS,
    MAX_STREAM_REST_MS,
    MAX_STREAM_RETRY_MS,
    MAX_STREAMS,
    STREAM_GREETING_MS,
    STREAM_RETRY_MS,
    STREAM_TURN_MS,
)
from quire.net.bulk import Bulk, HeightsHeard, Opened, RunCame
from quire.net.endpoint import Endpoint, SessionId
from quire.net.link import GREETING_BYTES
from quire.net.notices import Address
from quire.net.stream_link import StreamLink
from quire.sync.frontier import Fetch, Height, Logs
from quire.sync.strategy import Entropy


class Taken(NamedTuple):
    """Of the records that a peer gave: those that are what they should be, and those of them that were new."""

    sound: int
    fresh: int


@dataclass(frozen=True)
class Call:
    """Open a stream to an address, and tell by `opened` or `closed` what came of it."""

    number: int
    address: Address


@dataclass(frozen=True)
class HangUp:
    """Close a stream once what was to be sent on it is written."""

    number: int


class Carrier(Protocol):
    """What streams need of the node."""

    def logs_for(self, session_id: SessionId) -> Logs | None:
        """The logs that a local device shows to a peer; None where the peer may not see all of them."""
        ...

    def take(self, session_id: SessionId, records: Sequence[bytes], more: bool, now: int) -> Taken:
        """Take in records that a peer gave; `more`: what follows belongs to them."""
        ...

    def failed(self, session_id: SessionId, reason: str, proven: bool, now: int) -> None:
        """What came on a stream was none of what may; `proven`: it is the peer that sent it."""
        ...

    def carried(self, session_id: SessionId, streams: bool, now: int) -> None:
        """A stream with a peer brings what a session else would, or does so no more. Must not fail."""
        ...


class _Rest(NamedTuple):
    """No stream is opened to a peer until then; how long that is (ms). `unasked`: nor is it asked when it calls."""

    until: int
    length: int
    unasked: bool


@dataclass
class _Stream:
    """`session_id` and `bulk` are None until the one who called has said whom."""

    calls: bool
    begun: int
    session_id: SessionId | None = None
    bulk: Bulk | None = None
    greeting: bytes = b""
    #: From which network address it was called.
    source: str = ""
    #: Records from it that were new, and those of the present answer; whether that lacks some that it should bring.
    fresh: int = 0
    new: int = 0
    unsound: bool = False
    #: Answers in a row that brought nothing new, or not what they should, or never came to an end.
    poor: int = 0

    @property
    def is_unproven(self) -> bool:
        """Whether somebody called who has not proven who it is."""
        return not self.calls and (self.bulk is None or not self.bulk.ready)


class Streams:
    """See the module. `now` is in ms throughout."""

    def __init__(self, endpoint: Endpoint, entropy: Entropy, carrier: Carrier) -> None:
        self._endpoint = endpoint
        self._entropy = entropy
        self._carrier = carrier
        self._streams: dict[int, _Stream] = {}
        self._by_session: dict[SessionId, int] = {}
        self._fetches: dict[_Whose, Fetch] = {}
        self._rests: dict[SessionId, _Rest] = {}
        self._far_since: dict[SessionId, int] = {}
        #: Bytes that streams with a peer carried, in and out.
        self._bytes: dict[SessionId, tuple[int, int]] = {}
        self._last = 0
        #: Streams on which something came that is still to be seen to.
        self._came: dict[int, None] = {}
        self._events: deque[Call | HangUp] = deque()

    @property
    def fetching(self) -> bool:
        """Whether something is being fetched."""
        return bool(self._fetches)

    def carried_bytes(self, session_id: SessionId) -> tuple[int, int]:
        """Bytes that came from a peer over streams, and that went to it, since this run began."""
        taken, given = self._bytes.get(session_id, (0, 0))
        number = self._by_session.get(session_id)
        bulk = None if number is None else self._streams[number].bulk
        return (taken, given) if bulk is None else (taken + bulk.bytes_in, given + bulk.bytes_out)

    def far_apart(self, session_id: SessionId, address: Address, lacks: bool, now: int) -> bool:
        """A peer holds more than we do by far (`lacks`), or far less; whether a stream will see to that.

        Whoever lacks calls at once; the other one when it was not called for STREAM_TURN_MS.
        """
        if session_id in self._by_session:
            return True
        logs = self._carrier.logs_for(session_id)
        rest = self._rests.get(session_id)
        if logs is None or (rest is not None and now < rest.until) or len(self._streams) >= MAX_STREAMS:
            return False
        if len(self._far_since) > MAX_SESSIONS:
            self._far_since.clear()
        if lacks or now - self._far_since.setdefault(session_id, now) >= STREAM_TURN_MS:
            link = self._endpoint.link(session_id)
            stream = _Stream(True, now, session_id, Bulk(StreamLink(link, self._entropy), logs, now))
            self._events.append(Call(self._add(stream), address))
        return True

    def accept(self, source: str, now: int) -> int | None:
        """Somebody called from a network address: the stream's number, or None when there are too many.

        Who has not proven who it is gives way to the next: whoever is silent keeps nobody out. Of the address that has
        most such streams it is the first, so that one that calls again and again is in its own way alone.
        """
        strangers = [(number, stream) for number, stream in self._streams.items() if stream.is_unproven]
        if len(self._streams) >= MAX_STREAMS or len(strangers) >= MAX_GREETING_STREAMS:
            if not strangers:
                return None
            crowds = Counter(stream.source for _, stream in strangers)
            self._end(max(strangers, key=lambda one: crowds[one[1].source])[0], now)
        return self._add(_Stream(False, now, source=source))

    def receive(self, number: int, data: bytes, now: int) -> None:
        """Take bytes of a stream; `act` sees to what they bring."""
        stream = self._streams.get(number)
        if stream is None:
            return
        if stream.bulk is None:
            data = self._meet(number, stream, data, now)
        if stream.bulk is not None and data:
            stream.bulk.receive(data, now)
            self._came[number] = None

    def act(self, now: int) -> None:
        """See to what came: until then the other side can be answered, and need not wait for it."""
        while self._came:
            number = next(iter(self._came))
            del self._came[number]
            stream = self._streams.get(number)
            if stream is not None and stream.bulk is not None:
                try:
                    self._act(number, stream, stream.bulk, now)
                except Exception:
                    # What it told is lost with it: others are to be asked for that, or it again.
                    if number in self._streams:
                        self._end(number, now)
                    raise

    def to_send(self, number: int, now: int) -> bytes:
        """What to write next; call again while it gives something and there is room."""
        stream = self._streams.get(number)
        return b"" if stream is None or stream.bulk is None else stream.bulk.bytes_to_send(now)

    def closed(self, number: int, now: int) -> None:
        """A stream is gone, or could not be opened; what came on it counts."""
        try:
            self.act(now)
        finally:
            if number in self._streams:
                self._end(number, now)

    def next_timer(self) -> int | None:
        """When `handle_timer` should be called next (ms)."""
        return min((_due(stream) for stream in self._streams.values()), default=None)

    def standing_changed(self, now: int) -> None:
        """The membership graph changed: hang up on those who may not see our logs any more."""
        for number, stream in list(self._streams.items()):
            if stream.session_id is not None and self._carrier.logs_for(stream.session_id) is None:
                self._end(number, now)

    def handle_timer(self, now: int) -> None:
        """Give up streams whose time is over."""
        for number, stream in list(self._streams.items()):
            if now >= _due(stream):
                stream.poor += stream.bulk is not None and stream.bulk.dribbles(now)
                self._end(number, now)

    def next_event(self) -> Call | HangUp | None:
        """What the transport has to do, or None."""
        return self._events.popleft() if self._events else None

    def _add(self, stream: _Stream) -> int:
        self._last += 1
        self._streams[self._last] = stream
        if stream.session_id is not None:
            self._by_session[stream.session_id] = self._last
        return self._last

    def _meet(self, number: int, stream: _Stream, data: bytes, now: int) -> bytes:
        """Find out who calls whom; what came after the greeting. Whoever may not call is hung up on."""
        stream.greeting += data
        if len(stream.greeting) < GREETING_BYTES:
            return b""
        greeting, rest = stream.greeting[:GREETING_BYTES], stream.greeting[GREETING_BYTES:]
        found = self._endpoint.called(greeting, now)
        logs = None if found is None or self._prefers_own(found[0]) else self._carrier.logs_for(found[0])
        if found is None or logs is None:
            self._end(number, now)
            return b""
        stream.session_id, link = found
        stream.bulk = Bulk(StreamLink(link, self._entropy, greeting), logs, now)
        return rest

    def _prefers_own(self, session_id: SessionId) -> bool:
        """Of two who call each other at once, the one with the lesser key is answered."""
        number = self._by_session.get(session_id)
        if number is None:
            return False
        bulk = self._streams[number].bulk
        return bulk is None or bulk.ready or session_id.local < session_id.peer

    def _act(self, number: int, stream: _Stream, bulk: Bulk, now: int) -> None:
        while number in self._streams and (notice := bulk.next_event()) is not None:
            assert stream.session_id is not None
            if isinstance(notice, Opened):
                self._opened(number, stream.session_id, now)
            elif isinstance(notice, HeightsHeard):
                self._hear_heights(number, stream.session_id, notice.heights, now)
            elif isinstance(notice, RunCame):
                self._take_run(number, stream, notice, now)
            else:
                self._carrier.failed(stream.session_id, notice.reason, notice.proven, now)
                self._end(number, now)
        if number in self._streams and bulk.over and stream.calls:
            self._end(number, now)

    def _opened(self, number: int, session_id: SessionId, now: int) -> None:
        other = self._by_session.get(session_id)
        if other not in (None, number):
            assert other is not None
            self._end(other, now)
        self._by_session[session_id] = number
        self._carrier.carried(session_id, True, now)

    def _take_run(self, number: int, stream: _Stream, run: RunCame, now: int) -> None:
        assert stream.session_id is not None
        taken = self._carrier.take(stream.session_id, run.records, True, now)
        stream.fresh += taken.fresh
        stream.new += taken.fresh
        stream.unsound |= min(taken.sound, len(run.records)) < max(len(run.records), run.reached - run.after)
        fetch = self._fetches.get(_whose(stream.session_id))
        if fetch is not None and run.last and number in self._streams:
            self._answered(fetch, number, stream, run, now)

    def _answered(self, fetch: Fetch, number: int, stream: _Stream, run: RunCame, now: int) -> None:
        """A question was answered: ask on, or give the stream up that brings too little."""
        assert stream.session_id is not None
        stream.poor = stream.poor + 1 if stream.unsound or not stream.new else 0
        if stream.unsound:
            fetch.distrust(number, run.want)
        else:
            fetch.answered(number, run.want, run.reached)
        stream.new, stream.unsound = 0, False
        if stream.poor >= MAX_POOR_ANSWERS and not fetch.over:
            self._end(number, now)
        else:
            self._ask(_whose(stream.session_id), now)

    def _hear_heights(self, number: int, session_id: SessionId, heights: Sequence[Height], now: int) -> None:
        key, rest, bulk = _whose(session_id), self._rests.get(session_id), self._streams[number].bulk
        if rest is not None and rest.unasked and now < rest.until and bulk is not None:
            bulk.finish()
            return
        if key not in self._fetches:
            logs = self._carrier.logs_for(session_id)
            self._fetches[key] = Fetch([] if logs is None else logs.heights())
        self._fetches[key].heard(number, heights)
        self._ask(key, now)

    def _ask(self, key: "_Whose", now: int) -> None:
        """Ask everybody whom an identity fetches from for what is to be asked now; end when there is nothing more."""
        fetch = self._fetches[key]
        sources = [(number, stream) for number, stream in self._streams.items() if fetch.knows(number)]
        for number, stream in sources:
            if stream.bulk is not None:
                stream.bulk.ask(fetch.wants(number))
        if fetch.over:
            del self._fetches[key]
            for number, stream in sources:
                if stream.bulk is not None:
                    stream.bulk.finish()
                    # Where the other side has nothing more to ask either, nothing will come that it is seen to after.
                    self._came[number] = None
            for _, stream in sources:
                if stream.session_id is not None:
                    self._carrier.take(stream.session_id, (), False, now)

    def _end(self, number: int, now: int) -> None:
        """Hang up. What came and was not taken in yet is taken in last: that can fail, and the stream is over all the
        same.
        """
        self._events.append(HangUp(number))
        session_id = self._streams[number].session_id
        carried = None if session_id is None else self.carried_bytes(session_id)
        stream = self._streams.pop(number)
        if session_id is None or carried is None:
            return
        if self._by_session.get(session_id) == number:
            del self._by_session[session_id]
            self._far_since.pop(session_id, None)
            self._remember(session_id, stream, carried, now)
            self._carrier.carried(session_id, False, now)
        fetch = self._fetches.get(_whose(session_id))
        if fetch is not None and fetch.knows(number):
            fetch.left(number)
            self._ask(_whose(session_id), now)
            self._carrier.take(session_id, (), False, now)

    def _remember(self, session_id: SessionId, stream: _Stream, carried: tuple[int, int], now: int) -> None:
        """Keep what a stream carried; if it was called or asked for nothing, rest for a while."""
        for memory in (self._bytes, self._rests):
            if len(memory) > MAX_SESSIONS:
                memory.clear()
        self._bytes[session_id] = carried
        if stream.fresh:
            self._rests.pop(session_id, None)
        elif stream.calls or stream.poor:
            before = self._rests.get(session_id)
            if before is not None and stream.begun > before.until + max(before.length, MAX_STREAM_RETRY_MS):
                before = None  # that was long ago when this one began
            most = MAX_STREAM_REST_MS if stream.poor else MAX_STREAM_RETRY_MS
            length = STREAM_RETRY_MS if before is None else min(2 * before.length, most)
            self._rests[session_id] = _Rest(now + length, length, stream.poor > 0)


def _due(stream: _Stream) -> int:
    return stream.begun + STREAM_GREETING_MS if stream.bulk is None else stream.bulk.next_timer()


#: A space and the local device that fetches in it.
_Whose = tuple[bytes, bytes]


def _whose(session_id: SessionId) -> _Whose:
    return session_id.space_id, session_id.local
