from hypothesis import given
from hypothesis import strategies as st

from quire.limits import ACK_DELAY_MS, ACK_EVERY, ACK_EVERY_OF_HOLES, REPLAY_WINDOW
from quire.net.received import Received


@given(st.lists(st.integers(0, 3 * REPLAY_WINDOW), max_size=60))
def test_takes_each_counter_once_within_the_window(counters: list[int]) -> None:
    received = Received()
    taken: list[int] = []
    for counter in counters:
        expected = counter not in taken and counter > max(taken, default=-1) - REPLAY_WINDOW
        assert received.add(counter) == expected
        taken += [counter] if expected else []
    for behind in range(REPLAY_WINDOW - 1):
        if taken:
            assert received.seen() >> behind & 1 == (max(taken) - 1 - behind in taken)


def test_what_fell_behind_the_window_is_refused() -> None:
    received = Received()
    assert received.add(REPLAY_WINDOW)
    assert received.add(1)
    assert not received.add(0)


def test_a_leap_of_any_size_costs_nothing() -> None:
    received = Received()
    assert received.add(0)
    assert received.add(2**64 - 1)
    assert not received.add(2**64 - 1)
    assert received.seen() == 0


def test_acknowledgement_is_due_after_a_delay_or_at_once_after_many() -> None:
    received = Received()
    assert received.ack_at is None
    for number in range(ACK_EVERY):
        received.add(7 + number)
        assert not received.ack_overdue
        received.wants_ack(100 + number)
    assert received.ack_at == 100 + ACK_DELAY_MS
    assert received.ack_overdue
    received.acked()
    assert received.ack_at is None
    assert not received.ack_overdue


def test_acknowledgement_is_due_after_fewer_where_some_did_not_come() -> None:
    received = Received()
    for counter in (*range(ACK_EVERY), ACK_EVERY + 1):
        received.add(counter)
    for number in range(ACK_EVERY_OF_HOLES):
        assert not received.ack_overdue
        received.wants_ack(number)
    assert received.ack_overdue
    received.add(ACK_EVERY)
    assert not received.ack_overdue, "it was only late"
