"""A relay in a process of its own, and devices that talk to it over real sockets.

A `Device` keeps what a device on a disk would keep: what it added, what of that is acknowledged, what it has read up
to which place; a broken connection is begun anew with that.
"""

import asyncio
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from quire.core.keys import DeviceKey
from quire.limits import HELLO_RECORD_BYTES, MAX_RELAY_MESSAGE
from quire.net import relay_wire as wire
from quire.net.relay_wire import FromRelay, Record
from tests.process import harness
from tests.relay.parties import Owner

#: What a client meets when a relay is killed.
BROKEN = (OSError, WebSocketException, EOFError, TimeoutError)


class RelayProcess:
    """`quire relay serve` over a SQLite store in a folder, or the one named, at the same port after each start."""

    def __init__(self, folder: Path, *words: str, store: str = "") -> None:
        self.store = store or f"sqlite:{folder / 'relay.db'}"
        self.errors = folder / "relay.stderr"
        self.environment = harness.environment(folder)
        self._words = words
        self._listen = "127.0.0.1:0"
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Its address without the key."""
        return self.url.partition("#")[0]

    def start(self) -> None:
        words = ["relay", "serve", "--listen", self._listen, "--store", self.store, *self._words]
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [harness.QUIRE, *words], stdout=subprocess.PIPE, stderr=errors, env=self.environment
            )
        assert self.process.stdout is not None
        said = self.process.stdout.readline().decode()
        found = re.fullmatch(r"Relay: +(wss?://([\d.:]+)/#\S+)\n", said)
        assert found, (said, self.said())
        self.url, self._listen = found[1], found[2]

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._forget()

    def stop(self) -> None:
        """SIGTERM, and a clean end."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.ended()

    def ended(self) -> None:
        """Wait for a clean end that was asked for."""
        assert self.process is not None
        assert self.process.wait(harness.PATIENCE) == 0, self.said()
        self._forget()

    def _forget(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None

    def said(self) -> str:
        """What it wrote for its operator."""
        return self.errors.read_text() if self.errors.exists() else ""

    def memory(self) -> int:
        """Resident bytes."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024


@contextmanager
def relay_process(folder: Path, *words: str, store: str = "") -> Iterator[RelayProcess]:
    """A relay that runs; stopped at the end, whatever happened."""
    relay = RelayProcess(folder, *words, store=store)
    try:
        relay.start()
        yield relay
    finally:
        relay.kill()
    assert not any(mistake in relay.said() for mistake in ("Traceback", '"event":"mistake"')), relay.said()


@asynccontextmanager
async def line(relay: RelayProcess, **more: object) -> AsyncIterator[ClientConnection]:
    """A connection, as plain as can be."""
    options = {"max_size": MAX_RELAY_MESSAGE, "ping_interval": None, "close_timeout": 0.2, "open_timeout": 60}
    async with connect(relay.address, compression=None, proxy=None, **(options | more)) as socket:  # type: ignore[arg-type]
        yield socket


async def heard(socket: ClientConnection) -> FromRelay:
    """The next message of the relay's."""
    data = await asyncio.wait_for(socket.recv(), harness.PATIENCE)
    assert isinstance(data, bytes)
    return wire.read_relay(data)


async def said(socket: ClientConnection, message: wire.Message) -> None:
    """Say something."""
    await socket.send(wire.encode(message))


async def opened(socket: ClientConnection, owner: Owner, device: DeviceKey, **more: object) -> wire.Greeting:
    """Open a mailbox on a new connection."""
    challenge = await heard(socket)
    assert isinstance(challenge, wire.Challenge)
    await said(socket, owner.hello(challenge, device, **more))  # type: ignore[arg-type]
    greeting = await heard(socket)
    assert isinstance(greeting, wire.Greeting), greeting
    return greeting


class Device:
    """Adds records and reads its mailbox, over as many connections as it takes."""

    def __init__(self, relay: RelayProcess, owner: Owner, key: DeviceKey, size: int = 200) -> None:
        self._relay, self._owner, self.key, self._size = relay, owner, key, size
        self.added = 0
        self.acknowledged = 0
        self.cursor = 0
        self.chain = wire.NO_CHAIN
        #: Device and local number of each place, in order.
        self.seen: list[tuple[bytes, int]] = []
        self.done = False

    def records(self, first: int, last: int) -> list[Record]:
        data = self.key.public[:8] + bytes(self._size)
        return [Record(local, local, "private", data) for local in range(first, last + 1)]

    async def live(self, batch: int, until: int) -> None:
        """Add up to `until`, and read, until all is acknowledged and `done`."""
        while not (self.done and self.acknowledged >= until):
            try:
                async with line(self._relay) as socket:
                    await self._talk(socket, batch, until)
            except BROKEN:
                await asyncio.sleep(0.02)

    async def _talk(self, socket: ClientConnection, batch: int, until: int) -> None:
        waiting = self.records(self.acknowledged + 1, self.added)
        if sum(len(one.data) for one in waiting) > HELLO_RECORD_BYTES:
            waiting = []  # they are added once the key is proven
        seq, local = self.cursor, self.acknowledged
        greeting = await opened(socket, self._owner, self.key, seq=seq, local=local, records=waiting)
        assert greeting.taken >= self.acknowledged, "what was acknowledged is there"
        assert greeting.head.length >= self.cursor, "what was given is there"
        self.acknowledged = self.added = greeting.taken
        while not (self.done and self.acknowledged >= until):
            if self.added == self.acknowledged and self.added < until:
                new = self.records(self.added + 1, min(self.added + batch, until))
                self.added = new[-1].local
                await said(socket, wire.Add(1, new))
            try:
                message = await asyncio.wait_for(socket.recv(), 0.2)
            except TimeoutError:
                continue
            assert isinstance(message, bytes)
            await self._take(socket, wire.read_relay(message))

    async def _take(self, socket: ClientConnection, message: FromRelay) -> None:
        if isinstance(message, wire.Added):
            self.acknowledged = message.taken
        elif isinstance(message, wire.Entries):
            assert (message.first, message.before) == (self.cursor + 1, self.chain)
            for entry in message.entries:
                device = message.devices[entry.sender]
                record = Record(entry.local, entry.ts, entry.scope, entry.data or b"")
                hashed = entry.digest if entry.data is None else wire.digest(device, record)
                self.chain = wire.link(self.chain, [hashed])
                self.seen.append((device, entry.local))
                self.cursor += 1
            if message.entries:
                await said(socket, wire.Ack(1, self.cursor))
        else:
            raise EOFError(message)  # refused: come again
