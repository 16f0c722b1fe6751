import pytest

from quire.store.store import Store
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
