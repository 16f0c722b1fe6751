"""The planner of fetches: everything that some source has is asked of one that has it, whoever leaves or lies."""

import sys
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.limits import LOG_PART, MAX_WANTS, RUN_EVENTS, WANTED_EVENTS
from quire.sync.frontier import NO_MARK, Fetch, Height, Want


def device(number: int) -> bytes:
    return bytes((number,)) * 32


def height(number: int, seq: int, born: int = 0) -> Height:
    return Height(device(number), seq, b"m" * 8, born)


def places(want: Want) -> set[tuple[bytes, int]]:
    return {(want.device, seq) for seq in range(want.after + 1, want.until + 1)}


def test_nothing_is_asked_of_who_has_no_more() -> None:
    fetch = Fetch([height(1, 10), height(2, 5)])
    fetch.heard(7, [height(1, 10), height(2, 4)])
    assert fetch.over
    assert fetch.wants(7) == []


def test_what_lies_above_our_own_height_is_asked_for() -> None:
    fetch = Fetch([height(1, 10)])
    fetch.heard(7, [height(1, 12, born=2), height(2, 3, born=1)])
    assert fetch.wants(7) == [Want(device(2), 0, 3, NO_MARK), Want(device(1), 10, 12, b"m" * 8)]
    assert fetch.wants(7) == []


def test_parts_of_a_log_are_asked_for_each_for_itself() -> None:
    far = 5 * LOG_PART
    fetch = Fetch([height(1, 10), height(1, far + 3)])
    fetch.heard(7, [height(1, 12), height(1, LOG_PART + 2, born=1), height(1, far + 4, born=2)])
    asked = fetch.wants(7)
    assert asked == [
        Want(device(1), 10, 12, b"m" * 8),
        Want(device(1), LOG_PART, LOG_PART + 2, NO_MARK),
        Want(device(1), far + 3, far + 4, b"m" * 8),
    ]
    fetch.answered(7, asked[1], LOG_PART)
    fetch.answered(7, asked[0], 12)
    assert not fetch.over
    fetch.answered(7, asked[2], far + 4)
    assert fetch.over


def test_a_part_of_nothing_is_not_asked_for() -> None:
    fetch = Fetch([])
    fetch.heard(7, [height(1, LOG_PART)])
    assert fetch.over


def test_so_much_is_asked_for_at_once() -> None:
    fetch = Fetch([])
    fetch.heard(7, [height(1, 10 * WANTED_EVENTS)])
    asked = fetch.wants(7)
    assert sum(want.until - want.after for want in asked) == WANTED_EVENTS
    assert all(want.until - want.after == RUN_EVENTS for want in asked)
    fetch.answered(7, asked[0], asked[0].until)
    assert len(fetch.wants(7)) == 1
    many = Fetch([])
    many.heard(7, [height(n, 1) for n in range(200)])
    assert len(many.wants(7)) == MAX_WANTS


def test_two_sources_are_asked_for_different_runs() -> None:
    fetch = Fetch([])
    fetch.heard(1, [height(1, 5 * WANTED_EVENTS)])
    fetch.heard(2, [height(1, 5 * WANTED_EVENTS)])
    ours = [set().union(*map(places, fetch.wants(source))) for source in (1, 2)]
    assert all(ours)
    assert not ours[0] & ours[1]


def test_what_a_source_did_not_give_is_asked_of_another() -> None:
    fetch = Fetch([])
    fetch.heard(1, [height(1, 10)])
    (want,) = fetch.wants(1)
    fetch.heard(2, [height(1, 10)])
    assert fetch.wants(2) == []
    fetch.answered(1, want, 4)
    assert fetch.wants(1) == []  # it said by that that it has no more
    assert fetch.wants(2) == [Want(device(1), 4, 10, NO_MARK)]


def test_who_gave_something_else_is_not_asked_for_that_log_again() -> None:
    fetch = Fetch([])
    fetch.heard(1, [height(1, 10), height(2, 3, born=1)])
    first, second = fetch.wants(1)
    fetch.distrust(1, first)
    assert not fetch.over
    fetch.answered(1, second, 3)
    assert fetch.over


def test_what_was_asked_of_who_left_is_asked_of_others() -> None:
    fetch = Fetch([])
    for source in (1, 2):
        fetch.heard(source, [height(1, WANTED_EVENTS)])
    gone = fetch.wants(1)
    fetch.left(1)
    assert not fetch.knows(1)
    assert set().union(*map(places, fetch.wants(2))) == set().union(*map(places, gone))
    fetch.left(2)
    assert fetch.over


