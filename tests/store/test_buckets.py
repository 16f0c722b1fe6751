"""What reconciliation sees of a store, against a plain sorted list."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.core.encoding import from_text, to_text
from quire.core.summary import COARSE, FINE
from quire.errors import HomeError
from quire.events.home import Home
from quire.events.keyring import name_of
from quire.limits import MAX_INTEGER
from quire.store import buckets
from quire.store.memberships import INVITED, Membership
from quire.sync import index as sync_index
from tests.events.builders import (
    NOW,
    Author,
    Made,
    Space,
    add_holder,
    digest,
    full_disk,
    give,
    make_home,
    states,
    undone,
)

SPACE = Space()
THEN = NOW - (1 << COARSE)
times = st.sampled_from(
    [0, 1, NOW, NOW + 1, NOW + (1 << FINE), NOW + (1 << COARSE), MAX_INTEGER]
) | st.integers(NOW, NOW + 5)


def stocked(steps: list[tuple[int, int]]) -> tuple[Home, Membership, list[tuple[int, bytes, Made]]]:
    """A home holding one event at each given time, and the same as a sorted list."""
    home = make_home()
    alice = add_holder(home, SPACE, "alice", let_in=False)
    authors = [Author(SPACE, name) for name in ("x", "y", "z")]
    made = []
    for who, ts in steps:
        one = authors[who].say("x", ts=ts, sign=who != 2)
        made.append((ts, from_text(one.event_id), one))
    give(home, alice, *(one for *_, one in made))
    return home, alice, sorted(made)


plans = st.lists(st.tuples(st.integers(0, 2), times), max_size=14)


@settings(deadline=None, max_examples=40)
@given(plan=plans, data=st.data())
def test_page_against_a_sorted_list(plan: list[tuple[int, int]], data: st.DataObject) -> None:
    home, alice, made = stocked(plan)
    held = [(ts, raw) for ts, raw, _ in made]
    index = home.store.index(alice.account, alice.space)
    bounds = st.sampled_from(
        [sync_index.START, sync_index.END, *held, *(sync_index.after(p) for p in held)]
    ) | st.tuples(times, st.binary(max_size=3))
    for _ in range(5):
        low, high, limit = data.draw(bounds), data.draw(bounds), data.draw(st.integers(1, 6))
        assert index.page(low, high, limit) == [p for p in held if low <= p < high][:limit]
    assert index.page(sync_index.START, sync_index.END, 100) == held
    home.close()


@settings(deadline=None, max_examples=40)
@given(plan=plans)
def test_summaries_against_sums(plan: list[tuple[int, int]]) -> None:
    home, alice, made = stocked(plan)
    index = home.store.index(alice.account, alice.space)

    def total(held: list[tuple[int, bytes, Made]]) -> tuple[int, int]:
        return len(held), sum(int.from_bytes(raw, "big") for _, raw, _ in held) % 2**256

    assert index.whole() == total(made)
    coarse = index.buckets(COARSE, 0, sync_index.END[0], 99)
    assert [n for n, _ in coarse] == sorted({ts >> COARSE for ts, *_ in made})
    for bucket, summary in coarse:
        inside = [one for one in made if one[0] >> COARSE == bucket]
        assert summary == total(inside)
        fine = index.buckets(FINE, bucket << COARSE - FINE, bucket + 1 << COARSE - FINE, 99)
        assert [n for n, _ in fine] == sorted({ts >> FINE for ts, *_ in inside})
        assert all(s == total([one for one in inside if one[0] >> FINE == n]) for n, s in fine)
    home.close()


def test_a_summary_that_is_remembered_knows_what_came_since_and_what_was_undone() -> None:
    home, alice, made = stocked([(0, NOW)])
    index = home.store.index(alice.account, alice.space)
    author = Author(SPACE, "late")
    give(home, alice, author.say("second", ts=NOW))
    with undone(home.store.db):  # with it goes that the second one was counted
        give(home, alice, author.say("third", ts=NOW))
        assert index.whole().count == len(made) + 2
    assert index.whole().count == len(made) + 1
    give(home, alice, Author(SPACE, "later").say("fourth", ts=NOW))
    assert index.whole().count == len(made) + 2
    home.close()


def test_many_events_in_one_millisecond() -> None:
    home, alice, made = stocked([(place % 3, NOW + place // 40) for place in range(100)])
    held = [(ts, raw) for ts, raw, _ in made]
    index = home.store.index(alice.account, alice.space)
    for limit in (1, 7, 39, 40, 41, 99, 100, 101):
        found: list[sync_index.Position] = []
        low = sync_index.START
        while page := index.page(low, sync_index.END, limit):
            found += page
            low = sync_index.after(page[-1])
        assert found == held
    home.close()


def test_a_page_that_is_remembered_knows_what_came_since(monkeypatch: pytest.MonkeyPatch) -> None:
    home, alice, made = stocked([(place % 2, NOW) for place in range(20)])
    index = home.store.index(alice.account, alice.space)
    reads: list[int] = []
    rows = index._rows
    monkeypatch.setattr(index, "_rows", lambda *bounds: reads.append(1) or rows(*bounds))

    def held() -> list[sync_index.Position]:
        reads.clear()
        return index.page(sync_index.START, sync_index.END, 10)[:1] + index.page(
            (NOW, b"\1"), sync_index.END, 9
        )

    first = held()
    assert held() == first
    assert len(reads) <= 3
    with undone(home.store.db):
        give(home, alice, Author(SPACE, "v").say("undone", ts=NOW, seq=1))
        every = index.page((NOW, b""), (NOW + 1, b""), 99)
        assert len(every) == 21
        assert index.page((NOW, b""), (NOW + 1, b""), 10) == every[:10]
        assert held() == every[:1] + [one for one in every if one >= (NOW, b"\1")][:9]
    assert held() == first
    for number in range(5):
        came = Author(SPACE, f"w{number}").say("since", ts=NOW)
        give(home, alice, came)
        made = sorted([*made, (NOW, from_text(came.event_id), came)])
        assert index.page((NOW, b""), sync_index.END, 10) == [(ts, raw) for ts, raw, _ in made][:10]
    monkeypatch.setattr(buckets, "MAX_BATCH", 3)
    home.store.buckets.pages.clear()
    assert len(index.page((NOW, b""), sync_index.END, 10)) == 10
    assert index._pages() == {}, "too many to remember"
    home.close()


def _crowd(count: int) -> tuple[Home, Membership, Author, list[sync_index.Position]]:
    """As a member can make it: events that share a millisecond."""
    home = make_home()
    alice, carol = add_holder(home, SPACE, "alice"), Author(SPACE, "carol")
    give(home, alice, carol.introduce())
    made = [carol.say(f"{number}", ts=THEN, sign=number == count - 1) for number in range(count)]
    give(home, alice, *made)
    return home, alice, carol, sorted((THEN, from_text(one.event_id)) for one in made)


def test_a_page_costs_its_own_size_however_many_share_its_millisecond() -> None:
    """Else to walk through them costs the square of their number; also while others come."""
    costs: list[int] = []
    for count in (60, 600):
        home, alice, carol, held = _crowd(count)
        index = home.store.index(alice.account, alice.space)
        assert index.page(sync_index.START, sync_index.END, 20) == held[:20]
        one = carol.say("one more", ts=THEN)
        give(home, alice, one)
        held = sorted([*held, (THEN, from_text(one.event_id))])
        home.store.buckets.count_arrivals()
        costs.append(_cost(home, partial(index.page, sync_index.after(held[19]), sync_index.END, 20)))
        assert index.page(sync_index.after(held[19]), sync_index.END, 20) == held[20:40]
        home.close()
    assert costs[0] == costs[1]


def test_a_crowd_that_is_remembered_knows_what_was_undone_and_what_a_full_disk_cannot_count() -> None:
    home, alice, carol, held = _crowd(30)
    index = home.store.index(alice.account, alice.space)
    assert index.page(sync_index.START, sync_index.END, 20) == held[:20]
    with undone(home.store.db):
        give(home, alice, Author(SPACE, "v").say("undone", ts=THEN, seq=1))
        assert len(index.page(sync_index.START, sync_index.END, 20)) == 20
        assert home.store.buckets.crowds.knows((alice.account, alice.space, THEN), frozenset())
    late = [carol.say(f"late {at}", ts=THEN - (at << COARSE)) for at in range(400)]
    give(home, alice, *late)
    held = sorted([*held, (THEN, from_text(late[0].event_id))])
    with full_disk(home.store.db):
        with pytest.raises(HomeError, match="disk is full"):
            index.whole()
        for _ in range(2):
            assert index.page((THEN, b""), (THEN + 1, b""), 20) == held[:20]
            assert index.page(sync_index.after(held[19]), (THEN + 1, b""), 20) == held[20:]
        assert not home.store.buckets.crowds.knows((alice.account, alice.space, THEN), frozenset())
    for _ in range(2):
        assert index.page(sync_index.after(held[19]), (THEN + 1, b""), 20) == held[20:]
    home.close()


def test_blobs_in_the_order_asked_and_others_left_out() -> None:
    home, alice, made = stocked([(place % 3, NOW + place) for place in range(20)])
    dora = add_holder(home, SPACE, "dora", let_in=False)
    index = home.store.index(alice.account, alice.space)
    Random(1).shuffle(made)
    ids = [raw for _, raw, _ in made]
    assert index.blobs(ids) == [one.sealed for *_, one in made]
    assert index.blobs([digest("unknown"), ids[0], b"", ids[0][:-1] + b"\0", ids[1]]) == [
        made[0][2].sealed,
        made[1][2].sealed,
    ]
    assert index.blobs([]) == []
    assert home.store.index(dora.account, dora.space).blobs(ids) == [], "held by another identity"
    assert home.store.index(dora.account, dora.space).whole() == (0, 0)
    assert home.store.index(dora.account, dora.space).page(sync_index.START, sync_index.END, 9) == []
    elsewhere = Space("elsewhere")
    yard = home.store.memberships.add(alice.account, elsewhere.id, elsewhere.link_key, "yard", INVITED)
    assert home.store.index(yard.account, yard.space).blobs(ids) == []
    home.close()


def test_the_same_unsigned_bytes_in_two_spaces_are_two_events() -> None:
    """An unsigned event names no space: sealed for another one it is held there too, and vouched for apart."""
    home, elsewhere = make_home(), Space("elsewhere")
    alice = add_holder(home, SPACE, "alice")
    yard = home.store.memberships.add(alice.account, elsewhere.id, elsewhere.link_key, "yard", INVITED)
    home.store.memberships.add_key(yard, elsewhere.key, name_of(elsewhere.key))
    yard = home.store.memberships.get(yard.account, yard.space)
    carol = Author(SPACE, "carol")
    run = [carol.is_called(sign=False), carol.say("signed for the garden")]
    replayed = elsewhere.made(run[0].data)
    give(home, yard, replayed)
    give(home, alice, *run)
    for member, made in ((alice, run[0]), (yard, replayed)):
        index = home.store.index(member.account, member.space)
        assert index.blobs([from_text(made.event_id)]) == [made.sealed]
    assert home.store.waiting.count(yard.account, yard.space) == 1
    assert home.store.blobs.at(yard.account, home.store.names.device_number(yard.space, carol.id), 1) == []
    home.close()


def _note(ticks: list[int]) -> bool:
    ticks.append(1)
    return False


def _cost(home: Home, work: Callable[[], object]) -> int:
    """The steps that the database takes for it."""
    ticks: list[int] = []
    home.store.db.connection.set_progress_handler(partial(_note, ticks), 1)
    work()
    home.store.db.connection.set_progress_handler(None)
    return len(ticks)


def _far_apart(count: int) -> tuple[Home, Membership, Author]:
    """As a member can make it: each event in another coarse bucket."""
    home = make_home()
    alice, carol = add_holder(home, SPACE, "alice"), Author(SPACE, "carol")
    give(home, alice, carol.introduce())
    made = []
    for at in range(count):
        carol.ts = NOW + (at << COARSE)
        made.append(carol.say("", sign=at == count - 1))
    give(home, alice, *made)
    return home, alice, carol


def test_buckets_cost_what_is_asked_for_however_many_there_are() -> None:
    costs: list[int] = []
    for count in (40, 400):
        home, alice, _ = _far_apart(count)
        index = home.store.index(alice.account, alice.space)
        every = index.buckets(COARSE, 0, sync_index.END[0], 1_000)
        assert len(every) == count
        assert index.buckets(COARSE, every[3][0], every[9][0], 99) == every[3:9]
        assert index.buckets(COARSE, every[3][0], sync_index.END[0], 20) == every[3:23]
        costs.append(_cost(home, partial(index.buckets, COARSE, every[3][0], sync_index.END[0], 20)))
        home.close()
    assert costs[0] == costs[1]


def test_the_summary_of_everything_costs_the_same_after_each_change_however_many_buckets_there_are() -> None:
    """Every session asks for it at each heartbeat."""
    costs: list[int] = []
    for count in (10, 400):
        home, alice, carol = _far_apart(count)
        index = home.store.index(alice.account, alice.space)
        before = index.whole()
        one = carol.say("one more")
        give(home, alice, one)
        home.store.buckets.count_arrivals()
        costs.append(_cost(home, index.whole))
        assert index.whole().count == before.count + 1
        assert index.whole().total == (before.total + int.from_bytes(from_text(one.event_id))) % 2**256
        home.close()
    assert costs == [0, 0]


def test_a_step_costs_the_same_however_much_waits_to_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what was written while no node ran is counted in a time that grows with its square."""
    monkeypatch.setattr(buckets, "INGEST_BATCH", 10)
    home = make_home()
    alice, carol = add_holder(home, SPACE, "alice"), Author(SPACE, "carol")
    give(home, alice, carol.introduce(), *carol.says(str(number) for number in range(405)))
    costs: list[int] = []
    while True:
        ticks: list[int] = []
        home.store.db.connection.set_progress_handler(partial(_note, ticks), 1)
        if not home.store.buckets.step():
            break
        costs.append(len(ticks))
    assert len(costs) == 41
    assert max(costs) < 2 * min(costs)
    home.close()


def test_counting_resumes_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "quire.db"
    home = make_home(path)
    alice, carol = add_holder(home, SPACE, "alice"), Author(SPACE, "carol")
    before = len(states(home, alice))
    give(home, alice, carol.introduce(), *carol.says(["a", "b"]))
    home.close()  # killed before anything was counted
    home = make_home(path)
    index = home.store.index(alice.account, alice.space)
    assert index.whole().count == before + 3
    give(home, alice, carol.say("c"))
    assert index.whole().count == before + 4
    assert [to_text(raw) for _, raw in index.page(sync_index.START, sync_index.END, 1)] != []
    home.close()
