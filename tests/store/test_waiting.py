from typing import Any

import pytest

from quire.limits import MAX_INTEGER
from quire.store.store import Store
from quire.store.waiting import time_need
from tests.events.builders import VAULT, undone


@pytest.fixture
def store() -> Store:
    return Store(":memory:", VAULT)


def test_block_and_release(store: Store) -> None:
    waiting = store.waiting
    waiting.block(1, 1, [("peer a", 5), ("peer a", 3), ("peer b", 4), ("vouch x", 6)])
    waiting.block(2, 1, [("peer a", 5)])
    assert waiting.count(1, 1) == 4
    assert waiting.release(1, 1, ["peer a", "peer c"]) == [3, 5]
    assert waiting.release(1, 1, ["peer a"]) == []
    assert waiting.release(1, 1, []) == []
    assert (waiting.count(1, 1), waiting.count(2, 1), waiting.count(1, 2)) == (2, 1, 0)
    assert waiting.reasons(1) == [(1, "peer", 1), (1, "vouch", 1)]


def test_only_what_waits_is_removed_and_counted(store: Store) -> None:
    store.waiting.block(1, 1, [("a", 1), ("b", 1), ("a", 2)])
    assert store.waiting.remove(1, 1, [("a", 1), ("a", 9), ("c", 1)]) == [1]
    assert store.waiting.count(1, 1) == 2
    assert store.waiting.waits(1, 1, "b", 1)
    assert not store.waiting.waits(1, 1, "a", 1)
    assert not store.waiting.waits(2, 1, "b", 1)
    store.waiting._forget()
    assert store.waiting.remove(1, 1, [("b", 1)]) == [1]
    assert store.waiting.count(1, 1) == 1


def test_waits_are_counted_by_their_kind(store: Store) -> None:
    waiting = store.waiting
    waiting.block(1, 1, [("vouch a", 1), ("vouch b", 2), ("device a", 1), ("damaged", 3)])
    for again in (False, True):
        if again:
            waiting._forget()
        assert [waiting.count(1, 1, kind) for kind in ("vouch", "device", "damaged", "time")] == [2, 1, 1, 0]
        assert waiting.count(1, 1) == 4
    assert waiting.remove(1, 1, [("vouch b", 2), ("device b", 1)]) == [2]
    assert [waiting.count(1, 1, kind) for kind in ("vouch", "device")] == [1, 1]


def test_what_is_due_comes_first_and_so_much_at_once(store: Store) -> None:
    waiting = store.waiting
    times = [MAX_INTEGER, 1_000, 999, 5, 10_000, 999]
    waiting.block(1, 1, [(time_need(ts), n) for n, ts in enumerate(times)])
    waiting.block(2, 1, [(time_need(1), 9)])
    waiting.block(1, 1, [("time-like thing", 7)])
    assert waiting.release_until(1, 1, 4, 10) == []
    assert waiting.release_until(1, 1, 1_000, 2) == [2, 3], "the earliest first"
    assert waiting.release_until(1, 1, 1_000, 10) == [1, 5]
    assert waiting.release_until(1, 1, MAX_INTEGER, 10) == [0, 4]
    assert waiting.reasons(1) == [(1, "time-like", 1)]


def test_only_what_is_due_is_looked_at(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.waiting.block(1, 1, [(time_need(ts), ts) for ts in range(1_000)])
    asked: list[tuple[str, Any]] = []
    real = store.db.all
    monkeypatch.setattr(
        store.db, "all", lambda sql, values=(): asked.append((sql, values)) or real(sql, values)
    )
    assert store.waiting.release_until(1, 1, 5, 3) == [0, 1, 2]
    sql, values = asked[0]
    (plan,) = real("EXPLAIN QUERY PLAN " + sql, values)
    assert str(plan[3]).endswith("(account=? AND space=? AND need>? AND need<?)"), "and sorts nothing"


def test_what_is_provided_is_each_identitys_own_and_stays(store: Store) -> None:
    store.waiting.provide(1, 1, ["peer a"])
    store.waiting.provide(1, 1, ["peer a"])
    assert store.waiting.is_met(1, 1, "peer a")
    for account, space, need in ((2, 1, "peer a"), (1, 2, "peer a"), (1, 1, "peer")):
        assert not store.waiting.is_met(account, space, need)
    store.waiting._forget()
    assert store.waiting.is_met(1, 1, "peer a")


def test_a_rollback_forgets(store: Store) -> None:
    store.waiting.block(1, 1, [("a", 1)])
    with undone(store.db):
        store.waiting.provide(1, 1, ["b"])
        store.waiting.block(1, 1, [("a", 2)])
        assert store.waiting.is_met(1, 1, "b")
    assert not store.waiting.is_met(1, 1, "b")
    assert store.waiting.count(1, 1) == 1


def test_clear_keeps_the_doubted(store: Store) -> None:
    store.waiting.block(1, 1, [("peer a", 1), ("vouch x", 2), ("time", 3), ("vouchsafe", 4)])
    store.waiting.provide(1, 1, ["peer b"])
    store.waiting.clear("vouch ")
    assert store.db.all("SELECT need, event FROM blocked") == [("vouch x", 2)]
    assert store.waiting.count(1, 1) == 1
    assert not store.waiting.is_met(1, 1, "peer b")
