"""A UDP socket on an asyncio loop.

Owns: binding, draining and sending without blocking. Must not know: what datagrams hold.
A drain of `recvfrom` under `add_reader` takes several times the datagrams of asyncio's own protocol.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from errno import EADDRINUSE

from quire.core.address import HostPort, format_address
from quire.errors import HomeError

#: Kernel buffers asked for (bytes); the kernel may grant less, and what overflows is sent again.
_BUFFER = 4 << 20
#: Datagrams read before others on the loop get their turn.
_DRAIN = 256
_LARGEST = 65_536


class UdpSocket:
    """Bound at once; `start` begins to read. Raises HomeError when the address cannot be had."""

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self._socket.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            busy = error.errno == EADDRINUSE
            why = "another program uses it" if busy else (error.strerror or str(error)).lower()
            raise HomeError(
                f"Cannot listen on UDP {format_address(host, port)}: {why}. Choose another with --listen."
            ) from None
        self._loop: asyncio.AbstractEventLoop | None = None
        #: Datagrams that the kernel did not take (its buffer was full, or there was no route).
        self.unsent = 0

    @property
    def address(self) -> HostPort:
        """The address bound."""
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    def start(
        self,
        loop: asyncio.AbstractEventLoop,
        received: Callable[[bytes, HostPort], None],
        drained: Callable[[], None],
    ) -> None:
        """Call `received` for each datagram, and `drained` after each burst."""
        self._loop = loop
        loop.add_reader(self._socket.fileno(), self._drain, received, drained)

    def _drain(self, received: Callable[[bytes, HostPort], None], drained: Callable[[], None]) -> None:
        for _ in range(_DRAIN):
            try:
                data, address = self._socket.recvfrom(_LARGEST)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                continue  # an ICMP answer to something sent earlier: the peer is away, timers see to that
            received(data, (address[0], address[1]))
        drained()

    def send(self, datagrams: Sequence[tuple[bytes, HostPort]]) -> None:
        """Send now what the kernel takes; the rest counts as lost."""
        for data, address in datagrams:
            try:
                self._socket.sendto(data, address)
            except OSError:
                self.unsent += 1

    def close(self) -> None:
        """Stop reading and close; again does nothing."""
        if self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._loop = None
        self._socket.close()
