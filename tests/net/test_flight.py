from quire.limits import (
    ACK_BITS,
    FIRST_RTT_MS,
    FIRST_WINDOW,
    MAX_PROBES,
    MAX_REORDERING_MS,
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
    assert flight.acked(2, 0b11, 10) == ([0, 1, 2], [])
    assert flight.acked(2, 0b11, 20) == ([], [])
    assert flight.out == 0


def test_bitmap_counts_back_from_the_highest() -> None:
    flight = flying(6)
    assert flight.acked(5, 0b1010, 10)[0] == [1, 3, 5]


def test_lost_when_a_later_one_arrived_and_a_round_trip_and_more_is_over() -> None:
    flight = flying(2)
    for counter in range(2, 5):
        flight.sent(counter, [counter], 36)
    assert flight.acked(4, 0, 76) == ([4], [0, 1])
    assert flight.lost_count == 2
    assert flight.timer() == 36 + 40 * 9 // 8 + 1
    assert not flight.probe(82)
    assert flight.expired(81) == []
    assert flight.expired(82) == [2, 3]
    assert flight.out == 0


def test_one_that_was_overtaken_and_came_late_makes_the_next_wait_longer_and_gives_the_window_back() -> None:
    flight: Flight[int] = Flight()
    counter = fill(flight, 0, 0)
    flight.acked(counter - 1, 2 ** (counter - 1) - 1, 40)
    start, counter = counter, fill(flight, counter, 40)
    before = flight.window
    # All but the oldest arrive; one more of the next round trip ends this one, which lost.
    flight.acked(counter - 1, 2 ** (counter - start - 2) - 1, 86)
    grown = flight.window
    fill(flight, counter, 86)
    flight.acked(counter, 2 ** (counter - start - 1) - 1, 126)
    assert flight.lost_count == 1
    assert flight.window < grown
    flight.acked(counter, 2 ** (counter - start) - 1, 130)
    assert flight.window >= grown > before
    flight.acked(counter + 2, 0, 130)
    due = flight.timer()
    assert due is not None
    assert due - 86 >= 90, "as late as the one that came late"


def test_those_found_later_than_a_bound_do_not_keep_others_waiting() -> None:
    flight = flying(2)
    flight.acked(1, 0, 10)
    assert flight.expired(10 + 2 * FIRST_RTT_MS) == [0]
    flight.acked(1, 1, 60_000)
    flight.sent(2, [2], 60_000)
    flight.sent(3, [3], 60_000)
    flight.acked(3, 0, 60_010)
    due = flight.timer()
    assert due is not None
    assert due <= 60_000 + 2 * 10 + MAX_REORDERING_MS


def test_a_timeout_that_came_too_early_ends_when_what_it_took_for_lost_is_acknowledged() -> None:
    flight: Flight[int] = Flight()
    counter = fill(flight, 0, 0)
    assert len(flight.expired(2 * FIRST_RTT_MS)) == counter
    assert flight.window < FIRST_WINDOW
    assert flight.acked(counter - 1, 2 ** (counter - 1) - 1, 500) == ([], [])
    assert flight.window == FIRST_WINDOW
    flight.sent(counter, [counter], 500)
    assert flight.timer() == 500 + 2 * FIRST_RTT_MS


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
    assert flight.acked(6, 0b110101, 440) == ([0, 1, 3, 5], [2, 4])
    assert flight.out == 0


def test_timeout_follows_the_round_trip_time() -> None:
    flight: Flight[int] = Flight()
    assert flight.rtt == FIRST_RTT_MS
    for counter in range(60):
        flight.sent(counter, [], counter * 1_000)
        flight.acked(counter, 0, counter * 1_000 + 40)
    assert flight.rtt == 40
    flight.sent(60, [60], 0)
    timer = flight.timer()
    assert timer is not None
    assert 40 < timer < MIN_TIMEOUT_MS
    while flight.probe(timer):
        pass
    assert flight.timer() == MIN_TIMEOUT_MS
    assert flight.expired(MIN_TIMEOUT_MS - 1) == []
    assert flight.expired(MIN_TIMEOUT_MS) == [60]


def test_window_is_cut_once_for_all_that_a_round_trip_loses() -> None:
    flight: Flight[int] = Flight()
    for counter in range(FIRST_WINDOW):
        flight.sent(counter, [counter], 0 if counter < 8 else 5)
    flight.acked(FIRST_WINDOW - 1, 0, 45)
    assert len(flight.expired(46)) == 8
    assert len(flight.expired(51)) == FIRST_WINDOW - 9
    before = flight.window
    assert before == FIRST_WINDOW + 1
    counter = fill(flight, FIRST_WINDOW, 60)
    flight.acked(counter - 1, 0, 100)
    assert flight.window == before // 2
    flight.acked(counter - 2, 0, 101)
    assert flight.window == before // 2


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


def test_a_peer_that_names_late_what_came_gains_nothing_over_one_that_does_at_once() -> None:
    honest: Flight[int] = Flight()
    liar: Flight[int] = Flight()
    counters = [0, 0]
    for now in range(0, 60_000, 1_000):
        for who, flight in enumerate((honest, liar)):
            start = counters[who]
            end = counters[who] = fill(flight, start, now)
            behind = min(end - start - 1, ACK_BITS)
            if flight is liar:
                flight.acked(end - 1, 2 ** (behind // 2) - 1, now + 40)
                flight.expired(now + 400)
            flight.acked(end - 1, 2**behind - 1, now + 40 if flight is honest else now + 450)
        assert liar.window <= honest.window
    assert liar.lost_count > liar.window
    assert liar.out <= liar.window


def test_silence_about_what_is_not_missed_is_not_asked_after() -> None:
    """A timeout forgets it, and says nothing about the path."""
    flight: Flight[int] = Flight()
    flight.sent(0, [], 0, missed=False)
    due = flight.timer()
    assert due is not None
    assert due >= MIN_TIMEOUT_MS
    assert not flight.probe(due)
    assert flight.expired(due) == []
    assert (flight.out, flight.window, flight.lost_count) == (0, FIRST_WINDOW, 0)


def test_what_is_not_missed_is_lost_when_later_ones_arrive() -> None:
    flight: Flight[int] = Flight()
    flight.sent(0, [], 0, missed=False)
    flight.sent(1, [1], 0)
    flight.acked(1, 0, 10)
    assert flight.expired(1_000) == []
    assert flight.lost_count == 1
    assert flight.out == 0
