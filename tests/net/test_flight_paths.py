"""What flights make of paths: loss, reordering and narrow links, in virtual time."""

import heapq
from random import Random

import pytest

from quire.limits import ACK_BITS, ACK_DELAY_MS, FIRST_WINDOW
from quire.net.flight import Flight
from quire.net.received import Received


class Path:
    """One flight that always has something to send, and a receiver.

    Each datagram, and each acknowledgement, takes `delay` ms and up to `jitter` more; `loss` is the share that is lost.
    Where `per_second` datagrams are carried, `queue` more wait, and what comes then is dropped. A probe takes no room.
    """

    def __init__(
        self,
        delay: int,
        jitter: int = 0,
        loss: float = 0.0,
        per_second: int = 0,
        queue: int = 0,
    ) -> None:
        self.flight: Flight[int] = Flight()
        self.arrived = 0
        #: Taken for lost, though they had arrived or were under way.
        self.in_vain = 0
        self.dropped = 0
        self.sent = 0
        self.probes = 0
        self._random = Random(1)
        self._delay, self._jitter, self._loss = delay, jitter, loss
        self._gap, self._queue, self._free = 1_000 / per_second if per_second else 0.0, queue, 0.0
        self._received = Received()
        self._here: set[int] = set()
        self._transit: list[tuple[int, int, tuple[int, int] | int]] = []
        self.now = 0

    def run(self, duration: int) -> "Path":
        for now in range(self.now, self.now + duration):
            self.now = now
            while self._transit and self._transit[0][0] <= self.now:
                self._take(heapq.heappop(self._transit)[-1])
            if self._received.ack_due(self.now):
                self._acknowledge()
            timer = self.flight.timer()
            if timer is not None and timer <= self.now:
                if self.flight.probe(self.now):
                    self.probes += 1
                    self._send(wait=0)
                else:
                    self._lose(self.flight.expired(self.now))
            while self.flight.room > 0:
                self._send(self._wait())
        return self

    def _wait(self) -> int | None:
        if not self._gap:
            return 0
        if self._free - self.now > self._queue * self._gap:
            self.dropped += 1
            return None
        self._free = max(self._free, self.now) + self._gap
        return int(self._free - self.now)

    def _send(self, wait: int | None) -> None:
        counter = self.sent
        self.flight.sent(counter, [counter], self.now)
        self.sent += 1
        if wait is not None:
            self._carry(counter, wait)

    def _carry(self, what: tuple[int, int] | int, wait: int = 0) -> None:
        if self._random.random() >= self._loss:
            due = self.now + wait + self._delay + self._random.randrange(self._jitter + 1)
            order = what if isinstance(what, int) else what[0]
            heapq.heappush(self._transit, (due, order, what))

    def _take(self, what: tuple[int, int] | int) -> None:
        if not isinstance(what, int):
            self._lose(self.flight.acked(*what, self.now)[1])
            return
        self._here.add(what)
        self.arrived += 1
        self._received.add(what)
        self._received.wants_ack(self.now)
        if self._received.ack_overdue:
            self._acknowledge()

    def _acknowledge(self) -> None:
        self._received.acked()
        self._carry((self._received.highest, self._received.seen() & 2**ACK_BITS - 1))

    def _lose(self, lost: list[int]) -> None:
        under_way = {what for *_, what in self._transit if isinstance(what, int)}
        self.in_vain += sum(counter in self._here or counter in under_way for counter in lost)


@pytest.mark.parametrize(("delay", "jitter"), [(0, 5), (0, 40), (40, 10), (20, 80)])
def test_reordering_alone_costs_little(delay: int, jitter: int) -> None:
    path = Path(delay, jitter).run(3_000)
    learning = path.in_vain
    came = path.arrived
    path.run(10_000)
    assert path.in_vain - learning <= 0.02 * (path.arrived - came)
    assert path.flight.window > 4 * FIRST_WINDOW


@pytest.mark.parametrize(
    ("delay", "jitter", "loss", "least"),
    [(40, 0, 0.01, 25), (40, 0, 0.05, 14), (0, 40, 0.05, 14), (40, 0, 0.3, 6), (0, 40, 0.3, 5)],
)
def test_random_loss_leaves_a_window_that_is_used(delay: int, jitter: int, loss: float, least: int) -> None:
    path = Path(delay, jitter, loss).run(20_000)
    round_trip = 2 * delay + jitter + ACK_DELAY_MS
    assert path.arrived * round_trip / path.now >= least
    assert path.in_vain <= 0.02 * path.arrived


@pytest.mark.parametrize(("queue", "most"), [(4, 0.12), (14, 0.05), (56, 0.02)])
def test_a_narrow_link_is_filled_and_little_is_dropped(queue: int, most: float) -> None:
    path = Path(20, per_second=27, queue=queue).run(60_000)
    assert path.arrived >= 0.9 * 27 * 60
    assert path.dropped <= most * path.sent
    assert path.in_vain <= 0.02 * path.sent


def test_little_is_asked_where_nothing_is_lost() -> None:
    path = Path(20).run(10_000)
    assert path.probes == 0
    assert path.in_vain == 0
