from functools import partial
from random import Random
from typing import Any

import pytest

from quire.limits import (
    FRESH_MS,
    MAX_PUSH_JOBS,
    STALE_MS,
    SYNC_PAGE,
    SYNC_PAGES_PER_SECOND,
    SYNC_PAGES_PER_STEP,
)
from quire.sync import pushes as pushes_module
from quire.sync.filter import Bloom
from quire.sync.index import END, START, Position
from quire.sync.pushes import Pushes
from tests.sync.conformance import ids, index_of
from tests.sync.memory import MemoryIndex

EVERYTHING = Bloom(b"k" * 32, bytes(8), 8, b"\xff" * 100)


def test_names_every_id_once_and_in_order() -> None:
    index = index_of(ids(Random(1), 3_000))
    pushes = Pushes()
    assert pushes.add(START, END, None, 0)
    named: list[bytes] = []
    while pushes.active:
        some = pushes.next(index, 70, 0)
        assert len(some) <= 70
        named += some
    assert named == [event_id for _, event_id in index.positions()]


def test_overlapping_range_is_refused_while_the_first_is_walked() -> None:
    index = index_of((ts, bytes((ts >> 8, ts & 255)) * 16) for ts in range(2_000))
    pushes = Pushes()
    assert pushes.add((0, b""), (1_500, b""), None, 0)
    assert not pushes.add((1_499, b""), (1_600, b""), None, 0)
    assert pushes.add((1_500, b""), (1_600, b""), None, 0)
    pushes.next(index, 10, 0)
    assert pushes.add((0, b""), (SYNC_PAGE - 1, b""), None, 0)


def numbered(count: int) -> list[tuple[int, bytes]]:
    return [(ts, ts.to_bytes(32, "big")) for ts in range(count)]


def named(pushes: Pushes, index: MemoryIndex, now: int) -> list[int]:
    found: list[int] = []
    while pushes.active:
        found += [int.from_bytes(event_id, "big") for event_id in pushes.next(index, 64, now)]
    return found


def test_what_is_said_later_replaces_that_part_of_an_old_range() -> None:
    pushes = Pushes()
    assert pushes.add((0, b""), (100, b""), None, 0)
    assert not pushes.add((40, b""), (50, b""), None, FRESH_MS - 1)
    assert pushes.add((40, b""), (50, b""), EVERYTHING, FRESH_MS)
    assert named(pushes, index_of(numbered(200)), FRESH_MS) == [*range(40), *range(50, 100)]


def test_settled_ranges_are_not_pushed() -> None:
    pushes = Pushes()
    pushes.add((0, b""), (100, b""), None, 0)
    for low, high in ((0, 10), (20, 30), (90, 200)):
        pushes.settle((low, b""), (high, b""))
    assert named(pushes, index_of(numbered(200)), 0) == [*range(10, 20), *range(30, 90)]


def test_filter_that_waited_too_long_is_dropped_but_not_one_being_walked() -> None:
    empty = Bloom(b"k" * 32, bytes(8), 8, b"")
    index, pushes = index_of(numbered(2 * SYNC_PAGE)), Pushes()
    pushes.add((0, b""), (2 * SYNC_PAGE - 1, b""), empty, 0)
    pushes.add((2 * SYNC_PAGE - 1, b""), END, empty, 0)
    first = len(pushes.next(index, 64, 0))
    assert first + len(named(pushes, index, STALE_MS)) == 2 * SYNC_PAGE - 1


def test_filters_go_before_ranges_of_which_the_peer_holds_nothing() -> None:
    empty = Bloom(b"k" * 32, bytes(8), 8, b"")
    pushes = Pushes()
    pushes.add((0, b""), (3, b""), None, 0)
    pushes.add((10, b""), (13, b""), empty, 0)
    pushes.add((5, b""), (8, b""), empty, 0)
    assert named(pushes, index_of(numbered(20)), 0) == [10, 11, 12, 5, 6, 7, 0, 1, 2]


def test_cutting_ranges_to_pieces_is_bounded() -> None:
    pushes = Pushes()
    pushes.add((0, b""), (10**6, b""), None, 0)
    for at in range(10, 10 + 4 * MAX_PUSH_JOBS, 2):
        pushes.settle((at, b""), (at + 1, b""))
    assert len(pushes._jobs) == MAX_PUSH_JOBS
    assert not pushes.add(START, (1, b""), None, FRESH_MS)


