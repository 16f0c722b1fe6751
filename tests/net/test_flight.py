from quire.limits import (
    ACK_BITS,
    FIRST_RTT_MS,
    FIRST_WINDOW,
    LOST_AFTER,
    MAX_PROBES,
    MAX_TIMEOUT_MS,
    MAX_WINDOW,
    MIN_TIMEOUT_MS,
    MIN_WINDOW,
)
from quire.net.flight import Flight


def flying(count: int, now: int = 0) -> Flight[int]:
    flight: Flight[int] = Flight()
    for counter in range(count):
        flight.sent(counter, [counter], now)
    return flight


def fill(flight: Flight[int], counter: int, now: int) -> int:
    """Send as much as the window lets; the next counter."""
    while flight.room > 0:
        flight.sent(counter, [counter], now)
        counter += 1
    return counter


def test_acknowledged_refs_are_delivered_once() -> None:
    flight = flying(3)
    assert flight.acked(2, 0b11, 10) == ([2, 1, 0], [])
    assert flight.acked(2, 0b11, 20) == ([], [])
    assert flight.out == 0


def test_bitmap_counts_back_from_the_highest() -> None:
    flight = flying(6)
    assert flight.acked(5, 0b1010, 10)[0] == [5, 3, 1]


def test_lost_when_enough_later_ones_arrived() -> None:
    flight = flying(6)
    assert flight.acked(LOST_AFTER - 1, 0, 10) == ([LOST_AFTER - 1], [])
    delivered, lost = flight.acked(LOST_AFTER + 1, 0, 10)
    assert (delivered, lost) == ([LOST_AFTER + 1], [0, 1])
    assert flight.lost_count == 2


def test_lost_when_the_timeout_passes_which_doubles_each_time() -> None:
    flight = flying(1)
    assert flight.timer() == 2 * FIRST_RTT_MS
    assert flight.expired(2 * FIRST_RTT_MS - 1) == []
    assert flight.expired(2 * FIRST_RTT_MS) == [0]
    now = 0
    timeouts = []
    for counter in range(1, 10):
        flight.sent(counter, [counter], now)
        timer = flight.timer()
        assert timer is not None
        timeouts.append(timer - now)
        now = timer
        assert flight.expired(now) == [counter]
    assert timeouts[:2] == [4 * FIRST_RTT_MS, 8 * FIRST_RTT_MS]
    assert timeouts[-1] == MAX_TIMEOUT_MS


def test_probes_come_before_giving_up() -> None:
    flight = flying(3)
    now = 0
    for _ in range(MAX_PROBES):
        timer = flight.timer()
        assert timer == now + 2 * FIRST_RTT_MS
        now = timer
        assert flight.probe(now)
    assert not flight.probe(now + 2 * FIRST_RTT_MS)
    assert flight.expired(now + 2 * FIRST_RTT_MS) == [0, 1, 2]


def test_an_answered_probe_tells_exactly_what_was_lost() -> None:
    flight = flying(6)
    assert flight.probe(400)
    flight.sent(6, [], 400)
    assert flight.acked(6, 0b110101, 440) == ([5, 3, 1, 0], [2])
    assert flight.out == 1
    assert flight.probe(900)


def test_timeout_follows_the_round_trip_time() -> None:
    flight: Flight[int] = Flight()
    assert flight.rtt == FIRST_RTT_MS
    for counter in range(60):
        flight.sent(counter, [], counter * 1_000)
        flight.acked(counter, 0, counter * 1_000 + 40)
    assert flight.rtt == 40
    flight.sent(60, [], 0)
    assert flight.timer() == MIN_TIMEOUT_MS


def test_window_doubles_then_grows_by_one_and_halves_once_per_round_trip() -> None:
    flight: Flight[int] = Flight()
    assert flight.window == FIRST_WINDOW
    counter = fill(flight, 0, 0)
    for number in range(counter):
        flight.acked(number, 0, 10)
    assert flight.window > FIRST_WINDOW * 3 // 2
    before = flight.window
    counter = fill(flight, counter, 20)
    flight.acked(counter - 5, 0, 30)
    flight.acked(counter - 1, 0, 30)
    assert flight.window == before // 2
    halved = flight.window
    for _ in range(3):
        start, counter = counter, fill(flight, counter, 40)
        flight.acked(counter - 1, 2 ** (counter - start - 1) - 1, 50)
    assert halved + 2 <= flight.window <= halved + 3


def test_window_stays_within_its_bounds() -> None:
    flight: Flight[int] = Flight()
    now, counter = 0, 0
    for _ in range(12):
        now, counter = now + MAX_TIMEOUT_MS, fill(flight, counter, now)
        flight.expired(now)
    assert flight.window == MIN_WINDOW
    eager: Flight[int] = Flight()
    counter = 0
    for _ in range(40):
        start, counter = counter, fill(eager, counter, 0)
        for highest in range(start + ACK_BITS, counter, ACK_BITS):
            eager.acked(highest, 2**ACK_BITS - 1, 1)
        eager.acked(counter - 1, 2**ACK_BITS - 1, 1)
    assert eager.window == MAX_WINDOW


def test_window_does_not_grow_while_it_is_not_used() -> None:
    flight: Flight[int] = Flight()
    for counter in range(100):
        flight.sent(counter, [], 0)
        flight.acked(counter, 0, 1)
    assert flight.window == FIRST_WINDOW


def test_abandoned_refs_come_back() -> None:
    flight = flying(3)
    assert flight.abandon() == [0, 1, 2]
    assert flight.timer() is None
