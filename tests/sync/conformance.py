"""Two stores, one strategy on each side, and a bad network between them: what every strategy must do."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from quire.limits import MAX_SYNC_BYTES
from quire.sync import STRATEGIES, BadMessage, Strategy
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


def pair(name: str, left: MemoryIndex, right: MemoryIndex, network: Network | None = None) -> Pair:
    """Two sides under the strategy of this name."""
    random = Random(name)

    def side(index: MemoryIndex) -> Side:
        times = {event_id: ts for ts, event_id in index.positions()}
        return Side(index, STRATEGIES[name](KEY, random.randbytes), times)

    return Pair(network or Network(Random(1)), (side(left), side(right)))
