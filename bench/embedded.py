"""A node inside a program, as an application has it: `python -m bench.embedded LISTEN ROLE HOME …`.

For `bench.network` and `bench.relay`. Prints one JSON line when it is ready, and one with what it measured; ends with
its standard input. Times are of the machine's monotonic clock (ns), which all its processes share.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from bench.homes import resident_mb
from quire.api.host import Host
from quire.api.operations import call
from quire.runtime import NodeInfo
from quire.runtime.run import run_node

LIVE, GAP_S = 400, 0.01


def say(**what: Any) -> None:
    """One line for whoever started this."""
    print(json.dumps({"at": time.monotonic_ns(), "memory": resident_mb(), **what}), flush=True)


async def listed(host: Host, wanted: str) -> None:
    """Until so many messages are held and can be listed; then when that was."""
    while _messages(host) < int(wanted):
        await host.changed(host.home.store.blobs.last_cursor())
    say(done=time.monotonic_ns(), listed=len(call(host, "getMessages", {"target": "general", "limit": 50})))


async def hold(host: Host, wanted: str) -> None:
    """The same, and what it cost."""
    await listed(host, wanted)
    peer = _peers(host)[0]
    say(bytes_in=peer.bytes_in, bytes_out=peer.bytes_out)


async def handed(host: Host) -> None:
    """Until a relay has all own events and welcomes; then when that was."""
    while not _is_posted(host):
        await asyncio.sleep(0.01)
    say(done=time.monotonic_ns())


async def write(host: Host) -> None:
    """Once a peer or a relay is there: a message now and then, with the time of its writing."""
    while not any(peer.state == "in-sync" for peer in _peers(host)) and not _is_posted(host):
        await asyncio.sleep(0.05)
    for _ in range(LIVE):
        call(host, "sendMessage", {"target": "live", "text": f"written at {time.monotonic_ns()}"})
        await asyncio.sleep(GAP_S)


async def read(host: Host) -> None:
    """How long each of those messages took to be here, committed and listable (ms)."""
    took: list[float] = []
    cursor = host.home.store.blobs.last_cursor()
    while len(took) < LIVE:
        await host.changed(cursor)
        now, cursor = time.monotonic_ns(), host.home.store.blobs.last_cursor()
        for message in _unseen(host):
            _SEEN.add(message.event_id)
            took.append((now - int(message.body_text.rpartition(" ")[2])) / 1e6)
    say(took=sorted(took), met=any(peer.state == "in-sync" for peer in _peers(host)))


def _unseen(host: Host) -> list[Any]:
    """The latest messages that were not looked at yet: more than a few come at once after a stall of the disk."""
    fresh: list[Any] = []
    for limit in (20, LIVE):
        found = call(host, "getMessages", {"target": "live", "limit": limit})
        fresh = [message for message in reversed(found) if message.event_id not in _SEEN]
        if len(fresh) < limit:
            return fresh
    return fresh


_SEEN: set[str] = set()
ROLES: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
    "hold": hold,
    "listed": listed,
    "handed": handed,
    "write": write,
    "read": read,
}


def _messages(host: Host) -> int:
    rows = host.home.store.db.one("SELECT max(rowid) FROM message_rows")
    return int(rows[0] or 0) if rows else 0


def _is_posted(host: Host) -> bool:
    member = host.home.store.memberships.all()[0]
    return any(relay.state == "in-sync" for relay in host.relays(member.account, member.space))


def _peers(host: Host) -> list[Any]:
    member = host.home.store.memberships.all()[0]
    return host.peers(member.account, member.space)


def main() -> None:
    """Run the node and its role until standard input ends."""
    listen, role, home, *given = sys.argv[1:]
    tasks: list[Awaitable[None]] = []

    def ready(node: NodeInfo, host: Host) -> None:
        say(listen=node.listen)
        tasks.append(asyncio.get_running_loop().create_task(ROLES[role](host, *given)))
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), os.kill, os.getpid(), 15)

    run_node(Path(home), listen, "127.0.0.1:0", "sketch", ready)


if __name__ == "__main__":
    main()
