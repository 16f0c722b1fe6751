"""A client's connection at a relay, held to little until it has proven a key.

Owns: what the library's connection holds of a client that nobody knows yet, and whom it is counted to. Must not know:
what is said on it.
"""

import asyncio

from websockets.asyncio.server import Server, ServerConnection
from websockets.frames import CloseCode
from websockets.protocol import State
from websockets.server import ServerProtocol

from quire.limits import MAX_RELAY_HELLO, MAX_RELAY_REQUEST, RELAY_CROWDED_TIMES
from quire.relay.origins import Origin, Origins, Proxies, is_proxy, origin_of
from quire.runtime.clock import steady_ms


class Doorkeeper:
    """Who is at the door of one relay process: `connections` at once, those that are not open yet included."""

    def __init__(self, origins: Origins, proxies: Proxies, connections: int) -> None:
        self.origins = origins
        self.proxies = proxies
        self._most = RELAY_CROWDED_TIMES * connections
        self._here = 0

    def enter(self) -> bool:
        """One more; whether there is room for it."""
        self._here += 1
        return self._here <= self._most

    def leave(self) -> None:
        """One less."""
        self._here -= 1


class RelaySocket(ServerConnection):
    """`proven`: a key was proven, and messages of any size may come; `origin`: whom it is counted to, once known."""

    def __init__(
        self,
        protocol: ServerProtocol,
        server: Server,
        *,
        keeper: Doorkeeper,
        ping_interval: float | None,
        ping_timeout: float | None,
        close_timeout: float | None,
        max_queue: int | None | tuple[int | None, int | None],
        write_limit: int | tuple[int, int | None],
    ) -> None:
        super().__init__(
            protocol, server, ping_interval=ping_interval, ping_timeout=ping_timeout,
            close_timeout=close_timeout, max_queue=max_queue, write_limit=write_limit,
        )  # fmt: skip
        self.proven = False
        self.origin: Origin | None = None
        self._keeper = keeper
        self._request = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it, and hang up at once where there are far too many."""
        super().connection_made(transport)
        if not self._keeper.enter():
            self.transport.abort()
        elif not is_proxy(self._peer, self._keeper.proxies):  # which is about to tell for whom it is there
            self._count([])

    def arrived(self, forwarded: list[str]) -> None:
        """The request was read; what a proxy says of where it comes from is believed of a proxy of ours."""
        if self.origin is None:
            self._count(forwarded)

    def data_received(self, data: bytes) -> None:
        """Take no more of a stranger than a request and one small message."""
        if self.proven:
            super().data_received(data)
            return
        if self.protocol.state is State.CONNECTING:
            self._request += len(data)
            if self._request > MAX_RELAY_REQUEST:
                self.transport.abort()
                return
        super().data_received(data)
        held = len(self.protocol.reader.buffer) + (self.protocol.current_size or 0)
        if held > MAX_RELAY_HELLO and self.protocol.state is State.OPEN:
            self.protocol.fail(CloseCode.MESSAGE_TOO_BIG, "no key was proven yet")
            self.send_data()
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is counted no more."""
        super().connection_lost(exc)
        self._keeper.leave()
        if self.origin is not None:
            self._keeper.origins.leave(self.origin)

    def _count(self, forwarded: list[str]) -> None:
        origins = self._keeper.origins
        self.origin = origins.enter(origin_of(self._peer, forwarded, self._keeper.proxies), steady_ms())
        if origins.crowded(self.origin, RELAY_CROWDED_TIMES):
            self.transport.abort()

    @property
    def _peer(self) -> str:
        name = self.transport.get_extra_info("peername")
        return str(name[0]) if name else ""
