#!/usr/bin/env python3
"""A Quire device as a Maelstrom node: Maelstrom's JSON lines on stdin and stdout, a real node and home inside.

Owns: the workloads `broadcast` and `g-set` (a value is a message in `general`), and Quire's own datagrams as
Maelstrom messages, so that Maelstrom's latency, loss and partitions hit them.
Must not know: who judges. Nothing of the tests is imported: Maelstrom starts this file as a program.

Every process makes the founder's first events anew from the names of the nodes, and so knows the invite link
without being told. The first node goes on with that home; the others throw it away and join by the link, over
Maelstrom's network. `init` is answered once a node is in.
"""

import json
import os
import select
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from quire.core.address import HostPort, format_address
from quire.core.vault import Vault
from quire.errors import NoKeyYet, NotIn, QuireError
from quire.events.context import Context
from quire.events.home import Home
from quire.handlers import REGISTRY, identity, invite, joining, message, peer, space
from quire.node import Mistake, Node, Trouble
from quire.runtime.clock import steady_ms
from quire.sim.entropy import Stream
from quire.store.memberships import JOINING

Body = dict[str, Any]
Send = Callable[[str, Body], None]

#: The time of day at which every node begins (ms), so that the founding comes to the same bytes everywhere.
MORNING_MS = 1_790_000_000_000
PORT = 7_700
#: Maelstrom's error codes (doc/protocol.md there).
NOT_SUPPORTED, UNAVAILABLE, MALFORMED, CRASH = 10, 11, 12, 13


class Device:
    """One home, the node on it and its place in the cluster; `send(dest, body)` puts a message on the network."""

    def __init__(self, folder: Path, name: str, cluster: list[str], send: Send) -> None:
        self._cluster = cluster
        self._send = send
        self._started = steady_ms()
        founder = cluster[0]
        home, link = _founding(folder, founder, cluster)
        if name != founder:
            home.close()
            home = _home(folder, name, cluster)
            joining.join(Context(home, MORNING_MS), link, name)
        self._home = home
        addresses = (format_address(*_address(cluster, name)),)
        self.node = Node(home, "sketch", self._started, MORNING_MS - self._started, addresses)

    @property
    def is_in(self) -> bool:
        """Whether it was let in, and has heard of that."""
        ctx = self._context()
        return ctx.member.kind != JOINING and any(
            one.pubkey == ctx.member.account_id for one in peer.list_(ctx)
        )

    def add(self, value: Any) -> None:
        """Append one event. Raises QuireError as the handlers do; nothing was written then."""
        message.create(self._context(), "general", json.dumps(value))
        self.node.committed(steady_ms())

    def values(self) -> list[Any]:
        """What the view holds, each value once."""
        rows = self._home.store.db.all("SELECT DISTINCT body_text FROM message_index")
        return [json.loads(text) for (text,) in rows]

    def take(self, source: str, datagram: str) -> None:
        """A datagram of another node's."""
        self.node.receive_datagram(b64decode(datagram), _address(self._cluster, source), steady_ms())

    def pump(self) -> None:
        """Do what is due and send what there is to send."""
        now = steady_ms()
        if now >= self.node.next_timer():
            self.node.handle_timer(now)
        for data, address in self.node.datagrams_to_send(now):
            dest = _name_at(self._cluster, address)
            if dest is not None:
                self._send(dest, {"type": "quire", "datagram": b64encode(data).decode()})
        while (event := self.node.next_event()) is not None:
            if isinstance(event, Mistake):
                raise event.error
            if isinstance(event, Trouble):
                sys.stderr.write(f"{event.text}\n")

    def wait(self) -> float:
        """Seconds until something is due."""
        return max(self.node.next_timer() - steady_ms(), 0) / 1000

    def _context(self) -> Context:
        chosen = self._home.store.memberships.all()[0]
        wall = MORNING_MS + steady_ms() - self._started
        return Context(self._home, wall, chosen.account, chosen, self.node.addresses)


def _home(folder: Path, name: str, cluster: list[str]) -> Home:
    entropy = Stream(f"{name} of {' '.join(cluster)}")
    return Home(folder / f"{name}.db", REGISTRY, entropy, Vault(entropy(32)))


