"""The relay as a service: its connections, health, pruning at intervals, an end in good order.

Owns: who is connected, what operators see. Must not know: sockets, HTTP, files, signals.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from quire import limits
from quire.core.encoding import to_text
from quire.core.keys import DeviceKey
from quire.net.relay_wire import VERSION
from quire.relay.connection import Connection, Gone, Send
from quire.relay.counters import Counters
from quire.relay.log_store import LogStore, StoreUnavailable, Usage
from quire.relay.origins import Origin, Origins
from quire.relay.settings import Settings
from quire.relay.shared import Shared, World

#: What is said to one connection too many of one network address.
CROWDED = "There are too many connections from your network at present. Connect again after a while."


class RelayService:
    """One relay process over a store; `key` signs heads. Start it on a running loop, and drain it at the end."""

    def __init__(self, store: LogStore, key: DeviceKey, settings: Settings, world: World) -> None:
        self.counters = Counters()
        #: Where connections come from.
        self.origins = Origins(settings.origin_connections, settings.origin_hellos)
        self._settings = settings
        self._world = world
        full_ms = settings.prune_ms if settings.retention.bounded else limits.RELAY_FULL_MS
        self._shared = Shared(store, key, settings.quotas, full_ms, world, self.counters)
        self._connections: set[Connection] = set()
        self._made = 0
        self._began = world.steady()
        self._usage: tuple[int, Usage] | None = None
        self._counting: asyncio.Future[Usage] | None = None
        self._chores: list[asyncio.Task[None]] = []

    @property
    def draining(self) -> bool:
        """Whether it is about to stop."""
        return self._shared.draining

    def start(self) -> None:
        """Begin to look after connections and the store, and to prune."""
        self._chores = [asyncio.ensure_future(one) for one in (self._look(), self._watch(), self._prune())]

    # --- connections

    async def connect(
        self, send: Send, end: Callable[[], None], origin: Origin | None = None
    ) -> Connection | None:
        """A client is there, by way of `origin`, if that is known, which counts it: its connection, or None where it
        was turned away. Raises Gone.
        """
        self._made += 1
        self.counters.connected.inc()
        connection = Connection(self._made, self._shared, send, end, origin)
        if self.draining:
            await connection.refuse_all("going-away", limits.RELAY_AWAY_MS, "going-away")
            return None
        if origin is not None and self.origins.crowded(origin):
            await connection.refuse_all("rate", limits.RELAY_UNAVAILABLE_MS, "address", CROWDED)
            return None
        if len(self._connections) >= self._settings.connections:
            await connection.refuse_all("rate", limits.RELAY_UNAVAILABLE_MS, "too-many")
            return None
        self._connections.add(connection)
        self.counters.connections.set(len(self._connections))
        await connection.begin()
        return connection

    async def gone(self, connection: Connection) -> None:
        """A client has left."""
        await connection.closed()
        self._connections.discard(connection)
        self.counters.connections.set(len(self._connections))

    # --- for operators

    async def health(self) -> dict[str, Any]:
        """How it stands, in JSON's types, within seconds whatever the store does.

        `status` is `ok`, `draining`, `read-only` (nothing can be kept, reading goes on) or `unavailable`, and `why` a
        sentence to the last two, which says nothing of this machine: anybody may ask.
        """
        trouble = await self._shared.watch.look()
        usage = await self._held() if trouble is None or trouble.status == "read-only" else None
        said = trouble and {"status": trouble.status, "why": trouble.text}
        status = {"status": "draining"} if self.draining else said or {"status": "ok"}
        return {
            **status,
            "protocol": VERSION,
            "key": to_text(self._shared.key.public),
            "uptime_ms": self._world.steady() - self._began,
            "connections": len(self._connections),
            "held": None if usage is None else usage._asdict(),
        }

    async def metrics(self) -> bytes:
        """Prometheus's text."""
        if (held := await self._held()) is not None:
            self.counters.held(held)
        return self.counters.text()

    async def _held(self) -> Usage | None:
        """What the store holds, as it was a little while ago: anybody may ask, and counting may be work. None where
        it cannot be had soon.
        """
        now = self._world.steady()
        if self._usage is None or now - self._usage[0] > limits.RELAY_USAGE_MS:
            counting = self._counting = self._counting or asyncio.ensure_future(self._shared.store.usage())
            await asyncio.wait([counting], timeout=limits.RELAY_CHECK_S)
            if not counting.done():
                return None
            if self._counting is counting:
                self._counting = None
            if counting.exception() is not None:
                return None
            self._usage = now, counting.result()
        return self._usage[1]

    # --- chores

    async def _look(self) -> None:
        """End connections that opened no mailbox for long."""
        while True:
            await self._world.sleep(limits.RELAY_LOOK_MS / 1000)
            late = self._world.steady() - limits.RELAY_SILENT_MS
            for connection in [one for one in self._connections if not one.mailboxes and one.began < late]:
                if not connection.ended:
                    with suppress(Gone):
                        await connection.refuse_all("forbidden", 0, "silent")

    async def _watch(self) -> None:
        """Look whether the store can be used, at the start and at intervals, and tell the log when that changes."""
        while True:
            await self._shared.watch.look()
            await self._world.sleep(limits.RELAY_CHECK_MS / 1000)

    async def _prune(self) -> None:
        """Remove what need not be kept any longer, at the start and at intervals."""
        keep = self._settings.retention
        while keep.bounded:
            try:
                pruned = await self._shared.store.prune(keep, self._world.now())
            except StoreUnavailable as error:
                self._shared.watch.failed(error)
                self._world.log("prune-failed", text=str(error))
            else:
                self.counters.pruned.inc(pruned.records)
                self._world.log("pruned", records=pruned.records, bytes=pruned.size)
            await self._world.sleep(self._settings.prune_ms / 1000)

    async def drain(self) -> None:
        """End in good order: begin nothing new, let what is under way come to its end and be answered, tell all
        clients when to come again (not all at once), close the store.
        """
        self._shared.draining = True
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
        self._shared.watch.end()
        end = self._world.steady() + self._settings.drain_ms
        while self._shared.under_way and self._world.steady() < end:
            await self._world.sleep(0.01)
        connections = list(self._connections)
        self._world.log("draining", connections=len(connections), under_way=self._shared.under_way)
        goodbyes = [
            one.refuse_all("going-away", limits.RELAY_AWAY_MS + place, "going-away")
            for place, one in enumerate(connections)
        ]
        left = max(end - self._world.steady(), 1_000) / 1000
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*goodbyes, return_exceptions=True), left)
        for connection in connections:
            await self.gone(connection)
        await self._close_store(max(end - self._world.steady(), 1_000) / 1000)

    async def _close_store(self, seconds: float) -> None:
        """A store that cannot be reached is left as it is: what was promised is kept there already."""
        try:
            await asyncio.wait_for(self._shared.store.close(), seconds)
        except (StoreUnavailable, TimeoutError) as error:
            self._world.log("store-left", text=str(error) or "it does not answer")