def test_what_has_come_is_not_asked_of_who_is_heard_later() -> None:
    fetch = Fetch([height(1, 4)])
    fetch.heard(1, [height(1, 10), height(2, 5, born=1), height(3, 5, born=2)])
    first, second, third = fetch.wants(1)
    fetch.answered(1, first, 10)
    fetch.distrust(1, second)
    fetch.heard(2, [height(1, 12), height(2, 5, born=1)])
    assert fetch.wants(2) == [Want(device(1), 10, 12, NO_MARK), Want(device(2), 0, 5, NO_MARK)]
    fetch.answered(1, third, 3)
    fetch.heard(3, [height(3, 6, born=2)])
    assert fetch.wants(3) == [Want(device(3), 3, 6, NO_MARK)]


def test_what_nobody_gave_is_asked_of_who_is_heard_later() -> None:
    fetch = Fetch([])
    fetch.heard(1, [height(1, 3 * RUN_EVENTS)])
    fetch.heard(2, [height(1, 10)])
    _, second, third = fetch.wants(1)
    fetch.answered(1, second, second.after + 7)
    fetch.answered(1, third, third.until)
    fetch.heard(3, [height(1, 3 * RUN_EVENTS)])
    assert fetch.wants(3) == [Want(device(1), RUN_EVENTS + 7, 2 * RUN_EVENTS, NO_MARK)]
    fetch.left(1)
    assert fetch.wants(2) == [Want(device(1), 0, 10, NO_MARK)]
    assert fetch.wants(3) == [Want(device(1), 10, RUN_EVENTS, NO_MARK)]


def test_an_answer_costs_the_same_however_many_logs_there_are() -> None:
    def steps(logs: int) -> int:
        """Functions entered and left while a source with few logs is asked, beside one that tells of many."""
        fetch = Fetch([])
        fetch.heard(1, [Height(n.to_bytes(32, "big"), 9_000, b"m" * 8, 1) for n in range(logs)])
        fetch.heard(2, [height(255, 3, born=2)])
        (own,), theirs = fetch.wants(2), fetch.wants(1)
        count = 0

        def entered(*_: object) -> None:
            nonlocal count
            count += 1

        sys.setprofile(entered)
        try:
            fetch.answered(2, own, own.until)
            for want in theirs:
                fetch.answered(1, want, want.until)
                assert fetch.wants(1)
                assert fetch.wants(2) == []
        finally:
            sys.setprofile(None)
        return count

    assert steps(1_000) == steps(10)


@settings(max_examples=150)
@given(
    st.integers(0, 10**6),
    st.lists(st.integers(0, 9_000), min_size=1, max_size=4),
    st.lists(st.lists(st.integers(0, 9_000), min_size=1, max_size=4), min_size=1, max_size=4),
    st.booleans(),
)
def test_all_that_an_honest_source_has_comes(
    seed: int, own: list[int], sources: list[list[int]], faulty: bool
) -> None:
    """Source 0 gives all that it tells of, and stays; others may give less, nothing, or leave."""
    random = Random(seed)
    fetch = Fetch([height(n, seq) for n, seq in enumerate(own) if seq])
    held = {(device(n), place) for n, seq in enumerate(own) for place in range(1, seq + 1)}
    told = [[height(n, seq) for n, seq in enumerate(seqs) if seq] for seqs in sources]
    under_way: list[tuple[int, Want]] = []
    waiting = list(range(len(sources)))
    for _ in range(10_000):
        if waiting and random.random() < 0.3:
            source = waiting.pop(0)
            fetch.heard(source, told[source])
        for source in range(len(sources)):
            if fetch.knows(source):
                under_way += [(source, want) for want in fetch.wants(source)]
        if not under_way and not waiting:
            break
        if under_way:
            source, want = under_way.pop(random.randrange(len(under_way)))
            fault = random.random() if faulty and source else 1.0
            if fault < 0.1:
                fetch.left(source)
                under_way = [item for item in under_way if item[0] != source]
            elif fault < 0.2:
                fetch.distrust(source, want)
            else:
                reached = want.until if fault > 0.4 else random.randint(want.after, want.until)
                assert reached <= told[source][[h.device for h in told[source]].index(want.device)].seq
                held |= places(want._replace(until=reached)) if reached > want.after else set()
                fetch.answered(source, want, reached)
    assert fetch.over
    assert held >= {(h.device, place) for h in told[0] for place in range(1, h.seq + 1)}


def test_asking_a_stranger_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Fetch([]).wants(3)
