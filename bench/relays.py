"""A relay in a process of its own, and plain clients of it: mailboxes opened and written to without any node."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from websockets.asyncio.client import ClientConnection, connect

from quire.core.relay_address import parse_relay
from quire.limits import MAX_RELAY_MESSAGE
from quire.net import relay_wire as wire
from quire.net.mailbox import Access

Said = TypeVar("Said", bound=wire.Message)


@dataclass(frozen=True)
class Relay:
    """A relay that runs; `address` holds its key."""

    address: str
    listen: str
    pid: int

    @property
    def key(self) -> bytes:
        return parse_relay(self.address).key

    def memory_mb(self, peak: bool = False) -> float:
        """Resident memory, now or at its most (MB)."""
        field = "VmHWM" if peak else "VmRSS"
        with open(f"/proc/{self.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith(field)) / 1_000

    def counted(self, name: str) -> float:
        """One of its counters."""
        with urllib.request.urlopen(f"http://{self.listen}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"quire_relay_{name} "))

    @property
    def carried(self) -> float:
        """Bytes of messages, both ways, since its start."""
        return self.counted("sent_bytes_total") + self.counted("received_bytes_total")


@contextmanager
def relay(folder: Path, *options: str) -> Iterator[Relay]:
    """Run `quire relay serve` over a store in a folder until the block ends, without bounds on its clients' pace."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "quire", "relay", "serve", "--json", "--listen", "127.0.0.1:0"),
        *("--store", f"sqlite:{folder / 'relay.db'}", "--records-per-second", "0", "--mib-per-second", "0"),
    ]
    with (folder / "relay.log").open("ab") as log:
        process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        lines = ""
        while "}" not in lines:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError((folder / "relay.log").read_text())
            lines += line
        said = json.loads(lines)
        yield Relay(said["url"], said["listen"], said["pid"])
    finally:
        process.terminate()
        process.wait(timeout=30)


def access(relay: Relay, mailbox: str, device: str) -> Access:
    """A mailbox by its name, and a device of it."""
    secret, seed = sha256(mailbox.encode()).digest(), sha256(device.encode()).digest()
    return Access(secret, relay.key, seed, "space")


class Client:
    """One connection."""

    def __init__(self, socket: ClientConnection, challenge: wire.Challenge) -> None:
        self._socket = socket
        self._challenge = challenge
        self._last = 0

    async def open(self, access: Access, seq: int = 0, local: int = 0) -> wire.Greeting:
        """Open a mailbox."""
        self._last += 1
        await self.say(access.hello(self._challenge, self._last, seq, local, False, []))
        return await self.hear(wire.Greeting)

    async def say(self, said: wire.FromClient) -> None:
        """Send a message."""
        await self._socket.send(wire.encode(said))

    async def hear(self, kind: type[Said]) -> Said:
        """The next message of a kind; others are passed over. Raises RuntimeError for a refusal."""
        while True:
            said = wire.read_relay(await self._socket.recv(decode=False))
            if isinstance(said, kind):
                return said
            if isinstance(said, wire.Refusal):
                raise RuntimeError(said.text)


@asynccontextmanager
async def client(relay: Relay) -> AsyncIterator[Client]:
    """Connect until the block ends."""
    url = parse_relay(relay.address).url
    async with connect(
        url, compression=None, max_size=MAX_RELAY_MESSAGE, ping_interval=None, proxy=None
    ) as socket:
        said = wire.read_relay(await socket.recv(decode=False))
        assert isinstance(said, wire.Challenge)
        yield Client(socket, said)
