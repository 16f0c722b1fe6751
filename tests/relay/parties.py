"""Clients of a relay without any socket: a service over a store in memory, and devices that talk to it."""

import asyncio
from collections import deque
from hashlib import sha256
from typing import Any, TypeVar

from quire.core.keys import DeviceKey
from quire.net import relay_wire as wire
from quire.net.relay_wire import Challenge, FromClient, FromRelay, Hello, MailboxKeys, Record, Scope
from quire.relay.connection import Connection, Gone
from quire.relay.origins import Origin
from quire.relay.service import RelayService
from quire.relay.settings import Settings
from quire.relay.shared import World
from tests.relay.memory_log import MemoryLog

Said = TypeVar("Said")


def key_of(name: str) -> DeviceKey:
    return DeviceKey(sha256(name.encode()).digest())


class Owner:
    """Whoever made a mailbox: its keys."""

    def __init__(self, name: str = "alice") -> None:
        self.secrets = {scope: key_of(f"{name} {scope}") for scope in wire.SCOPES}
        self.keys = MailboxKeys(*(self.secrets[scope].public for scope in wire.SCOPES))

    @property
    def id(self) -> bytes:
        return self.keys.id

    def hello(
        self,
        challenge: Challenge,
        device: DeviceKey,
        scope: Scope = "private",
        n: int = 1,
        seq: int = 0,
        local: int = 0,
        frugal: bool = False,
        records: list[Record] | None = None,
    ) -> Hello:
        said = wire.proof_of(challenge, self.id, scope, device.public)
        proof, device_proof = self.secrets[scope].sign(said), device.sign(said)
        return Hello(
            n, self.keys, scope, device.public, proof, device_proof, seq, local, frugal, records or []
        )


def records(first: int, last: int, scope: Scope = "private", size: int = 0, ts: int = 1_000) -> list[Record]:
    """A device's records by their local numbers."""
    return [
        Record(local, ts + local, scope, b"record %d" % local + bytes(size))
        for local in range(first, last + 1)
    ]


class Clock:
    """Time that passes when somebody sleeps, or is told to."""

    def __init__(self) -> None:
        self.ms = 1_000_000
        self.slept: list[float] = []
        self.log: list[dict[str, Any]] = []
        self._random = 0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.ms += int(seconds * 1000)
        await asyncio.sleep(0)

    def entropy(self, count: int) -> bytes:
        self._random += 1
        return sha256(b"%d" % self._random).digest()[:count]

    def world(self) -> World:
        return World(
            lambda: self.ms,
            lambda: self.ms,
            self.sleep,
            self.entropy,
            lambda event, **more: self.log.append({"event": event, **more}),
        )


class Relay:
    """A service over a store in memory. Its chores are not started: time would run away."""

    def __init__(self, settings: Settings | None = None, store: MemoryLog | None = None) -> None:
        self.clock = Clock()
        self.store = store or MemoryLog()
        self.key = key_of("relay")
        self.service = RelayService(self.store, self.key, settings or Settings(), self.clock.world())

    async def client(self, origin: Origin | None = None) -> "Client":
        client = Client()
        client.connection = await self.service.connect(client.send, client.end, origin)
        return client


class Client:
    """What a relay says to one connection. `stuck` holds up all that it sends."""

    def __init__(self) -> None:
        self.said: deque[FromRelay] = deque()
        self.connection: Connection | None = None
        self.ended = self.gone = False
        self.stuck: asyncio.Event | None = None
        self.bytes = 0

    async def send(self, data: bytes) -> None:
        if self.stuck is not None:
            await self.stuck.wait()
        await asyncio.sleep(0)
        if self.gone:
            raise Gone
        self.bytes += len(data)
        self.said.append(wire.read_relay(data))

    def end(self) -> None:
        self.ended = True

    @property
    def challenge(self) -> Challenge:
        if self.said and isinstance(self.said[0], Challenge):
            self._challenge = self.next(Challenge)
        return self._challenge

    async def say(self, said: FromClient) -> None:
        await self.say_bytes(wire.encode(said))

    async def say_bytes(self, data: bytes) -> None:
        assert self.connection is not None
        await self.connection.receive(data)

    async def hello(self, owner: Owner, device: DeviceKey, **more: Any) -> wire.Greeting:
        await self.say(owner.hello(self.challenge, device, **more))
        return self.next(wire.Greeting)

    def next(self, kind: type[Said]) -> Said:
        """The next that was said, which must be of this kind."""
        said = self.said.popleft()
        assert isinstance(said, kind), said
        return said

    async def entries(self, seq: int = 0, ack: bool = True) -> list[tuple[int, wire.Entry, bytes]]:
        """Pages until `reached`: place, entry and device of each; each page acknowledged if `ack`."""
        found: list[tuple[int, wire.Entry, bytes]] = []
        while True:
            await settle()
            page = self.next(wire.Entries)
            found += [
                (page.first + place, entry, page.devices[entry.sender])
                for place, entry in enumerate(page.entries)
            ]
            if ack and found:
                await self.say(wire.Ack(page.n, found[-1][0]))
            if page.reached:
                return found


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(200):
        await asyncio.sleep(0)