def test_jobs_are_bounded() -> None:
    pushes = Pushes()
    taken = [pushes.add((at, b""), (at + 1, b""), None, 0) for at in range(MAX_PUSH_JOBS + 5)]
    assert taken.count(True) == MAX_PUSH_JOBS


def test_a_filter_that_contains_everything_costs_bounded_work() -> None:
    index = index_of(ids(Random(2), SYNC_PAGE * (SYNC_PAGES_PER_STEP + 2)))
    pages: list[int] = []
    index.page = lambda low, high, limit: pages.append(limit) or type(index).page(index, low, high, limit)  # type: ignore
    pushes = Pushes()
    pushes.add(START, END, EVERYTHING, 0)
    assert pushes.next(index, 64, 0) == []
    assert pushes.active
    assert len(pages) == SYNC_PAGES_PER_STEP
    for _ in range(SYNC_PAGES_PER_SECOND):
        pushes.add(START, END, EVERYTHING, 0)
        pushes.next(index, 64, 0)
    assert len(pages) == SYNC_PAGES_PER_SECOND
    pushes.next(index, 64, 1_000)
    assert len(pages) > SYNC_PAGES_PER_SECOND


def test_clear_forgets_ready_ids_too() -> None:
    pushes = Pushes()
    pushes.add(START, END, None, 0)
    assert pushes.next(index_of(ids(Random(3), 9)), 1, 0)
    pushes.clear()
    assert not pushes.active


class Plain:
    """The same, each time looking at all there is: (low, high, is a filter, since), in the order of their turns."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Position, Position, bool, int]] = []

    def add(self, low: Position, high: Position, held: bool, now: int) -> bool:
        if any(a < high and low < b and now - since < FRESH_MS for a, b, _, since in self.jobs):
            return False
        self.settle(low, high)
        if len(self.jobs) >= MAX_PUSH_JOBS:
            return False
        at = (
            next((n for n, job in enumerate(self.jobs) if not job[2]), len(self.jobs))
            if held
            else len(self.jobs)
        )
        self.jobs.insert(at, (low, high, held, now))
        return True

    def settle(self, low: Position, high: Position) -> None:
        left = []
        for a, b, held, since in self.jobs:
            parts = [(a, b)] if b <= low or high <= a else [(a, low), (high, b)]
            left += [(x, y, held, since) for x, y in parts if x < y]
        self.jobs = left[:MAX_PUSH_JOBS]


@pytest.mark.parametrize("seed", range(8))
def test_ranges_are_queued_and_cut_as_when_all_are_looked_at(seed: int) -> None:
    random, pushes, plain = Random(seed), Pushes(), Plain()
    answers: set[bool] = set()
    most = 0
    for now in range(0, 1_500 * FRESH_MS // 300, FRESH_MS // 300):
        low = random.randrange(4_000)
        high = low + random.choice((1, 3, 10, 2_000 if random.random() < 0.02 else 5))
        bounds, is_filter = ((low, b""), (high, b"")), random.random() < 0.3
        if random.random() < 0.3:
            pushes.settle(*bounds)
            plain.settle(*bounds)
        else:
            answer = pushes.add(*bounds, EVERYTHING if is_filter else None, now)
            assert answer == plain.add(*bounds, is_filter, now)
            answers.add(answer)
        found = [(job.low, job.high, job.held is not None, job.since) for job in pushes._turns]
        assert found == plain.jobs
        most = max(most, len(found))
        assert sorted(found) == [(job.low, job.high, job.held is not None, job.since) for job in pushes._jobs]
    assert answers == {True, False}
    assert most == MAX_PUSH_JOBS


def test_a_range_costs_what_it_touches(monkeypatch: pytest.MonkeyPatch) -> None:
    pushes, looked = Pushes(), [0]
    for at in range(0, 2 * MAX_PUSH_JOBS, 2):
        assert pushes.add((at, b""), (at + 1, b""), None, 0)
    for name in ("_low", "_high"):
        real = getattr(pushes_module, name)
        monkeypatch.setattr(pushes_module, name, partial(_counted, looked, real))
    for at in range(1, 201, 2):
        pushes.settle((at, b""), (at + 1, b""))
    assert looked[0] < 100 * 30


def _counted(looked: list[int], real: Any, job: Any) -> Any:
    looked[0] += 1
    return real(job)
