from quire.limits import (
    ACK_DELAY_MS,
    FIRST_RTT_MS,
    MAX_REORDERING_MS,
    MAX_TIMEOUT_MS,
    MIN_TIMEOUT_MS,
    QUEUE_PERCENT,
    QUEUE_SLACK_MS,
)
from quire.net.roundtrip import RoundTrip


def of(*took: int) -> RoundTrip:
    trip = RoundTrip()
    for sample in took:
        trip.sample(sample)
    return trip


def test_guesses_before_the_first_sample() -> None:
    trip = RoundTrip()
    assert trip.mean == FIRST_RTT_MS
    assert trip.patience == trip.timeout == 2 * FIRST_RTT_MS
    assert not trip.queued


def test_patience_follows_the_mean_and_its_variation() -> None:
    steady = of(*[40] * 50)
    assert steady.mean == 40
    assert steady.patience == 40 + 10 + ACK_DELAY_MS
    assert steady.timeout == MIN_TIMEOUT_MS
    assert of(*[20, 60] * 25).patience > 2 * 40


def test_bound_is_a_round_trip_and_an_eighth_by_the_mean_or_the_latest_whichever_is_longer() -> None:
    assert of(*[80] * 20).bound == 91
    assert of(*[80] * 20, 160).bound == 181
    assert of(*[80] * 20, 8).bound > 75
    assert of(60_000).bound == MAX_TIMEOUT_MS


def test_bound_grows_by_how_late_an_overtaken_one_comes_and_shrinks_where_others_are_lost() -> None:
    trip = of(*[40] * 20)
    trip.overtaken(70)
    wide = trip.bound
    assert wide == 46 + 30
    trip.overtaken(50)
    trip.end_round(losing=False)
    assert trip.bound == wide
    for _ in range(300):
        trip.end_round(losing=True)
    assert trip.bound == 46
    trip.overtaken(60_000)
    assert trip.bound == 46 + MAX_REORDERING_MS


def test_a_queue_shows_where_even_the_shortest_of_a_round_takes_longer() -> None:
    trip = of(40, 90)
    trip.end_round(losing=False)
    assert not trip.queued
    borne = QUEUE_PERCENT * 40 // 100 + QUEUE_SLACK_MS
    trip.sample(borne + 1)
    assert trip.queued
    trip.sample(borne)
    assert not trip.queued


def test_what_comes_out_of_order_is_no_queue() -> None:
    trip = of(5)
    trip.overtaken(45)
    trip.end_round(losing=False)
    trip.sample(40)
    assert not trip.queued


def test_a_path_that_has_become_longer_is_no_queue_for_ever() -> None:
    trip = of(20)
    trip.end_round(losing=False)
    for _ in range(200):
        trip.sample(120)
        trip.end_round(losing=False)
    trip.sample(120)
    assert not trip.queued
