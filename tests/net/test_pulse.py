from random import Random

from quire.limits import (
    HEARTBEAT_GAP_MS,
    HEARTBEAT_MS,
    IDLE_HEARTBEAT_MS,
    MAX_DATAGRAM,
    NUDGE_MS,
    PEER_BYTES_PER_SECOND,
    UNKNOWN_BYTES_PER_SECOND,
    UNREACHABLE_HEARTBEAT_MS,
)
from quire.net.pulse import ByteBudget, Pulse


def gaps(pulse: Pulse, count: int, *, reachable: bool, busy: bool) -> list[int]:
    found = []
    for _ in range(count):
        now = pulse.due
        pulse.beat(now, reachable=reachable, busy=busy)
        found.append(pulse.due - now)
    return found


def test_first_heartbeat_is_due_at_once() -> None:
    assert Pulse(bytes, 77).due == 77


def test_busy_beats_every_second_and_calm_backs_off() -> None:
    pulse = Pulse(bytes, 0)
    assert gaps(pulse, 3, reachable=True, busy=True) == [HEARTBEAT_MS] * 3
    assert gaps(pulse, 5, reachable=True, busy=False)[-1] == IDLE_HEARTBEAT_MS


def test_unreachable_backs_off_further_with_jitter() -> None:
    found = gaps(Pulse(Random(1).randbytes, 0), 60, reachable=False, busy=True)[8:]
    assert all(UNREACHABLE_HEARTBEAT_MS <= gap <= UNREACHABLE_HEARTBEAT_MS * 5 // 4 for gap in found)
    assert len(set(found)) > 20


def test_nudge_brings_the_next_one_forward_but_never_too_close() -> None:
    pulse = Pulse(bytes, 0)
    pulse.beat(1_000, reachable=True, busy=False)
    pulse.nudge(1_010)
    assert pulse.due == 1_000 + HEARTBEAT_GAP_MS
    pulse.beat(pulse.due, reachable=True, busy=True)
    pulse.nudge(2_000)
    assert pulse.due == 2_000 + NUDGE_MS
    pulse.nudge(2_040)
    assert pulse.due == 2_000 + NUDGE_MS


def test_budget_holds_over_any_second() -> None:
    for rate in (10_000, PEER_BYTES_PER_SECOND):
        budget = ByteBudget(rate, 0)
        sent = 0
        for now in range(3_000):
            while budget.allows(now):
                budget.spend(1_200)
                sent += 1_200
        assert 0.9 * 3 * rate <= sent <= 3 * rate * 1.02 + 4_000


def test_budget_knows_when_it_has_more() -> None:
    budget = ByteBudget(10_000, 0)
    while budget.allows(5):
        budget.spend(1_200)
    at = budget.ready_at()
    assert not budget.allows(at - 1)
    assert budget.allows(at)


def test_who_asks_often_is_allowed_no_later() -> None:
    """Even where a millisecond adds less than a byte."""
    for rate in (700, 1_500, UNKNOWN_BYTES_PER_SECOND):
        often, seldom = ByteBudget(rate, 0), ByteBudget(rate, 0)
        for budget in (often, seldom):
            budget.spend(20 * MAX_DATAGRAM)
        assert not seldom.allows(0)
        ready = seldom.ready_at()
        for now in range(ready):
            assert not often.allows(now)
            assert often.ready_at() == ready
        assert often.allows(ready)
        assert seldom.allows(ready)
