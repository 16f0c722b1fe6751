"""`frontier`: how far each side holds each device's log, and then the missing runs in order.

Owns: heights, and which runs to ask of whom. Must not know: streams, blobs, how heights are kept.

A height is the last place up to which a log is held without a gap. Whoever holds less asks for the places above its
own height; several who hold more are asked for different runs, and what one of them leaves unanswered is asked of
another. Logs of which there are two histories are not told of: `sketch` and `bloom` compare events, not places.
Each part of a log (LOG_PART: it goes on in another one after a power cut) is asked for as a log of its own.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from quire.limits import LOG_PART, MAX_WANTS, RUN_EVENTS, WANTED_EVENTS

MARK_BYTES = 8
#: The mark of a place whose event is not held (yet).
NO_MARK = bytes(MARK_BYTES)


#: A device and the number of a part of its log.
_Part = tuple[bytes, int]


class Height(NamedTuple):
    """A device (32 bytes), the last place of its log without a gap, the first bytes of that event's id, and the
    timestamp of its first event (ms): logs are asked for in that order, since what comes later needs what was before.
    """

    device: bytes
    seq: int
    mark: bytes
    born: int


class Want(NamedTuple):
    """The places of a log above `after`, up to `until`; `mark` is of the event at `after`, NO_MARK if not held."""

    device: bytes
    after: int
    until: int
    mark: bytes


class Blobs(NamedTuple):
    """A part of a log as sealed, by key id in the order of the log, and the place that it reaches."""

    groups: list[tuple[bytes, list[bytes]]]
    reached: int
    last: bool


class Logs(Protocol):
    """What a store must be able to tell of the logs that it holds."""

    def heights(self) -> list[Height]:
        """Of all logs held from their beginning, but for those with two histories."""
        ...

    def run(self, want: Want) -> Blobs:
        """What is held of it, as much as goes into one answer; nothing where the history is another one."""
        ...


def _part(device: bytes, seq: int) -> _Part:
    return device, seq // LOG_PART


@dataclass
class _Log:
    """`next` is the place after which nobody was asked yet; `again` are ranges that somebody left unanswered."""

    born: int
    next: int
    mark: bytes
    tops: dict[int, int] = field(default_factory=dict)
    again: list[tuple[int, int]] = field(default_factory=list)
    under_way: int = 0

    def reached(self) -> int:
        """The place up to which all that was asked for was given, if nothing is under way."""
        return min((after for after, _ in self.again), default=self.next)

    def over(self) -> bool:
        """Whether nothing is under way, and nobody has more."""
        return not self.under_way and self.reached() >= max(self.tops.values(), default=0)


class Fetch:
    """What one identity asks of several sources at once. A source is a number that the caller gives."""

    def __init__(self, own: Sequence[Height]) -> None:
        self._own = {_part(height.device, height.seq): height for height in own}
        self._logs: dict[_Part, _Log] = {}
        self._asked: dict[int, dict[Want, None]] = {}
        #: Logs with places that somebody left unanswered; and for each source, in order, those of which it may have
        #: places that nobody was asked for yet: of many thousands of logs not all are looked at for each answer.
        self._again: dict[_Part, None] = {}
        self._new: dict[int, deque[_Part]] = {}

    @property
    def over(self) -> bool:
        """Whether nothing is under way, and nobody is left to ask for more."""
        return not self._logs

    def knows(self, source: int) -> bool:
        """Whether this source was heard, and has not left."""
        return source in self._asked

    def heard(self, source: int, heights: Sequence[Height]) -> None:
        """A source tells how far it holds the logs."""
        self._asked.setdefault(source, {})
        found: dict[_Part, int] = {}
        for height in heights:
            part = _part(height.device, height.seq)
            first = part[1] * LOG_PART
            own = self._own.get(part)
            log = self._logs.get(part)
            if log is None:
                if height.seq <= (own.seq if own is not None else first):
                    continue
                log = _Log(height.born, own.seq, own.mark) if own else _Log(height.born, first, NO_MARK)
                self._logs[part] = log
            log.tops[source] = height.seq
            found[part] = log.born
        self._new[source] = deque(sorted(found, key=lambda part: (found[part], part)))

    def wants(self, source: int) -> list[Want]:
        """What to ask a source for now."""
        asked = self._asked[source]
        room = WANTED_EVENTS - sum(want.until - want.after for want in asked)
        found: list[Want] = []
        while room > 0 and len(asked) < MAX_WANTS and (want := self._next(source)):
            asked[want] = None
            found.append(want)
            self._logs[_part(want.device, want.until)].under_way += 1
            room -= want.until - want.after
        return found

    def answered(self, source: int, want: Want, reached: int) -> None:
        """A source has given what it has of a question: all up to `reached`. The rest is asked of others."""
        log = self._end(source, want)
        if reached < want.until:
            log.tops[source] = min(log.tops.get(source, 0), reached)
            self._leave(log, want._replace(after=max(want.after, reached)))
        self._settle(_part(want.device, want.until))

    def distrust(self, source: int, want: Want) -> None:
        """What a source gave for a question was not what it asked for: ask another, and it for nothing of that log."""
        self.answered(source, want, want.after)

    def left(self, source: int) -> None:
        """A source is gone."""
        for want in list(self._asked.get(source, ())):
            self._leave(self._end(source, want), want)
        self._asked.pop(source, None)
        self._new.pop(source, None)
        for part, log in list(self._logs.items()):
            log.tops.pop(source, None)
            self._settle(part)

    def _next(self, source: int) -> Want | None:
        """What others left unanswered, else the first places that nobody was asked for."""
        for part in self._again:
            if (want := self._left_of(part, source)) is not None:
                return want
        new = self._new[source]
        while new:
            log = self._logs.get(new[0])
            if log is not None and log.next < log.tops.get(source, 0):
                after, log.next = log.next, min(log.next + RUN_EVENTS, log.tops[source])
                return self._want(new[0][0], log, after, log.next)
            new.popleft()
        return None

    def _left_of(self, part: _Part, source: int) -> Want | None:
        log = self._logs[part]
        top = log.tops.get(source, 0)
        for place, (after, until) in enumerate(log.again):
            if after < top:
                del log.again[place]
                if until > top:
                    log.again.append((top, until))
                if not log.again:
                    del self._again[part]
                return self._want(part[0], log, after, min(until, top))
        return None

    def _want(self, device: bytes, log: _Log, after: int, until: int) -> Want:
        own = self._own.get(_part(device, until))
        held = own is not None and own.seq == after
        return Want(device, after, until, log.mark if held else NO_MARK)

    def _end(self, source: int, want: Want) -> _Log:
        del self._asked[source][want]
        log = self._logs[_part(want.device, want.until)]
        log.under_way -= 1
        return log

    def _leave(self, log: _Log, want: Want) -> None:
        """Nobody gave these places yet."""
        log.again.append((want.after, want.until))
        self._again[_part(want.device, want.until)] = None

    def _settle(self, part: _Part) -> None:
        """Be done with a log that nobody left can give more of: whoever is heard later is asked for what follows."""
        log = self._logs[part]
        if log.over():
            del self._logs[part]
            self._again.pop(part, None)
            own = self._own.get(part)
            if log.reached() > (part[1] * LOG_PART if own is None else own.seq):
                self._own[part] = Height(part[0], log.reached(), NO_MARK, log.born)
