#!/usr/bin/env python3
"""Maelstrom's `kafka` over a relay's logs: a key is a mailbox, an offset a place in it, a commit an acknowledgement.

Owns: the workload's requests as words of the relay protocol, on two connections: one adds and commits, the other
reads. Must not know: who judges, how the relay keeps its logs. Nothing of the tests is imported: Maelstrom starts this
file as a program. The relays' addresses are in RELAYS, with blanks between; nodes take them in turn.
"""

import asyncio
import json
import os
import sys
from hashlib import sha256
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from quire.core.relay_address import RelayAddress, parse_relay
from quire.limits import MAX_RELAY_MESSAGE
from quire.net import relay_wire as wire
from quire.net.mailbox import Access
from quire.runtime.clock import wall_ms

Body = dict[str, Any]
Said = TypeVar("Said", bound=wire.Message)
#: Maelstrom's error codes (doc/protocol.md there): whether it was done is not known; certainly not done.
CRASH, NOT_SUPPORTED = 13, 10
#: Records that one poll gives of a key.
POLL = 64


class Line:
    """One connection; requests go one after the other, each with its answer."""

    def __init__(self, relay: RelayAddress) -> None:
        self._relay = relay
        self._socket: ClientConnection | None = None
        self._challenge: wire.Challenge | None = None
        self._open: dict[str, tuple[int, Access]] = {}
        self._last = 0

    async def open(self, key: str, device: str, frugal: bool) -> tuple[int, Access, wire.Greeting | None]:
        """The number of a key's mailbox, opened if it is not; the greeting where it was opened now."""
        if key in self._open:
            return (*self._open[key], None)
        access = Access(_secret(f"key {key}"), self._relay.key, _secret(device), "space")
        if self._socket is None:
            self._socket = await connect(
                self._relay.url, compression=None, max_size=MAX_RELAY_MESSAGE, proxy=None
            )
            self._challenge = await self.hear(wire.Challenge)
        assert self._challenge is not None
        self._last += 1
        await self.say(access.hello(self._challenge, self._last, -1, 0, frugal, []))
        greeting = await self.hear(wire.Greeting)
        self._open[key] = self._last, access
        return self._last, access, greeting

    async def leave(self, key: str) -> None:
        """Close a key's mailbox."""
        await self.say(wire.Leave(self._open.pop(key)[0]))

    async def say(self, said: wire.FromClient) -> None:
        assert self._socket is not None
        await self._socket.send(wire.encode(said))

    async def hear(self, kind: type[Said]) -> Said:
        """The next message of a kind. Raises OSError for a refusal."""
        assert self._socket is not None
        while True:
            said = wire.read_relay(await self._socket.recv(decode=False))
            if isinstance(said, kind):
                return said
            if isinstance(said, wire.Refusal):
                raise OSError(said.text)

    async def drop(self) -> None:
        """Whatever went wrong: the next request connects anew."""
        self._open.clear()
        if self._socket is not None:
            socket, self._socket = self._socket, None
            await socket.close()


