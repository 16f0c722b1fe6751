"""Relays as real processes on free loopback ports, over SQLite or a NATS cluster, and something in front of several.

A relay keeps its port when it comes back, as operators let it. What it writes to standard error must hold no mistake.
"""

import os
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import IO
from urllib.parse import urlsplit

import msgspec
import pytest

from quire.core.relay_address import parse_relay
from tests.process.harness import PATIENCE, QUIRE, Lab, Person, environment, wait_until
from tests.process.lossy_proxy import has_ipv6

_CHUNK = 65_536
#: Where somebody listens whom nobody on 127.0.0.1 can reach.
APART = "[::1]:0"


class Relay:
    """One relay process; `store` as `quire relay serve` is told it, or "" for a file; `more` is its environment's."""

    def __init__(
        self, folder: Path, name: str, store: str, options: tuple[str, ...], more: Mapping[str, str]
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.database = folder / "relay.db"
        self.errors = folder / f"{name}.stderr"
        self.environment = environment(folder) | dict(more)
        self.process: subprocess.Popen[bytes] | None = None
        #: What is run as `quire`.
        self.program: tuple[str, ...] = (QUIRE,)
        self._store = store or f"sqlite:{self.database}"
        self._options = options
        self._listen = "127.0.0.1:0"
        self.address = ""

    def up(self, *once: str) -> str:
        """Start it, with these options for `once`, and wait until it serves; its address, key and all."""
        assert self.process is None
        command = [
            *self.program,
            "relay",
            "serve",
            "--json",
            "--listen",
            self._listen,
            "--store",
            self._store,
        ]
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [*command, *self._options, *once], stdout=subprocess.PIPE, stderr=errors, env=self.environment
            )
        assert self.process.stdout is not None
        said = _object(self.process.stdout)
        assert said, f"the relay did not start: {self.said()}"
        told = msgspec.json.decode(said, type=dict[str, str | int])
        self.address, self._listen = str(told["url"]), str(told["listen"])
        return self.address

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def host(self) -> str:
        """What `quire status` calls it."""
        return parse_relay(self.address).host

    @property
    def port(self) -> int:
        return int(self._listen.rpartition(":")[2])

    def stop(self) -> None:
        """SIGTERM, and a clean end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(PATIENCE) == 0, self.said()
        self._forget()

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE)
        self._forget()

    def said(self) -> str:
        """What it wrote to standard error."""
        return self.errors.read_text() if self.errors.exists() else ""

    def check(self) -> None:
        """Fail when it met an error that nobody foresaw."""
        assert "Traceback" not in self.said(), self.said()
        assert '"event":"mistake"' not in self.said(), self.said()

    def _forget(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None


def _object(stream: IO[bytes]) -> bytes:
    """A JSON object as `--json` prints it, on several lines; what came before the end when it ends early."""
    said = b""
    while not said.endswith(b"\n}\n") and (line := stream.readline()):
        said += line
    return said


class Relays:
    """The relays of one test, and what stands in front of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[Relay] = []
        self._fronts: list[Front] = []

    def relay(
        self,
        name: str = "relay",
        store: str = "",
        options: tuple[str, ...] = (),
        more: Mapping[str, str] = MappingProxyType({}),
        program: tuple[str, ...] = (QUIRE,),
    ) -> Relay:
        """One that runs."""
        self.made.append(Relay(self.folder / name, name, store, options, more))
        self.made[-1].program = program
        self.made[-1].up()
        return self.made[-1]

    def processes(
        self, store: str, count: int = 2, more: Mapping[str, str] = MappingProxyType({})
    ) -> list[Relay]:
        """Processes of one relay: they share a store and a key."""
        key = str(self.folder / "shared.key")
        return [self.relay(f"process-{n}", store, ("--key", key), more) for n in range(count)]

    def front(self, relays: list[Relay]) -> "Front":
        """One address for several processes."""
        self._fronts.append(Front(relays))
        return self._fronts[-1]

    def close(self) -> None:
        """Stop everything; fail when any relay met an error that nobody foresaw."""
        try:
            for relay in self.made:
                relay.stop()
        finally:
            for relay in self.made:
                relay.kill()
            for front in self._fronts:
                front.close()
        for relay in self.made:
            relay.check()


