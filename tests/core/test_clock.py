"""The hybrid clock: never backwards, and always after what was seen."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.clock import HybridClock
from quire.limits import MAX_AT_ONE_TIME, MAX_CLOCK_SET_BACK_MS

NOON = 1_790_000_000_000

#: Clocks that differ by less than what a clock may be set back by: what is observed is never as far ahead.
times = st.integers(0, MAX_CLOCK_SET_BACK_MS // 2)
steps = st.lists(st.tuples(st.sampled_from(["tick", "observe"]), times), max_size=40)


def test_follows_the_wall_clock() -> None:
    clock = HybridClock()
    assert [clock.tick(wall) for wall in (1_000, 1_001, 5_000)] == [1_000, 1_001, 5_000]


def test_stands_still_when_the_wall_clock_runs_back() -> None:
    clock = HybridClock(last=7_000)
    assert [clock.tick(wall) for wall in (6_999, 0, 7_000, 7_001)] == [7_000, 7_000, 7_000, 7_001]


def test_an_effect_comes_after_the_cause_that_was_seen() -> None:
    clock = HybridClock()
    clock.tick(1_000)
    clock.observe(9_000)
    assert clock.tick(1_001) == 9_001


def test_an_old_event_changes_nothing() -> None:
    clock = HybridClock(last=9_000)
    clock.observe(8_999)
    assert clock.last == 9_000
    clock.observe(8_000)
    assert clock.tick(0) == 9_000


@pytest.mark.parametrize("ahead", [0, 240_000], ids=["at once", "while another clock is ahead"])
def test_so_many_events_get_one_timestamp(ahead: int) -> None:
    clock = HybridClock()
    if ahead:
        clock.observe(NOON + ahead)
    given_out = [clock.tick(NOON) for _ in range(5 * MAX_AT_ONE_TIME)]
    assert given_out == sorted(given_out)
    assert set(Counter(given_out).values()) == {MAX_AT_ONE_TIME}
    assert given_out[-1] - given_out[0] == 4
    clock.remember(given_out[-1])  # they are held now
    assert clock.tick(NOON) == given_out[-1] + 1
    clock.observe(given_out[-1] + 10)
    assert [clock.tick(NOON) for _ in range(MAX_AT_ONE_TIME)] == [given_out[-1] + 11] * MAX_AT_ONE_TIME


@given(steps)
def test_laws(steps: list[tuple[str, int]]) -> None:
    clock, given_out, seen = HybridClock(), 0, -1
    for verb, time in steps:
        if verb == "observe":
            clock.observe(time)
            seen = max(seen, time)
        else:
            ts = clock.tick(time)
            assert ts >= given_out
            assert ts >= time
            assert ts > seen
            given_out = ts


@given(steps)
def test_same_steps_same_times(steps: list[tuple[str, int]]) -> None:
    clocks = [HybridClock(), HybridClock()]
    for verb, time in steps:
        results = [getattr(clock, verb)(time) for clock in clocks]
        assert results[0] == results[1]
    assert clocks[0] == clocks[1]


@given(st.lists(times, min_size=2, max_size=6))
def test_a_chain_of_replies_over_devices_with_wrong_clocks_is_in_order(walls: list[int]) -> None:
    previous = -1
    for wall in walls:
        clock = HybridClock()
        if previous >= 0:
            clock.observe(previous)
        ts = clock.tick(wall)
        assert ts > previous
        previous = ts


def test_a_clock_set_right_again_is_believed() -> None:
    clock = HybridClock()
    day = 86_400_000
    assert clock.tick(NOON + day) == NOON + day
    assert clock.tick(NOON) == NOON, "or others would hold back what is written until tomorrow"
    clock.remember(NOON + day)
    assert clock.tick(NOON + 1) == NOON + 1
    clock.remember(NOON + MAX_CLOCK_SET_BACK_MS)
    assert clock.tick(NOON) == NOON + MAX_CLOCK_SET_BACK_MS, (
        "a little ahead is kept: time does not run backwards"
    )


def test_the_bound_itself() -> None:
    clock = HybridClock(last=NOON + MAX_CLOCK_SET_BACK_MS)
    assert clock.tick(NOON) == NOON + MAX_CLOCK_SET_BACK_MS
    assert clock.tick(NOON - 1) == NOON - 1