class Log:
    """The log of Maelstrom's clients over one relay process; `name` is this node's, and its device's.

    All commit at one relay process: through another one of JetStream's, an Ack is seen a moment later.
    """

    def __init__(self, relay: RelayAddress, commits: RelayAddress, name: str) -> None:
        self._adding, self._reading, self._committing = Line(relay), Line(relay), Line(commits)
        self._name = name
        self._locals: dict[str, int] = {}
        self._turns = [asyncio.Lock() for _ in range(3)]

    async def answer(self, body: Body) -> Body:
        """The answer to a request; an error when the relay does not do it, or is not there."""
        acts = {
            "send": (0, self._adding, self._send),
            "poll": (1, self._reading, self._poll),
            "commit_offsets": (2, self._committing, self._commit),
            "list_committed_offsets": (2, self._committing, self._list),
        }
        if body["type"] not in acts:
            return _error(NOT_SUPPORTED, f"{body['type']} is no request of kafka")
        turn, line, act = acts[body["type"]]
        async with self._turns[turn]:
            try:
                return {"type": f"{body['type']}_ok", **await act(body)}
            except (OSError, WebSocketException) as error:
                await line.drop()
                return _error(CRASH, str(error))

    async def _send(self, body: Body) -> Body:
        """Add a record, and read on until it comes back by its digest: then its place is known."""
        key, data = body["key"], json.dumps(body["msg"]).encode()
        n, access, greeting = await self._adding.open(key, f"{self._name} adds", frugal=True)
        if greeting is not None:
            self._locals[key] = greeting.had
        local = self._locals[key] + 1
        await self._adding.say(wire.Add(n, [wire.Record(local, wall_ms(), "space", data)]))
        added = await self._adding.hear(wire.Added)
        self._locals[key] = added.taken
        return {"offset": await self._place(n, access, local, added.head.length)}

    async def _place(self, n: int, access: Access, local: int, length: int) -> int:
        """The place of an own record that is kept: at most so far."""
        after = max(length - POLL, 0)
        while True:
            await self._adding.say(wire.Read(n, after, POLL))
            page = await self._adding.hear(wire.Entries)
            for place, entry in enumerate(page.entries, page.first):
                if (page.devices[entry.sender], entry.local) == (access.device_key.public, local):
                    return place
            if after == 0:
                raise OSError("a record that was kept is not there")
            after = max(after - POLL, 0)

    async def _poll(self, body: Body) -> Body:
        found: dict[str, list[tuple[int, Any]]] = {}
        for key, offset in body["offsets"].items():
            n, _, _ = await self._reading.open(key, f"{self._name} reads", frugal=True)
            await self._reading.say(wire.Read(n, max(offset - 1, 0), POLL))
            page = await self._reading.hear(wire.Entries)
            found[key] = [
                (place, json.loads(entry.data))
                for place, entry in enumerate(page.entries, page.first)
                if entry.data is not None
            ]
        return {"msgs": found}

    async def _commit(self, body: Body) -> Body:
        """Acknowledge as the one device that commits for all; what it has is asked for, so it is done when answered."""
        for key, offset in body["offsets"].items():
            n, _, _ = await self._committing.open(key, "commits", frugal=True)
            await self._committing.say(wire.Ack(n, offset))
            await self._committing.leave(key)
            await self._committed(key)
        return {}

    async def _list(self, body: Body) -> Body:
        found = {key: await self._committed(key) for key in body["keys"]}
        return {"offsets": {key: offset for key, offset in found.items() if offset}}

    async def _committed(self, key: str) -> int:
        _, _, greeting = await self._committing.open(key, "commits", frugal=True)
        assert greeting is not None
        await self._committing.leave(key)
        return greeting.synced


def _secret(name: str) -> bytes:
    return sha256(name.encode()).digest()


def _error(code: int, text: str) -> Body:
    return {"type": "error", "code": code, "text": text}


async def main() -> None:
    """Serve until stdin ends."""
    stdin = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    relays = [parse_relay(address) for address in os.environ["RELAYS"].split()]
    name, logs, tasks = "", list[Log](), set[asyncio.Task[None]]()

    async def reply(dest: str, body: Body) -> None:
        said = {"type": "init_ok"} if body["type"] == "init" else await logs[0].answer(body)
        line = json.dumps({"src": name, "dest": dest, "body": said | {"in_reply_to": body["msg_id"]}})
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    while line := await stdin.readline():
        message = json.loads(line)
        body = message["body"]
        if body["type"] == "init":
            name = body["node_id"]
            logs.append(Log(relays[body["node_ids"].index(name) % len(relays)], relays[0], name))
        task = asyncio.create_task(reply(message["src"], body))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


if __name__ == "__main__":
    asyncio.run(main())
