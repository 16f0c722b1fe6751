"""`bloom`: keyed, freshly salted, time-bucketed Bloom filters in self-contained datagrams (seed 004).

Owns: what is asked of a peer, and what is pushed because of its questions. Must not know: sessions.

A heartbeat (Root) carries count and fingerprint. Where they differ, both sides go down the same tree,
everything → coarse → fine buckets, each naming its own sums to the other, until a differing range
holds few enough ids for one Filter, or is a fine bucket and is cut into several. A Filter asks: push
what I lack. Every message goes strictly deeper, so nothing can loop; whatever is lost, lied about,
hidden by a false positive or over a bound comes again in a later round under another salt.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from quire.limits import (
    ASKS_PER_SECOND,
    ASKS_WHILE_PUSHING,
    BUCKETS_COMPARED,
    FILTER_IDS,
    FILTER_PROBES,
    MAX_ASKS,
    SYNC_RECEIVED_PER_SECOND,
)
from quire.sync.allowance import Allowance
from quire.sync.filter import Bloom, bits_of
from quire.sync.index import COARSE, EMPTY, END, FINE, START, EventIndex, Position, Summary, separator
from quire.sync.messages import (
    ENTRIES,
    Buckets,
    Filter,
    Message,
    Root,
    decode,
    encode_buckets,
    encode_filter,
    encode_root,
)
from quire.sync.pushes import Pushes
from quire.sync.strategy import FREELY, SALT_BYTES, BadMessage, Entropy, Pace, fingerprint


class _Ask(NamedTuple):
    """A range to describe to the peer: by the sums of its buckets at `level`, or by a filter (None)."""

    low: Position
    high: Position
    level: int | None


#: What a peer says of a bucket, as against ours.
_LACKS, _SAME, _DIFFERS = range(3)


class _Pair(NamedTuple):
    """A bucket of both sides: how many ids are in ours and in the peer's."""

    at: int
    held: int
    told: int
    verdict: int


