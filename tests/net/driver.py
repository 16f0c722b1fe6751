"""Endpoints on an in-memory network with virtual time, loss, doubles, delay, reordering and damage."""

import heapq
from dataclasses import dataclass, field
from random import Random

from quire.core.keys import DeviceKey
from quire.net.endpoint import Endpoint, SessionId
from quire.net.notices import Address, AddressesLearned, BlobsReceived, Notice
from quire.net.session import Session
from quire.net.standing import Standing
from tests.sync.memory import MemoryIndex

SPACE = b"S" * 32
SPACE_KEY = b"K" * 32
#: What an uplink holds back (ms).
QUEUE_MS = 500


def record(event_id: bytes, ts: int, size: int = 100) -> bytes:
    """A stand-in for `key_id ‖ blob` from which a test node can tell id and time again."""
    return (event_id + ts.to_bytes(8, "big")).ljust(size, b".")


@dataclass
class Conditions:
    """What the network does to each datagram; `delay` and `jitter` in ms, `uplink` of each node in kB/s (0: any)."""

    loss: float = 0.0
    twice: float = 0.0
    altered: float = 0.0
    delay: int = 5
    jitter: int = 0
    uplink: int = 0


@dataclass
class Node:
    """An endpoint, its device, its store."""

    name: str
    endpoint: Endpoint
    key: DeviceKey
    index: MemoryIndex = field(default_factory=MemoryIndex)
    address: Address = ()
    notices: list[Notice] = field(default_factory=list)
    #: How this node sees other devices; whoever is not named is a member.
    standings: dict[bytes, Standing] = field(default_factory=dict)
    others: Standing = Standing.MEMBER

    def standing(self, device: bytes) -> Standing:
        return self.standings.get(device, self.others)

    def sees(self, other: "Node", standing: Standing, now: int) -> None:
        """The membership graph of this node changes."""
        self.standings[other.key.public] = standing
        self.endpoint.standing_changed(SPACE, now)

    def hold(self, random: Random, count: int, size: int = 100, span: int = 10**9) -> list[bytes]:
        """Hold new random events; their ids."""
        ids = []
        for _ in range(count):
            ts, event_id = 10**12 + random.randrange(span), random.randbytes(32)
            self.index.add(ts, event_id, record(event_id, ts, size))
            ids.append(event_id)
        return ids

    def session_with(self, other: "Node") -> Session:
        session = self.endpoint.session(SessionId(SPACE, self.key.public, other.key.public))
        assert session is not None
        return session

    def ingest(self, session_id: SessionId, blobs: BlobsReceived, now: int) -> None:
        session = self.endpoint.session(session_id)
        fresh = []
        for blob in blobs.records:
            event_id, ts = blob[:32], int.from_bytes(blob[32:40], "big")
            if self.index.add(ts, event_id, blob):
                fresh.append(event_id)
        if session is not None:
            session.peer_holds(fresh, now)
            session.nudge(now)


class World:
    """Everything deterministic from one seed."""

    def __init__(
        self, seed: int = 1, conditions: Conditions | None = None, endpoints: type[Endpoint] = Endpoint
    ) -> None:
        self.random = Random(seed)
        self._endpoints = endpoints
        self.conditions = conditions or Conditions()
        self.now = 1_000
        self.nodes: dict[Address, Node] = {}
        self.log: list[tuple[int, Address, Address, bytes]] = []
        self._transit: list[tuple[int, int, Address, Address, bytes]] = []
        self._order = 0
        # Until when the uplink of a node is busy.
        self._busy: dict[Address, float] = {}

    def node(
        self,
        name: str,
        strategy: str = "bloom",
        index: MemoryIndex | None = None,
        run: int = 0,
        others: Standing = Standing.MEMBER,
    ) -> Node:
        """A node at address (name,) that sees others so; `run` tells its restarts apart."""
        entropy = Random(f"{name} {run}").randbytes
        key = DeviceKey(name.encode().ljust(32, b"\0"))
        node = Node(name, self._endpoints(entropy, strategy), key, index or MemoryIndex(), (name,))
        node.others = others
        node.endpoint.add(SPACE, SPACE_KEY, key, lambda _: node.index, node.standing)
        self.nodes[node.address] = node
        return node

    def connect(self, one: Node, other: Node) -> None:
        """`one` dials `other`."""
        one.endpoint.dial(SessionId(SPACE, one.key.public, other.key.public), [other.address], self.now)

    def send(self, data: bytes, source: Address, target: Address, delay: int) -> None:
        """Put a datagram on its way, whatever the conditions."""
        self._order += 1
        heapq.heappush(self._transit, (self.now + delay, self._order, source, target, data))

    def run(self, duration: int) -> None:
        """Let `duration` ms pass."""
        end = self.now + duration
        while True:
            for node in self.nodes.values():
                self._drain(node)
            due = [timer for node in self.nodes.values() if (timer := node.endpoint.next_timer()) is not None]
            due += [self._transit[0][0]] if self._transit else []
            now = max(self.now, min(due, default=end))
            if now >= end:
                self.now = end
                return
            self.now = now
            self._deliver()
            for node in self.nodes.values():
                node.endpoint.handle_timer(self.now)

    def until_equal(self, most: int, *nodes: Node) -> int:
        """Run until all hold the same; the ms that took."""
        start = self.now
        while len({node.index.whole() for node in nodes}) > 1:
            assert self.now - start < most, [len(node.index) for node in nodes]
            self.run(100)
        return self.now - start

    def _deliver(self) -> None:
        while self._transit and self._transit[0][0] <= self.now:
            _, _, source, target, data = heapq.heappop(self._transit)
            if target in self.nodes:
                self.nodes[target].endpoint.receive_datagram(data, source, self.now)

    def _drain(self, node: Node) -> None:
        while (item := node.endpoint.next_event()) is not None:
            session_id, notice = item
            if isinstance(notice, BlobsReceived):
                node.ingest(session_id, notice, self.now)
            else:
                node.notices.append(notice)
        for data, target in node.endpoint.datagrams_to_send(self.now):
            self.log.append((self.now, node.address, target, data))
            self._carry(data, node.address, target)

    def _carry(self, data: bytes, source: Address, target: Address) -> None:
        is_, random = self.conditions, self.random
        queued = self._queued(len(data), source)
        if queued is None:
            return
        for _ in range(1 + (random.random() < is_.twice)):
            if random.random() < is_.loss:
                continue
            if random.random() < is_.altered:
                at = random.randrange(len(data))
                data = data[:at] + bytes((data[at] ^ 1 << random.randrange(8),)) + data[at + 1 :]
            self.send(data, source, target, queued + is_.delay + random.randrange(is_.jitter + 1))

    def _queued(self, size: int, source: Address) -> int | None:
        """How long a datagram waits for the uplink (ms); None where it is dropped, as no more waits there."""
        if not self.conditions.uplink:
            return 0
        waits = max(0.0, self._busy.get(source, 0.0) - self.now)
        if waits > QUEUE_MS:
            return None
        waits += size / self.conditions.uplink
        self._busy[source] = self.now + waits
        return int(waits)


def learned(node: Node) -> list[tuple[bytes, str]]:
    """All addresses that a node was told."""
    return [pair for notice in node.notices if isinstance(notice, AddressesLearned) for pair in notice.known]
