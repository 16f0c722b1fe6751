"""The two sockets of a node at one port: datagrams, and streams.

Owns: that both have the same port, so that one address names a node. Must not know: what they carry.
"""

from quire.errors import HomeError
from quire.transport.tcp import TcpStreams
from quire.transport.udp import UdpSocket

#: Ports tried, where any will do, before one is free for both.
_TRIES = 16


class Sockets:
    """Bound at once. Raises HomeError when the address cannot be had; port 0 is any that is free for both."""

    def __init__(self, host: str, port: int) -> None:
        for left in reversed(range(1 if port else _TRIES)):
            self.udp = UdpSocket(host, port)
            try:
                self.tcp = TcpStreams(host, self.udp.address[1])
            except HomeError:
                self.udp.close()
                if not left:
                    raise
            else:
                break

    def close(self) -> None:
        """Close both; again does nothing."""
        self.udp.close()
        self.tcp.close()
