"""Two stores, one strategy on each side, and a bad network between them: what every strategy must do."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from random import Random

from quire.limits import MAX_SYNC_BYTES
from quire.sync import STRATEGIES, BadMessage, Strategy
from quire.sync.frontier import NO_MARK, Blobs, Fetch, Height, Want
from tests.sync.memory import MemoryIndex

KEY = b"k" * 32
TICK_MS = 1_000


def ids(random: Random, count: int, span_ms: int = 10**10) -> list[tuple[int, bytes]]:
    """Random positions; `span_ms` 1 puts all of them into one millisecond."""
    return [(10**12 + random.randrange(span_ms), random.randbytes(32)) for _ in range(count)]


def index_of(*parts: Iterable[tuple[int, bytes]]) -> MemoryIndex:
    """An index that holds these positions."""
    index = MemoryIndex()
    for ts, event_id in sorted(at for part in parts for at in part):
        index.add(ts, event_id, event_id)
    return index


@dataclass
class Network:
    """Loses, doubles, reorders and alters messages with these chances."""

    random: Random
    loss: float = 0.0
    twice: float = 0.0
    altered: float = 0.0
    shuffle: bool = False
    spoilt: int = 0

    def pass_on(self, messages: list[bytes]) -> list[bytes]:
        passed: list[bytes] = []
        for message in messages:
            for _ in range(1 + (self.random.random() < self.twice)):
                if self.random.random() >= self.loss:
                    passed.append(self._alter(message) if self.random.random() < self.altered else message)
        if self.shuffle:
            self.random.shuffle(passed)
        return passed

    def _alter(self, message: bytes) -> bytes:
        self.spoilt += 1
        at = self.random.randrange(len(message))
        return message[:at] + bytes((message[at] ^ 1 << self.random.randrange(8),)) + message[at + 1 :]


@dataclass
class Side:
    """One store and its strategy."""

    index: MemoryIndex
    strategy: Strategy
    times: dict[bytes, int] = field(default_factory=dict)
    inbox: list[bytes] = field(default_factory=list)
    bad: int = 0


@dataclass
class Pair:
    """Two sides in lockstep; counts what crossed."""

    network: Network
    sides: tuple[Side, Side]
    now: int = 0
    messages: int = 0
    pushed: int = 0

    def tick(self) -> None:
        """One heartbeat each, then everything that follows from it within the second."""
        for me, other in (self.sides, self.sides[::-1]):
            self._send(me.strategy.heartbeat(me.index, self.now), other)
        while any(side.inbox or side.strategy.pushing for side in self.sides):
            for me, other in (self.sides, self.sides[::-1]):
                self._work(me, other)
        self.now += TICK_MS

    def _send(self, messages: list[bytes], to: Side) -> None:
        assert all(len(message) <= MAX_SYNC_BYTES for message in messages)
        self.messages += len(messages)
        to.inbox.extend(self.network.pass_on(messages))

    def _work(self, me: Side, other: Side) -> None:
        inbox, me.inbox = me.inbox, []
        for message in inbox:
            try:
                self._send(me.strategy.receive(message, me.index, self.now), other)
            except BadMessage:
                me.bad += 1
        pushes = me.strategy.next_pushes(me.index, 64, self.now)
        assert len(pushes) <= 64
        self.pushed += len(pushes)
        for event_id in self.network.pass_on(me.index.blobs(pushes)):
            if event_id in me.times:
                other.times[event_id] = me.times[event_id]
                other.index.add(me.times[event_id], event_id, event_id)

    def converge(self, most: int) -> int:
        """Ticks until both hold the same; fails after `most`."""
        for ticks in range(most):
            if self.sides[0].index.whole() == self.sides[1].index.whole():
                return ticks
            self.tick()
        assert self.sides[0].index.positions() == self.sides[1].index.positions()
        return most


#: Writers that the events of the suite are of, and the places of one question.
WRITERS, RUN = 4, 500


class SideLogs:
    """The logs of one side: `places` tells every event's device and place, whoever holds it."""

    def __init__(self, side: Side, places: dict[bytes, tuple[bytes, int]]) -> None:
        self._held: dict[bytes, dict[int, tuple[int, bytes]]] = {}
        for ts, event_id in side.index.positions():
            device, seq = places[event_id]
            self._held.setdefault(device, {})[seq] = ts, event_id

    def heights(self) -> list[Height]:
        found = []
        for device, log in sorted(self._held.items()):
            seq = next(n for n in count() if n + 1 not in log)
            if seq:
                found.append(Height(device, seq, log[seq][1][:8], log[1][0]))
        return found

    def run(self, want: Want) -> Blobs:
        log = self._held.get(want.device, {})
        if want.mark != NO_MARK and log.get(want.after, (0, b""))[1][:8] != want.mark:
            return Blobs([], want.after, True)
        reached = min(want.until, want.after + RUN)
        blobs = [log[seq][1] for seq in range(want.after + 1, reached + 1) if seq in log]
        return Blobs([(b"", blobs)], reached, reached == want.until)


@dataclass
class StreamPair(Pair):
    """`frontier`: at each tick both fetch runs over a stream, which the network breaks as often as it loses a
    datagram; what there are gaps in is left to sketches, as nodes do.
    """

    def tick(self) -> None:
        if self.sides[0].index.whole() != self.sides[1].index.whole():
            self._stream()
        super().tick()

    def _stream(self) -> None:
        everything = sorted({at for side in self.sides for at in side.index.positions()})
        seqs: dict[bytes, int] = {}
        places: dict[bytes, tuple[bytes, int]] = {}
        for _, event_id in everything:
            device = bytes((event_id[0] % WRITERS,)) * 32
            seqs[device] = seqs.get(device, 0) + 1
            places[event_id] = device, seqs[device]
        logs = [SideLogs(side, places) for side in self.sides]
        for me, own, theirs in ((0, logs[0], logs[1]), (1, logs[1], logs[0])):
            self._fetch(self.sides[me], self.sides[1 - me], own, theirs)

    def _fetch(self, me: Side, other: Side, own: SideLogs, theirs: SideLogs) -> None:
        fetch = Fetch(own.heights())
        fetch.heard(1, theirs.heights())
        self.messages += 2
        while wants := fetch.wants(1):
            for want in wants:
                if self.network.random.random() < self.network.loss:
                    return
                self.messages += 1
                self._take(me, other, theirs, want)
                fetch.answered(1, want, want.until)
        assert fetch.over

    def _take(self, me: Side, other: Side, theirs: SideLogs, want: Want) -> None:
        part = theirs.run(want)
        while True:
            for event_id in part.groups[0][1]:
                me.times[event_id] = other.times[event_id]
                self.pushed += me.index.add(me.times[event_id], event_id, event_id)
            if part.last:
                break
            part = theirs.run(want._replace(after=part.reached, mark=NO_MARK))


#: The strategies of datagrams, and the one of streams.
NAMES = [*STRATEGIES, "frontier"]


def pair(name: str, left: MemoryIndex, right: MemoryIndex, network: Network | None = None) -> Pair:
    """Two sides under the strategy of this name."""
    random = Random(name)
    make = STRATEGIES["sketch" if name == "frontier" else name]

    def side(index: MemoryIndex) -> Side:
        times = {event_id: ts for ts, event_id in index.positions()}
        return Side(index, make(KEY, random.randbytes), times)

    kind = StreamPair if name == "frontier" else Pair
    return kind(network or Network(Random(1)), (side(left), side(right)))
