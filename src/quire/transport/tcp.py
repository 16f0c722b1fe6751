"""TCP streams on an asyncio loop: those that others open to us, and those that we open.

Owns: listening, calling, writing as much as the other side takes. Must not know: what streams hold.
"""

import asyncio
import socket
from collections.abc import Callable
from errno import EADDRINUSE
from ipaddress import IPv6Network
from typing import NamedTuple

from quire.core.address import HostPort, format_address
from quire.errors import HomeError

#: Bytes that may wait to be written before we make no more of them.
_WAITING = 512 * 1024
#: Seconds that opening a stream may take.
_PATIENCE_S = 3.0
#: Seconds that the other side has to take what waits for it when a stream is hung up on, and how many are given them.
_LEAVING_S = 10.0
_MAX_LEAVING = 16


class Events(NamedTuple):
    """What the shell is told: a number for a call that came (None: close it), bytes, an end, bytes to write.

    Of a call it is told from which network address it came: that of a host, or the network of 64 bits around it.
    """

    called: Callable[[str], int | None]
    received: Callable[[int, bytes], None]
    closed: Callable[[int], None]
    to_send: Callable[[int], bytes]


class TcpStreams:
    """Bound at once; `start` begins to accept. Raises HomeError when the address cannot be had."""

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
            self._socket.listen()
        except OSError as error:
            self._socket.close()
            busy = error.errno == EADDRINUSE
            why = "another program uses it" if busy else (error.strerror or str(error)).lower()
            raise HomeError(
                f"Cannot listen on TCP {format_address(host, port)}: {why}. Choose another with --listen."
            ) from None
        self._server: asyncio.Server | None = None
        self._open: dict[int, _Connection] = {}
        self._calls: dict[int, asyncio.Task[None]] = {}
        # Hung up on, with what waits to be written still in memory: until when, the first of them first.
        self._leaving: dict[_Connection, asyncio.TimerHandle] = {}

    async def start(self, events: Events) -> None:
        """Accept streams."""
        loop = asyncio.get_running_loop()
        self._events = events
        self._server = await loop.create_server(lambda: _Connection(self, None), sock=self._socket)

    def call(self, number: int, address: HostPort) -> None:
        """Open a stream; it is told as closed when that cannot be."""
        self._calls[number] = asyncio.get_running_loop().create_task(self._call(number, address))

    def hang_up(self, number: int) -> None:
        """Close a stream, once what waits is written, or is not taken for too long."""
        call = self._calls.pop(number, None)
        if call is not None:
            call.cancel()
        connection = self._open.pop(number, None)
        if connection is not None:
            self._leave(connection)

    def _leave(self, connection: "_Connection") -> None:
        if connection.close():
            later = asyncio.get_running_loop().call_later
            self._leaving[connection] = later(_LEAVING_S, connection.abort)
            if len(self._leaving) > _MAX_LEAVING:
                next(iter(self._leaving)).abort()

    def _left(self, connection: "_Connection") -> None:
        timer = self._leaving.pop(connection, None)
        if timer is not None:
            timer.cancel()

    def pump(self) -> None:
        """Write what there is to write."""
        for connection in list(self._open.values()):
            connection.pump()

    def close(self) -> None:
        """Close everything."""
        for number in [*self._calls, *self._open]:
            self.hang_up(number)
        if self._server is not None:
            self._server.close()
        self._socket.close()

    async def _call(self, number: int, address: HostPort) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await loop.create_connection(lambda: _Connection(self, number), *address)
        except OSError:
            self._events.closed(number)
        finally:
            self._calls.pop(number, None)


class _Connection(asyncio.Protocol):
    """`number` is None until the node has given one to a call that came."""

    def __init__(self, streams: TcpStreams, number: int | None) -> None:
        self._streams = streams
        self._number = number
        self._full = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=_WAITING)
        if self._number is None:
            self._number = self._streams._events.called(_source(transport.get_extra_info("peername")))
        if self._number is None:
            transport.abort()
            return
        self._streams._open[self._number] = self
        self.pump()

    def data_received(self, data: bytes) -> None:
        if self._number is not None:
            self._streams._events.received(self._number, data)

    def connection_lost(self, error: Exception | None) -> None:
        self._streams._left(self)
        if self._number is not None and self._streams._open.pop(self._number, None) is not None:
            self._streams._events.closed(self._number)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self.pump()

    def pump(self) -> None:
        while not self._full and self._transport is not None and self._number is not None:
            data = self._streams._events.to_send(self._number)
            if not data:
                break
            self._transport.write(data)

    def close(self) -> bool:
        """Whether something waits to be written before it is closed."""
        if self._transport is None:
            return False
        self._transport.close()
        return self._transport.get_write_buffer_size() > 0

    def abort(self) -> None:
        if self._transport is not None:
            self._streams._left(self)
            self._transport.abort()


def _source(peer: HostPort | None) -> str:
    """What counts as one place: the /64 of an IPv6 address is one household's."""
    host = "" if peer is None else peer[0].partition("%")[0]
    return str(IPv6Network((host, 64), strict=False)) if ":" in host else host