class BloomStrategy:
    """See Strategy. `key` is the space's sync key, 32 bytes."""

    def __init__(self, key: bytes, entropy: Entropy) -> None:
        self._key = key
        self._entropy = entropy
        self._pushes = Pushes()
        # An ordered queue without doubles. First in, first out, so that ranges which never become
        # equal (a peer that refuses some event) cannot starve the others.
        self._asks: dict[_Ask, None] = {}
        self._rest: _Ask | None = None
        #: When the last round of questions began (ms).
        self._begun: int | None = None
        self._asking = Allowance()
        self._reading = Allowance()
        self._peer_pushing = False
        self.in_sync: bool | None = None
        self.peer_count: int | None = None

    @property
    def pushing(self) -> bool:
        """Whether `next_pushes` has something left to look at."""
        return self._pushes.active

    @property
    def asked_at(self) -> int:
        """When the peer said what `next_pushes` gave last, or the earliest of it (ms)."""
        return self._pushes.asked_at

    @property
    def asking(self) -> bool:
        """Whether `questions` has something left to ask."""
        return bool(self._asks) or self._rest is not None

    def heartbeat(self, index: EventIndex, now: int, pace: Pace = FREELY) -> list[bytes]:
        """Count and fingerprint, and questions that had to wait."""
        salt, whole = self._entropy(SALT_BYTES), index.whole()
        root = Root(salt, whole.count, fingerprint(self._key, salt, whole), self.pushing)
        return [encode_root(root), *self.questions(index, now, pace.most)]

    def receive(self, message: bytes, index: EventIndex, now: int, pace: Pace = FREELY) -> list[bytes]:
        """Take a peer's message; the questions that follow from it. Raises BadMessage."""
        said = decode(message)
        if not self.may_read(now):
            return []
        self.take(said, index, now, pace)
        return self.questions(index, now, pace.most)

    def forget(self) -> None:
        """Leave what is to be pushed and asked."""
        self._pushes.clear()
        self._asks.clear()
        self._rest = None

    def may_read(self, now: int) -> bool:
        """Whether to look at one more message of the peer."""
        return self._reading.take(SYNC_RECEIVED_PER_SECOND, now)

    def take(self, said: Message, index: EventIndex, now: int, pace: Pace) -> None:
        """Take what a peer said. Raises BadMessage `kind` for what is of another strategy."""
        if isinstance(said, Root):
            own = index.whole()
            if not self.hear(said, own, now) and self.begins(pace, now):
                self.ask_about_all(said, own)
        elif isinstance(said, Buckets):
            self._compare_buckets(said, index, now)
        elif isinstance(said, Filter):
            held = Bloom(self._key, said.salt, said.probes, said.bits)
            self._pushes.add(said.low, said.high, held, now)
        else:
            raise BadMessage("kind")

    def next_pushes(self, index: EventIndex, limit: int, now: int) -> list[bytes]:
        """Ids that the peer's filters do not contain, in time order within each range."""
        return self._pushes.next(index, limit, now)

    def hear(self, root: Root, own: Summary, now: int) -> bool:
        """Take what a peer said of all that it holds; whether that is what we hold (`own`)."""
        self.peer_count = root.held
        self._peer_pushing = root.pushing
        self.in_sync = fingerprint(self._key, root.salt, own) == root.print
        if self.in_sync:
            self._asks.clear()
            self._rest = None
            self._pushes.clear()
        elif not root.held:
            self._pushes.add(START, END, None, now)
        return self.in_sync

    def begins(self, pace: Pace, now: int) -> bool:
        """Whether a new round of questions may begin; then it has."""
        answered = self._begun is None or now - self._begun >= pace.round_trip
        if not answered or self.asking:
            return False
        self._begun = now
        return True

    def ask_about_all(self, root: Root, own: Summary) -> None:
        """Go down from a Root with another print than that of what we hold (`own`)."""
        if root.held and own.count <= FILTER_IDS:
            self._ask(_Ask(START, END, None))
        if root.held and own.count and max(own.count, root.held) > FILTER_IDS:
            self._ask(_Ask(START, END, COARSE))

    def _compare_buckets(self, said: Buckets, index: EventIndex, now: int) -> None:
        level = said.level
        own = index.buckets(level, said.first, said.last, BUCKETS_COMPARED)
        last = own[-1][0] + 1 if len(own) == BUCKETS_COMPARED else said.last
        stretch = _Stretch(level)
        for verdict, run in groupby(self._judged(said, own, last), lambda pair: pair.verdict):
            pairs = list(run)
            if verdict == _DIFFERS:
                self._ask_within(level, pairs, stretch)
                continue
            low, high = (pairs[0].at << level, b""), (pairs[-1].at + 1 << level, b"")
            if verdict == _LACKS:
                self._pushes.add(low, high, None, now)
            else:
                self._pushes.settle(low, high)
            stretch.skip(sum(pair.held for pair in pairs))
        self._ask(stretch.end())
        if last < said.last:
            self._ask(_Ask((last << level, b""), (said.last << level, b""), level))

    def _judged(self, said: Buckets, own: Iterable[tuple[int, Summary]], last: int) -> Iterator["_Pair"]:
        """The buckets below `last` that either side has, in order."""
        ours = dict(own)
        theirs = {at: (count, mark) for at, count, mark in said.entries if at < last}
        for at in sorted(ours | theirs):
            held = ours.get(at, EMPTY)
            count, mark = theirs.get(at, (0, b""))
            same = bool(count) and fingerprint(self._key, said.salt, held) == mark
            yield _Pair(at, held.count, count, _SAME if same else _DIFFERS if count else _LACKS)

    def _ask_within(self, level: int, pairs: Iterable["_Pair"], stretch: "_Stretch") -> None:
        for at, held, count, _ in pairs:
            if level == COARSE and held and max(held, count) > FILTER_IDS:
                self._ask(_Ask((at << level, b""), (at + 1 << level, b""), FINE))
            if level == FINE or held <= FILTER_IDS:
                self._ask(stretch.over(at, held))
            else:
                stretch.skip(held)

    def _ask(self, ask: _Ask | None) -> None:
        if ask is not None and len(self._asks) < MAX_ASKS:
            self._asks[ask] = None

    def questions(self, index: EventIndex, now: int, most: int) -> list[bytes]:
        """The questions to ask now, as many as are allowed."""
        bound = ASKS_WHILE_PUSHING if self.pushing or self._peer_pushing else ASKS_PER_SECOND
        messages: list[bytes] = []
        while (self._rest or self._asks) and len(messages) < most and self._asking.take(bound, now):
            ask, self._rest = self._rest or next(iter(self._asks)), None
            self._asks.pop(ask, None)
            message, self._rest = self._name_buckets(ask, index) if ask.level else self._filter(ask, index)
            messages.append(message)
        return messages

    def _name_buckets(self, ask: _Ask, index: EventIndex) -> tuple[bytes, _Ask | None]:
        level = ask.level or COARSE
        first, last = ask.low[0] >> level, ask.high[0] >> level
        salt = self._entropy(SALT_BYTES)
        entries = [
            (at, held.count, fingerprint(self._key, salt, held))
            for at, held in index.buckets(level, first, last, ENTRIES)
        ]
        message, end = encode_buckets(Buckets(salt, level, first, last, entries))
        return message, None if end == last else _Ask((end << level, b""), ask.high, level)

    def _filter(self, ask: _Ask, index: EventIndex) -> tuple[bytes, _Ask | None]:
        page = index.page(ask.low, ask.high, FILTER_IDS + 1)
        high = separator(page[-2], page[-1]) if len(page) > FILTER_IDS else ask.high
        held = page[:FILTER_IDS]
        salt = self._entropy(SALT_BYTES)
        bits = bits_of(self._key, salt, (event_id for _, event_id in held), len(held))
        message = encode_filter(Filter(salt, ask.low, high, len(held), FILTER_PROBES, bits))
        return message, None if high == ask.high else _Ask(high, ask.high, None)


class _Stretch:
    """Joins differing buckets, and what lies between them, into ranges that one filter can describe."""

    def __init__(self, level: int) -> None:
        self._level = level
        self._first = self._last = -1
        self._held = self._between = 0

    def skip(self, held: int) -> None:
        """Pass a bucket that needs no filter."""
        self._between += held

    def over(self, at: int, held: int) -> _Ask | None:
        """Reach over a bucket that does; the range before it when that one is full."""
        together = self._held + self._between + held
        done = None
        if self._first < 0 or together > FILTER_IDS:
            done = self.end()
            self._first, together = at, held
        self._last, self._held, self._between = at, together, 0
        return done

    def end(self) -> _Ask | None:
        """The range reached over so far."""
        if self._first < 0:
            return None
        return _Ask((self._first << self._level, b""), (self._last + 1 << self._level, b""), None)
