"""A bad network between two processes: a UDP proxy that loses, doubles, delays, reorders and damages.

Each side sees the other at an address of the proxy's. One side may speak IPv4 and the other IPv6: then
there is no way round the proxy, whatever addresses they tell each other.
"""

import heapq
import selectors
import socket
import threading
import time
from dataclasses import dataclass
from random import Random

from quire.core.address import HostPort, format_address

_LARGEST = 65_536


@dataclass
class Conditions:
    """Shares of datagrams (0 to 1) that are lost, doubled, damaged, and the longest delay (seconds)."""

    loss: float = 0.0
    twice: float = 0.0
    damaged: float = 0.0
    delay: float = 0.0


class LossyProxy:
    """Between `one` (its address known from the start) and `other`, who speaks first.

    Conditions may be changed while it runs, for each way.
    """

    def __init__(self, one: HostPort, other_host: str, conditions: Conditions, seed: int) -> None:
        self.to_one = self.to_other = conditions
        #: Every datagram as it was sent, and how many were lost, doubled, damaged or passed on.
        self.captured: list[bytes] = []
        self.counts = {"lost": 0, "twice": 0, "damaged": 0, "passed": 0}
        self._random = Random(seed)
        self._one = one
        self._other: HostPort | None = None
        self._for_one = _bound(one[0])
        self._for_other = _bound(other_host)
        self._late: list[tuple[float, int, bytes, bool]] = []
        self._order = 0
        self._closing = threading.Event()
        self._to_rebind = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def address(self) -> str:
        """Where the other side meets `one`."""
        return format_address(*self._for_other.getsockname()[:2])

    def start(self) -> None:
        self._thread.start()

    def rebind(self) -> None:
        """Let `one` see the other side at another port from now on, as after a NAT has forgotten it."""
        self._to_rebind.set()

    def close(self) -> None:
        self._closing.set()
        self._thread.join(10)
        self._for_one.close()
        self._for_other.close()
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._for_one, selectors.EVENT_READ)
            selector.register(self._for_other, selectors.EVENT_READ)
            while not self._closing.is_set():
                if self._to_rebind.is_set():
                    self._take_another_port(selector)
                wait = self._late[0][0] - time.monotonic() if self._late else 0.05
                for key, _ in selector.select(min(max(wait, 0.0), 0.05)):
                    self._drain(key.fileobj is self._for_other)
                while self._late and self._late[0][0] <= time.monotonic():
                    _, _, data, to_one = heapq.heappop(self._late)
                    self._pass_on(data, to_one)

    def _take_another_port(self, selector: selectors.BaseSelector) -> None:
        self._to_rebind.clear()
        selector.unregister(self._for_one)
        before, self._for_one = self._for_one, _bound(self._one[0])
        before.close()  # after the new one is bound, so that it gets another port
        selector.register(self._for_one, selectors.EVENT_READ)

    def _drain(self, from_other: bool) -> None:
        source = self._for_other if from_other else self._for_one
        while True:
            try:
                data, address = source.recvfrom(_LARGEST)
            except BlockingIOError:
                return
            except OSError:
                continue
            if from_other:
                self._other = (address[0], address[1])
            self.captured.append(data)
            self._treat(data, from_other)

    def _treat(self, data: bytes, to_one: bool) -> None:
        is_, random = self.to_one if to_one else self.to_other, self._random
        copies = 1
        if random.random() < is_.twice:
            self.counts["twice"] += 1
            copies = 2
        for _ in range(copies):
            if random.random() < is_.loss:
                self.counts["lost"] += 1
                continue
            if random.random() < is_.damaged:
                self.counts["damaged"] += 1
                data = damage(data, random)
            self._order += 1
            due = time.monotonic() + random.random() * is_.delay
            heapq.heappush(self._late, (due, self._order, data, to_one))

    def _pass_on(self, data: bytes, to_one: bool) -> None:
        target = self._one if to_one else self._other
        if target is not None:
            self.counts["passed"] += 1
            try:
                (self._for_one if to_one else self._for_other).sendto(data, target)
            except OSError:
                pass  # the process at that end is away


def damage(data: bytes, random: Random) -> bytes:
    """Another datagram: bits turned over, cut short, lengthened, or noise of the same length."""
    way = random.randrange(4)
    if way == 0 or not data:
        at = random.randrange(max(len(data), 1))
        return data[:at] + bytes(((data[at] if data else 0) ^ 1 << random.randrange(8),)) + data[at + 1 :]
    if way == 1:
        return data[: random.randrange(len(data))]
    if way == 2:
        return data + random.randbytes(1 + random.randrange(100))
    return random.randbytes(len(data))


def _bound(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    made.setblocking(False)
    made.bind((host, 0))
    return made


def has_ipv6() -> bool:
    """Whether this machine has an IPv6 loopback address."""
    try:
        _bound("::1").close()
    except OSError:
        return False
    return True