class Splice:
    """Connections to a loopback port, each passed on to where `meet` connects it; None hangs up."""

    def __init__(self, meet: Callable[[socket.socket], socket.socket | None]) -> None:
        self._meet = meet
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listening.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def close(self) -> None:
        """Hang up everything, and wait until nothing of it runs."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _start(self, run: Callable[..., None], *given: socket.socket) -> None:
        self._threads.append(threading.Thread(target=run, args=given, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self._open.add(client)
            self._start(self._pass_on, client)

    def _pass_on(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            target = self._meet(client)
            if target is not None:
                self._open.add(target)
                with target:
                    _copy(client, target)
                self._open.discard(target)
        self._open.discard(client)


def _copy(one: socket.socket, other: socket.socket) -> None:
    """Both ways, until either end is closed."""
    while True:
        ready, _, _ = select.select([one, other], [], [])
        for source in ready:
            data = source.recv(_CHUNK)
            if not data:
                return
            (other if source is one else one).sendall(data)


class Front:
    """A load balancer: connections go to the relay processes in turn, past those that do not listen."""

    def __init__(self, relays: list[Relay]) -> None:
        self._relays = relays
        self._next = 0
        #: How many connections each process was given.
        self.given = [0] * len(relays)
        self._splice = Splice(self._meet)
        key = parse_relay(relays[0].address)
        self.address = f"ws://127.0.0.1:{self._splice.port}/#{key.text.partition('#')[2]}"

    @property
    def host(self) -> str:
        """What `quire status` calls it."""
        return parse_relay(self.address).host

    def close(self) -> None:
        self._splice.close()

    def _meet(self, _client: socket.socket) -> socket.socket | None:
        for _ in self._relays:
            at, self._next = self._next, (self._next + 1) % len(self._relays)
            with suppress(OSError):
                made = socket.create_connection(("127.0.0.1", self._relays[at].port))
                self.given[at] += 1
                return made
        return None


class HttpProxy:
    """An HTTP proxy that does CONNECT and nothing else; `asked` holds whom clients asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._splice = Splice(self._meet)
        self.url = f"http://127.0.0.1:{self._splice.port}"

    def close(self) -> None:
        self._splice.close()

    def _meet(self, client: socket.socket) -> socket.socket | None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(1)
            if not data:
                return None
            head += data
        verb, target, *_ = head.decode().split()
        self.asked.append(target)
        if verb != "CONNECT":
            client.sendall(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
            return None
        place = urlsplit(f"//{target}")
        made = socket.create_connection(("127.0.0.1", place.port or 0))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return made


# --- people who use relays


def founder(lab: Lab, name: str, *addresses: str) -> Person:
    """Somebody whose space uses these relays; no node runs."""
    person = lab.founder(name)
    for address in addresses:
        person.ask("addRelay", address=address)
    return person


def apart(lab: Lab, *addresses: str) -> tuple[Person, Person]:
    """Two who are up, in sync with relays, and can never meet: one speaks IPv4 alone, the other IPv6."""
    if not has_ipv6():
        pytest.skip("two nodes that cannot meet need an IPv6 loopback address")
    alice = founder(lab, "alice", *addresses)
    alice.up()
    bob = lab.person("bob")
    bob.ask("joinSpace", link=alice.ask("createInvite")["link"], name="bob")
    bob.up(listen=APART)
    bob.comes_in()
    wait_until(lambda: len(alice.ask("listMembers")) == 2, "alice letting bob in")
    in_sync(alice)
    in_sync(bob)
    return alice, bob


def relay_of(person: Person, host: str) -> dict[str, object]:
    """What `quire status` tells of a relay in somebody's first space."""
    (space,) = person.ask("getStatus")["identities"][0]["spaces"]
    (found,) = [one for one in space["relays"] if one["host"] == host]
    return dict(found)


def in_sync(person: Person) -> None:
    """Wait until somebody's node is in sync with every relay of every space that it is in."""

    def states() -> list[str]:
        identities = person.ask("getStatus")["identities"]
        return [one["state"] for i in identities for space in i["spaces"] for one in space["relays"]]

    wait_until(
        lambda: (found := states()) and set(found) == {"in-sync"}, f"{person.name} in sync with relays"
    )


def alone(person: Person, texts: set[str], listen: str = "127.0.0.1:0") -> None:
    """Let somebody's node run until it has these messages and the relays have all of its own."""
    person.up(listen=listen)
    person.sees(texts)
    in_sync(person)
    person.stop()


def memory_of(pid: int) -> Iterator[bytes]:
    """The content of every mapping of a process that can be read, in chunks that overlap by a page."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, rights, *_ = line.split()
            start, end = (int(text, 16) for text in span.split("-"))
            if rights.startswith("r"):
                yield from _parts(memory.fileno(), start, end)


def _parts(memory: int, start: int, end: int, size: int = 1 << 24, overlap: int = 1 << 12) -> Iterator[bytes]:
    for at in range(start, end, size):
        with suppress(OSError, OverflowError):  # [vvar] and its like
            yield os.pread(memory, min(size + overlap, end - at), at)
