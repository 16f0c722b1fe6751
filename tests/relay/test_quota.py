from hypothesis import given
from hypothesis import strategies as st

from quire.limits import MAX_RELAY_RATES
from quire.relay.quota import Bucket, Held, Pace, Paces, Quotas, exceeded

NOTHING = Held(0, 0, 0)


def test_no_bound_bounds_nothing() -> None:
    assert exceeded(Quotas(), Held(10**15, 10**15, 10**15), 10**6, 10**9) is None
    pace = Pace(Quotas(), 0)
    assert all(pace.take(10**9, 10**12, 0) == 0 for _ in range(10))


def test_a_share_is_exceeded_by_one_more_than_it_has() -> None:
    assert exceeded(Quotas(mailbox_bytes=100), NOTHING, 1, 100) is None
    assert exceeded(Quotas(mailbox_bytes=100), NOTHING, 1, 101) == "This mailbox has its 100 bytes"
    assert exceeded(Quotas(mailbox_records=3), Held(0, 2, 0), 1, 1) is None
    assert exceeded(Quotas(mailbox_records=3), Held(0, 2, 0), 2, 1) == "This mailbox has its 3 records"
    assert exceeded(Quotas(device_bytes=9), Held(50, 2, 9), 1, 1) is not None


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 3_000)), max_size=60))
def test_a_bucket_gives_no_more_than_its_rate_and_what_it_saved(steps: list[tuple[int, int]]) -> None:
    bucket, now, taken = Bucket(10, 4, 0), 0, 0
    for cost, later in steps:
        now += later
        wait = bucket.wait(cost, now)
        if wait:
            assert bucket.wait(cost, now + wait) == 0  # what it says is enough
            now += wait
        bucket.take(cost)
        taken += cost
        assert taken <= 10 * 4 + 10 * now / 1000 + 50


def test_what_is_larger_than_a_bucket_goes_through_when_it_is_full() -> None:
    bucket = Bucket(10, 1, 0)
    assert bucket.wait(1_000, 0) == 0
    bucket.take(1_000)
    assert bucket.wait(1, 0) == 99_100


def test_nothing_is_taken_when_one_of_both_is_lacking() -> None:
    pace = Pace(Quotas(records_per_second=10, bytes_per_second=100, burst=1), 0)
    assert pace.take(1, 100, 0) == 0
    assert pace.take(5, 50, 0) == 500
    assert pace.take(9, 0, 0) == 0


def test_paces_are_remembered_of_so_many_devices() -> None:
    paces = Paces(Quotas(records_per_second=1, burst=1))
    assert paces.of(b"first", 0).take(1, 0, 0) == 0
    for number in range(MAX_RELAY_RATES - 1):
        paces.of(b"%d" % number, 0)
    assert len(paces) == MAX_RELAY_RATES
    assert paces.of(b"first", 0).take(1, 0, 0) > 0
    paces.of(b"one more", 0)
    assert len(paces) == MAX_RELAY_RATES