def _founding(folder: Path, founder: str, cluster: list[str]) -> tuple[Home, str]:
    """The founder's home, the same in every process, and a link for all the others."""
    home = _home(folder, founder, cluster)
    addresses = (format_address(*_address(cluster, founder)),)
    identity.create(Context(home, MORNING_MS), founder)
    account = identity.account_called(Context(home, MORNING_MS), founder)
    space.create(Context(home, MORNING_MS, account, None, addresses), "maelstrom")
    chosen = home.store.memberships.all()[0]
    ctx = Context(home, MORNING_MS, account, chosen, addresses)
    return home, invite.create(ctx, uses=max(len(cluster) - 1, 1)).link


def _address(cluster: list[str], name: str) -> HostPort:
    number = cluster.index(name)
    return f"10.0.{number // 256}.{number % 256}", PORT


def _name_at(cluster: list[str], address: HostPort) -> str | None:
    found = [name for name in cluster if _address(cluster, name) == address]
    return found[0] if found else None


class Program:
    """Maelstrom's side: requests, replies, and the device once `init` has named it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._device: Device | None = None
        self._init: tuple[str, Body] | None = None
        #: How the workload calls what is read; only `broadcast` begins with a topology.
        self._read_as = "value"
        self._name = ""
        self._msg_id = 0

    def handle(self, source: str, body: Body) -> None:
        """Act on one message."""
        if body["type"] == "quire":
            if self._device is not None:
                self._device.take(source, body["datagram"])
        elif body["type"] == "init":
            self._name = body["node_id"]
            self._device = Device(self._folder, self._name, body["node_ids"], self._send)
            self._init = source, body
        else:
            self._reply(source, body, self._answer(body))

    def pump(self) -> float:
        """Let the device act; seconds until it wants to again."""
        if self._device is None:
            return 3_600.0
        self._device.pump()
        if self._init is not None and self._device.is_in:
            self._reply(*self._init, {"type": "init_ok"})
            self._init = None
        sys.stdout.flush()
        return self._device.wait()

    def _answer(self, body: Body) -> Body:
        values = {"broadcast": "message", "add": "element"}
        kind = body["type"]
        if self._device is None or self._init is not None:
            return _error(UNAVAILABLE, "this node is not in the space yet")
        try:
            if kind in values:
                self._device.add(body[values[kind]])
                return {"type": f"{kind}_ok"}
            if kind == "read":
                return {"type": "read_ok", self._read_as: self._device.values()}
        except (NotIn, NoKeyYet) as error:
            return _error(UNAVAILABLE, str(error))
        except KeyError as error:
            return _error(MALFORMED, f"{kind} needs {error}")
        except QuireError as error:
            return _error(CRASH, str(error))
        if kind == "topology":  # not needed: nodes tell each other where the rest are
            self._read_as = "messages"
            return {"type": "topology_ok"}
        return _error(NOT_SUPPORTED, f"{kind} is no request of broadcast or g-set")

    def _reply(self, dest: str, request: Body, body: Body) -> None:
        self._send(dest, body | {"in_reply_to": request["msg_id"]})

    def _send(self, dest: str, body: Body) -> None:
        self._msg_id += 1
        line = json.dumps({"src": self._name, "dest": dest, "body": body | {"msg_id": self._msg_id}})
        sys.stdout.write(f"{line}\n")


def _error(code: int, text: str) -> Body:
    return {"type": "error", "code": code, "text": text}


def _lines(timeout: float, rest: bytearray) -> Iterator[bytes]:
    """Whole lines that stdin has, after waiting for some at most so long. Raises EOFError at its end."""
    if not select.select([0], [], [], timeout)[0]:
        return
    chunk = os.read(0, 1 << 20)
    if not chunk:
        raise EOFError
    rest += chunk
    *whole, last = bytes(rest).split(b"\n")
    rest[:] = last
    yield from whole


def main() -> None:
    """Serve until stdin ends."""
    with TemporaryDirectory(prefix="quire-maelstrom-") as folder:
        program = Program(Path(folder))
        rest = bytearray()
        try:
            while True:
                for line in _lines(program.pump(), rest):
                    received = json.loads(line)
                    program.handle(received["src"], received["body"])
        except (EOFError, KeyboardInterrupt):
            pass


if __name__ == "__main__":
    main()
